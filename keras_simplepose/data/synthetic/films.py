"""Rendered films of people who cross, pass behind a pillar, leave and come back, with known identities.

Figures glide as they stand, growing and shrinking a little: their joints move, but not against each other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from keras_simplepose.data.synthetic.drawing import background, draw_figure
from keras_simplepose.data.synthetic.person import GROUP_COUNT, Figure, sample_figure

LEAST_VISIBLE = 0.25  # Of a silhouette: who shows less is not annotated.
NOISE = 4  # Grey levels of the sensor's noise, uniform.


@dataclass(frozen=True, eq=False)
class FilmFrame:
    """A frame and its people.

    Attributes:
        image: [H, W, 3] uint8 RGB.
        ids: [N] int64, of the people who are to be seen.
        keypoints: [N, 17, 2] float64 (x, y), COCO's order.
        boxes: [N, 4] float64 (x, y, width, height) of what is visible of each.
        visible: [N, 17] bool, the joint lies inside the frame.
        heights: [N] float64, standing heights in pixels.
    """

    image: np.ndarray
    ids: np.ndarray
    keypoints: np.ndarray
    boxes: np.ndarray
    visible: np.ndarray
    heights: np.ndarray


def render_film(seed: int, frames: int, persons: int = 5, size: tuple[int, int] = (480, 640)) -> Iterator[FilmFrame]:
    """Renders a film; the same arguments give the same one.

    People walk to and fro at speeds of their own, every other one the other way, so that they cross; a pillar stands in
    front of all; every third person's way leads out of the picture and back.

    Args:
        seed: at least 0.
        frames: their number.
        persons: their number.
        size: (height, width) in pixels.
    """
    rng = np.random.default_rng((seed, 0))
    height, width = size
    room, light = background(rng, size), (float(rng.uniform(-0.8, 0.8)), -0.6)
    figures = [sample_figure(rng) for _ in range(persons)]
    heights = np.sort(rng.uniform(0.45, 0.7, persons)) * height  # The nearer are drawn later.
    phases, periods = rng.uniform(0, 2 * np.pi, persons), rng.uniform(70, 130, persons)
    reach = np.where(np.arange(persons) % 3 == 2, 0.75, 0.4) * width
    rows = np.linspace(0.42, 0.55, persons) * height
    pillar = round(rng.uniform(0.35, 0.6) * width)
    color = rng.uniform(40, 200, 3).tolist()
    for index in range(frames):
        image, labels = room.copy(), np.zeros(size, np.int16)
        turn = 2 * np.pi * index / periods * np.where(np.arange(persons) % 2, 1, -1) + phases
        places = np.stack([width / 2 + reach * np.sin(turn), rows], -1)
        tall = heights * (1 + 0.03 * np.sin(index / 9 + phases))
        whole = []
        for person, figure in enumerate(figures):
            first = 1 + GROUP_COUNT * person
            draw_figure(image, labels, figure, places[person], float(tall[person]), first, light)
            left, top, right, bottom = (tall[person] * value for value in figure.extent())
            whole.append(_silhouette(figure, float(tall[person]), (right - left, bottom - top), (left, top)))
        cv2.rectangle(image, (pillar, 0), (pillar + width // 16, height), color, -1)
        cv2.rectangle(labels, (pillar, 0), (pillar + width // 16, height), 0, -1)
        noise = np.random.default_rng((seed, 1 + index)).integers(0, 2 * NOISE + 1, image.shape, np.uint8)
        image = cv2.subtract(cv2.add(image, noise), np.full_like(image, NOISE))
        points = places[:, None] + tall[:, None, None] * np.array([figure.keypoints for figure in figures])
        yield _annotated(image, labels, points, np.array(whole), tall)


def _silhouette(figure: Figure, height: float, extent: tuple[float, float], corner: tuple[float, float]) -> int:
    """The pixels of a figure that nothing covers."""
    size = (int(extent[1]) + 4, int(extent[0]) + 4)
    labels = np.zeros(size, np.int16)
    origin = np.array([2 - corner[0], 2 - corner[1]])
    draw_figure(np.zeros((*size, 3), np.uint8), labels, figure, origin, height, 1, (0.0, 0.0))
    return cv2.countNonZero(labels)


def _annotated(
    image: np.ndarray, labels: np.ndarray, points: np.ndarray, whole: np.ndarray, heights: np.ndarray
) -> FilmFrame:
    seen, boxes = [], []
    for person in range(len(points)):
        first = 1 + GROUP_COUNT * person
        silhouette = cv2.inRange(labels, first, first + GROUP_COUNT - 1)
        if cv2.countNonZero(silhouette) >= LEAST_VISIBLE * whole[person]:
            seen.append(person)
            boxes.append(cv2.boundingRect(silhouette))
    rows = np.array(seen, np.int64)
    inside = np.all((points >= 0) & (points <= np.array(labels.shape[::-1]) - 1), axis=-1)
    table = np.array(boxes, np.float64).reshape(-1, 4)
    return FilmFrame(image, rows + 1, points[rows], table, inside[rows], heights[rows])
