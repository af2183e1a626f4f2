"""Drawing the synthetic scenes: backgrounds, figures, obstacles, and what a camera does to a picture."""

import math

import cv2
import numpy as np

from keras_simplepose.data.synthetic.person import Figure

# Rim, base and highlight of a limb: the share of its radius, and the shift towards the light in radii.
SHADE_SHAPES = ((1.0, 0.0), (0.84, 0.10), (0.40, 0.38))
_CAP = np.linspace(0.0, 1.0, 8)
_SHIFT = 4  # OpenCV's fixed-point coordinates: 1/16 pixel


def _outlines(capsules: np.ndarray) -> np.ndarray:
    """[C, 16, 2] convex outlines of capsules [C, 6]: two arcs joined by the circles' common tangents."""
    start, start_radius, end, end_radius = np.split(capsules, (2, 3, 5), axis=1)
    delta = end - start
    distance = np.hypot(delta[:, :1], delta[:, 1:])
    angle = np.arctan2(delta[:, 1:], delta[:, :1])
    half = np.arccos(np.clip((start_radius - end_radius) / np.maximum(distance, 1e-6), -1, 1))
    near = angle + half * (2 * _CAP - 1)
    far = angle + half + (2 * math.pi - 2 * half) * _CAP
    arcs = [
        centre[:, None] + radius[:, None] * np.stack((np.cos(arc), np.sin(arc)), axis=-1)
        for centre, radius, arc in ((end, end_radius, near), (start, start_radius, far))
    ]
    return np.concatenate(arcs, axis=1)


def draw_figure(
    image: np.ndarray,
    labels: np.ndarray,
    figure: Figure,
    origin: np.ndarray,
    height: float,
    first_label: int,
    light: tuple[float, float],
) -> None:
    """Draws a figure over `image` [H, W, 3] uint8 RGB and marks its pixels in `labels` [H, W] int16.

    Args:
        image: changed in place.
        labels: changed in place: `first_label + group - 1` where the person's limb of that group is on top.
        figure: what to draw.
        origin: [2] the pixel at which the middle of the hips lies.
        height: pixels per standing height.
        first_label: the person's lowest label; GROUP_COUNT labels belong to the person.
        light: (x, y) where the light comes from, at most of length 1.
    """
    circles = np.array([capsule for part in figure.parts for capsule in part.capsules]).reshape(-1, 3) * height
    circles[:, :2] += origin
    towards_light = np.outer(circles[:, 2], (*light, 0.0))
    shades = [circles * (1, 1, size) + shift * towards_light for size, shift in SHADE_SHAPES]
    outlines = np.round(_outlines(np.concatenate(shades).reshape(-1, 6)) * (1 << _SHIFT)).astype(np.int32)
    outlines = outlines.reshape(len(shades), -1, *outlines.shape[1:])
    first = 0
    for part in figure.parts:
        last = first + len(part.capsules)
        # With several capsules the part is their hull.
        polygons = [
            shape[first] if last == first + 1 else cv2.convexHull(shape[first:last].reshape(-1, 2))
            for shape in outlines
        ]
        first = last
        cv2.fillConvexPoly(labels, polygons[0], first_label + part.group - 1, cv2.LINE_8, _SHIFT)
        if not part.shaded:
            cv2.fillConvexPoly(image, polygons[0], part.colour, cv2.LINE_AA, _SHIFT)
            continue
        red, green, blue = part.colour
        cv2.fillConvexPoly(image, polygons[0], (0.7 * red, 0.7 * green, 0.7 * blue), cv2.LINE_AA, _SHIFT)
        cv2.fillConvexPoly(image, polygons[1], part.colour, cv2.LINE_AA, _SHIFT)
        bright = (45 + 0.82 * red, 45 + 0.82 * green, 45 + 0.82 * blue)
        cv2.fillConvexPoly(image, polygons[2], bright, cv2.LINE_AA, _SHIFT)


def _random_colour(rng: np.random.Generator) -> tuple[float, ...]:
    return tuple(rng.uniform(20, 235, 3).tolist())


def _enlarge(field: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(field, size[::-1], interpolation=cv2.INTER_LINEAR)


def _smooth_noise(rng: np.random.Generator, size: tuple[int, int], octaves: int) -> np.ndarray:
    """[H, W, 3] float32 noise: octaves of doubled frequency and smaller amplitude, the first within -1 to 1."""
    persistence = rng.uniform(0.3, 0.7)
    field = np.zeros((1, 1, 3), np.float32)
    for octave in range(octaves):
        height, width = (max(2, side >> (octaves - 1 - octave)) for side in size)
        detail = rng.random((height, width, 3), np.float32)
        detail -= 0.5
        detail *= 2 * persistence**octave
        detail += _enlarge(field, (height, width))
        field = detail
    return field


def background(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """[H, W, 3] uint8 of `size` (height, width): a gradient with stripes, polygons and coloured noise."""
    coarse = (size[0] // 2, size[1] // 2)  # finer detail is left to the sensor's noise; it takes a quarter of the time
    # Dull next to clothes and skin, so that a small network learns people in minutes.
    tint = rng.uniform(50, 205, (2, 2, 1)) + rng.uniform(-25, 25, (2, 2, 3))
    image = _enlarge(tint.astype(np.float32), coarse)
    image += rng.uniform(5, 22) * _smooth_noise(rng, coarse, int(rng.integers(3, 7)))
    if rng.random() < 0.4:
        angle, period = rng.uniform(0, np.pi), rng.uniform(4, 30)
        rows, columns = (np.arange(side, dtype=np.float32) for side in coarse)
        phase = np.add.outer(np.float32(np.sin(angle) / period) * rows, np.float32(np.cos(angle) / period) * columns)
        stripes = (phase - np.floor(phase) < rng.uniform(0.2, 0.8)).astype(np.float32)
        image += stripes[..., None] * rng.uniform(-25, 25, 3).astype(np.float32)
    image = _enlarge(cv2.convertScaleAbs(np.maximum(image, 0)), size)
    for _ in range(rng.integers(0, 7)):
        centre, spread = rng.uniform(0, 1, 2) * size[::-1], rng.uniform(0.05, 0.3) * min(size)
        corners = centre + rng.normal(0, spread, (rng.integers(3, 6), 2))
        colour = (rng.uniform(50, 205) + rng.uniform(-40, 40, 3)).tolist()
        cv2.fillPoly(image, [np.round(corners).astype(np.int32)], colour, cv2.LINE_AA)
    return image


def _obstacle_outlines(rng: np.random.Generator, size: tuple[int, int], centre: np.ndarray) -> list[np.ndarray]:
    """Convex polygons [n, 2] of a box, a disc or a table."""
    height, width = size
    x, y = centre
    half_width, half_height = rng.uniform(0.03, 0.10) * width, rng.uniform(0.03, 0.14) * height
    kind = rng.integers(3)
    if kind == 0:
        angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
        return [np.stack((x + half_width * np.cos(angles), y + half_height * np.sin(angles)), axis=-1)]
    if kind == 1:
        rectangles = [(x - half_width, y - half_height, x + half_width, y + half_height)]
    else:
        slab, leg = rng.uniform(0.02, 0.05) * height, rng.uniform(0.008, 0.02) * width
        rectangles = [(x - 2 * half_width, y, x + 2 * half_width, y + slab)]
        for middle in (x - 1.7 * half_width, x + 1.7 * half_width):
            rectangles.append((middle - leg, y + slab, middle + leg, y + slab + 5 * half_height))
    return [
        np.array(((left, top), (right, top), (right, bottom), (left, bottom)))
        for left, top, right, bottom in rectangles
    ]


def draw_obstacle(
    rng: np.random.Generator, image: np.ndarray, labels: np.ndarray, boxes: list[tuple[float, ...]]
) -> None:
    """Draws an obstacle over the picture, mostly over one of the people's boxes, and clears the labels behind it.

    Args:
        rng: source of its kind, place and colour.
        image: [H, W, 3] uint8, changed in place.
        labels: [H, W] int16, changed in place: 0 where the obstacle is.
        boxes: (left, top, right, bottom) of the people drawn so far, pixels.
    """
    left, top, right, bottom = 0.0, 0.0, float(labels.shape[1]), float(labels.shape[0])
    if boxes and rng.random() < 0.7:
        left, top, right, bottom = boxes[rng.integers(len(boxes))]
        top = 0.7 * top + 0.3 * bottom  # furniture hides legs more often than faces
    centre = np.array((rng.uniform(left, right), rng.uniform(top, bottom)))
    red, green, blue = _random_colour(rng)
    for outline in _obstacle_outlines(rng, labels.shape, centre):
        middle = outline.mean(axis=0)
        whole, inner = (np.round(16 * (middle + shrink * (outline - middle))).astype(np.int32) for shrink in (1, 0.88))
        cv2.fillConvexPoly(labels, whole, 0, cv2.LINE_8, 4)
        cv2.fillConvexPoly(image, whole, (0.7 * red, 0.7 * green, 0.7 * blue), cv2.LINE_AA, 4)
        cv2.fillConvexPoly(image, inner, (red, green, blue), cv2.LINE_AA, 4)


def develop(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """The image [H, W, 3] uint8 with uneven light, contrast, brightness, mild blur and sensor noise."""
    unit = 160  # the light's fixed-point 1
    light = rng.uniform(0.75, 1.15) * rng.uniform(0.8, 1.2, (3, 3)) * unit
    light = _enlarge(light.astype(np.uint8), image.shape[:2])
    image = cv2.multiply(image, cv2.merge((light, light, light)), scale=1 / unit)
    blur = rng.uniform(0.0, 0.8)
    if blur > 0.3:
        image = cv2.GaussianBlur(image, (3, 3), blur)
    amplitude, brightness = rng.uniform(2, 9), rng.uniform(-20, 20)
    noise = np.frombuffer(rng.bytes(image.size), np.uint8).reshape(image.shape)
    return cv2.addWeighted(image, 1.0, noise, amplitude / 128, brightness - amplitude)
