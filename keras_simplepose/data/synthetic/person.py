"""An articulated figure: a random pose by forward kinematics, and the convex parts that draw it.

The body's frame has x to the person's own left, y up and z forward, in units of the person's standing height; the
camera's frame has x right, y down and z towards the camera, so that the left side of somebody who faces the camera is
on the image's right. The projection is orthographic. Lengths and radii are rounded adult proportions with a larger
head, which keeps the face's keypoints apart in small crops; joint ranges are everyday ones. All angles are in degrees.
"""

import bisect
import colorsys
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from keras_simplepose.core.skeletons import COCO17

TORSO, HEAD, LEFT_ARM, RIGHT_ARM, LEFT_LEG, RIGHT_LEG = range(1, 7)
GROUP_COUNT = 6
SIDES = (("left", 1.0, LEFT_ARM, LEFT_LEG), ("right", -1.0, RIGHT_ARM, RIGHT_LEG))
FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")

# Head-frame directions of the face's keypoints, in half-axes of the head, and how far one may turn away from the camera
# (the camera-ward component of its unit direction) before the head hides it. Ears stand off the head, so they stay
# visible a little beyond the horizon.
FACE_DIRECTIONS = {
    "nose": ((0.0, -0.18, 1.05), -0.05),
    "left_eye": ((0.42, 0.14, 0.74), 0.10),
    "right_eye": ((-0.42, 0.14, 0.74), 0.10),
    "left_ear": ((1.04, -0.05, -0.05), -0.35),
    "right_ear": ((-1.04, -0.05, -0.05), -0.35),
}
# A shoulder or hip this far (in heights) behind the middle of the pair is hidden by the torso.
SELF_OCCLUSION_DEPTH = 0.065

SKIN_TONES = ((255, 219, 190), (236, 190, 155), (205, 150, 110), (160, 108, 76), (112, 74, 52), (78, 52, 40))
HAIR_COLOURS = ((30, 24, 22), (62, 42, 28), (110, 74, 42), (186, 146, 84), (150, 62, 34), (150, 150, 150))


@dataclass(frozen=True)
class Stance:
    """Ranges of a kind of pose: (lowest, highest) in degrees, drawn uniformly."""

    weight: float
    spine_pitch: tuple[float, float]
    hip_flexion: tuple[float, float]
    knee_flexion: tuple[float, float]
    arm_elevation: tuple[float, float]
    elbow_flexion: tuple[float, float]
    stride: tuple[float, float] = (0.0, 0.0)


STANCES = (
    Stance(0.35, (-4, 8), (-6, 8), (0, 10), (5, 40), (3, 70)),
    Stance(0.30, (0, 12), (-4, 8), (5, 35), (4, 30), (10, 80), stride=(12, 32)),
    Stance(0.22, (-6, 8), (-6, 12), (0, 14), (75, 165), (3, 80)),
    Stance(0.13, (18, 55), (10, 55), (10, 75), (10, 90), (5, 80)),
)


class Part(NamedTuple):
    """The convex hull of tapered capsules, in one colour.

    Attributes:
        group: the limb it belongs to (TORSO … RIGHT_LEG).
        capsules: C times x, y, radius of either end, camera frame.
        colour: RGB, 0 to 255.
        shaded: drawn with a darker rim and a highlight; details such as eyes are not.
    """

    group: int
    capsules: list[tuple[float, ...]]
    colour: tuple[float, float, float]
    shaded: bool = True


@dataclass(frozen=True)
class Figure:
    """A posed, dressed person in the camera's frame, in heights; the middle of the hips is at the origin.

    Attributes:
        keypoints: [17, 2] float64 (x, y), COCO order.
        turned_away: [17] bool: on the far side of the person's own head or torso.
        parts: what to draw, from back to front.
    """

    keypoints: np.ndarray
    turned_away: np.ndarray
    parts: tuple[Part, ...]

    def extent(self) -> tuple[float, float, float, float]:
        """(left, top, right, bottom) of all parts, in heights."""
        capsules = np.array([capsule for part in self.parts for capsule in part.capsules])
        ends, radii = capsules.reshape(-1, 3)[:, :2], capsules.reshape(-1, 3)[:, 2:]
        return (*(ends - radii).min(axis=0), *(ends + radii).max(axis=0))


def _rotation(axis: int, degrees: float) -> np.ndarray:
    """[3, 3] rotation by the right-hand rule about axis 0, 1 or 2."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    first, second = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cosine
    matrix[first, second], matrix[second, first] = -sine, sine
    return matrix


def _bend(direction: np.ndarray, towards: np.ndarray, degrees: float) -> np.ndarray:
    """The unit vector `direction`, turned by `degrees` in the plane it spans with `towards`."""
    side = towards - direction * (direction @ towards)
    side /= math.sqrt(side @ side) + 1e-9
    return direction * math.cos(math.radians(degrees)) + side * math.sin(math.radians(degrees))


def _sign(rng: np.random.Generator) -> float:
    return 1.0 if rng.random() < 0.5 else -1.0


def _pick(rng: np.random.Generator, values: Sequence, weights: Sequence[float]) -> Any:
    """One of `values`; much faster than Generator.choice."""
    return values[bisect.bisect(list(itertools.accumulate(weights[:-1])), rng.random())]


def _sample_facing(rng: np.random.Generator) -> float:
    """The body's turn about the vertical: 0 faces the camera, 180 faces away; mostly near 0."""
    kind = rng.random()
    if kind < 0.94:
        return (0.0 if kind < 0.85 else 180.0) + min(max(rng.normal(0, 22), -50), 50)
    return _sign(rng) * rng.uniform(50, 105)


def _sample_leg(
    rng: np.random.Generator, joints: dict[str, np.ndarray], name: str, side: float, stance: Stance, stride: float
) -> None:
    """Adds the knee, ankle and toe of one leg to `joints` (body frame)."""
    flexion = math.radians(rng.uniform(*stance.hip_flexion) + stride)
    abduction = math.radians(rng.uniform(1, 11))
    thigh = np.array(
        (
            side * math.sin(abduction),
            -math.cos(abduction) * math.cos(flexion),
            math.cos(abduction) * math.sin(flexion),
        )
    )
    # The knee bends backwards, and at least enough to keep a raised thigh's shin from swinging up.
    knee = max(rng.uniform(*stance.knee_flexion), math.degrees(flexion) * rng.uniform(0.8, 1.3))
    shin = _bend(thigh, np.array((0.0, 0.0, -1.0)), knee)
    toe = _bend(shin, np.array((side * rng.uniform(0.0, 0.6), 0.0, 1.0)), 75)
    joints[f"{name}_knee"] = joints[f"{name}_hip"] + 0.235 * thigh
    joints[f"{name}_ankle"] = joints[f"{name}_knee"] + 0.225 * shin
    joints[f"{name}_toe"] = joints[f"{name}_ankle"] + 0.075 * toe


def _sample_arm(
    rng: np.random.Generator, joints: dict[str, np.ndarray], name: str, side: float, stance: Stance, swing: float
) -> None:
    """Adds the elbow, wrist and hand of one arm to `joints` (torso frame)."""
    elevation = rng.uniform(*stance.arm_elevation)
    if stance.arm_elevation[1] > 120 and rng.random() < 0.35:  # one arm raised, the other hanging
        elevation = rng.uniform(5, 40)
    azimuth = math.radians(rng.uniform(-10, 60))
    sine = math.sin(math.radians(elevation))
    upper = np.array((side * sine * math.cos(azimuth), -math.cos(math.radians(elevation)), sine * math.sin(azimuth)))
    upper = _rotation(0, -swing) @ upper
    bend = np.array((-side * rng.uniform(-0.3, 0.9), 1.2 * elevation / 90 * rng.uniform(0.2, 1.0), 1.0))
    lower = _bend(upper, bend, rng.uniform(*stance.elbow_flexion))
    joints[f"{name}_elbow"] = joints[f"{name}_shoulder"] + 0.165 * upper
    joints[f"{name}_wrist"] = joints[f"{name}_elbow"] + 0.150 * lower
    joints[f"{name}_hand"] = joints[f"{name}_wrist"] + 0.042 * lower


def _sample_joints(rng: np.random.Generator) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Joints by name, [3] in the camera's frame, and the head's [3, 3] axes (columns: its left, up, forward)."""
    stance = _pick(rng, STANCES, [stance.weight for stance in STANCES])
    stride = _sign(rng) * rng.uniform(*stance.stride)
    hip_width, shoulder_width = 0.072 * rng.uniform(0.9, 1.1), 0.112 * rng.uniform(0.9, 1.12)
    torso: dict[str, np.ndarray] = {"neck": np.array((0.0, 0.30, 0.0)), "head": np.array((0.0, 0.40, 0.015))}
    body: dict[str, np.ndarray] = {}
    for name, side, _, _ in SIDES:
        torso[f"{name}_shoulder"] = np.array((side * shoulder_width, 0.285 + rng.uniform(-0.008, 0.008), 0.0))
        torso[f"{name}_waist"] = np.array((side * hip_width * 0.75, 0.085, 0.0))
        _sample_arm(rng, torso, name, side, stance, -side * stride * rng.uniform(0.5, 1.3))
        body[f"{name}_hip"] = np.array((side * hip_width, 0.0, 0.0))
        _sample_leg(rng, body, name, side, stance, side * stride)
    spine = _rotation(0, rng.uniform(*stance.spine_pitch)) @ _rotation(2, rng.normal(0, 4))
    neck = _rotation(1, rng.normal(0, 16)) @ _rotation(0, rng.normal(0, 7)) @ _rotation(2, rng.normal(0, 7))
    view = _rotation(0, rng.uniform(0, 12)) @ _rotation(2, rng.normal(0, 5)) @ _rotation(1, _sample_facing(rng))
    view = np.diag((1.0, -1.0, 1.0)) @ view
    body |= {name: spine @ joint for name, joint in torso.items()}
    # The neck takes back half of the spine's bend, as somebody who stoops still looks ahead.
    half = spine @ _rotation(0, -0.5 * math.degrees(math.asin(min(max(spine[2, 1], -1), 1))))
    return {name: view @ joint for name, joint in body.items()}, view @ half @ neck


def _clothes_colour(rng: np.random.Generator) -> tuple[float, float, float]:
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.9), rng.uniform(0.2, 1))
    return 255 * red, 255 * green, 255 * blue


def _capsule(start: np.ndarray, start_radius: float, end: np.ndarray, end_radius: float) -> tuple[float, ...]:
    return (start[0], start[1], start_radius, end[0], end[1], end_radius)


def _between(start: np.ndarray, end: np.ndarray, fraction: float) -> np.ndarray:
    return start + (end - start) * fraction


def _limb(
    group: int, joints: list[np.ndarray], radii: list[float], colours: list[tuple], sleeve: float, sleeve_colour: tuple
) -> list[Part]:
    """Upper segment, lower segment and extremity, the nearer end last; the sleeve covers `sleeve` segments (0 to 2)."""
    root, middle, tip, end = joints
    segments = [
        [Part(group, [_capsule(root, radii[0], middle, radii[1])], colours[0])],
        [Part(group, [_capsule(middle, radii[1], tip, radii[2])], colours[1])],
        [Part(group, [_capsule(tip, radii[3], end, radii[4])], colours[2])],
    ]
    for index, (start, stop) in enumerate(((root, middle), (middle, tip))):
        covered = min(max(sleeve - index, 0.0), 1.0)
        if covered > 0:
            first, second = radii[index] * 1.08, radii[index + 1] * 1.08
            cuff = _capsule(start, first, _between(start, stop, covered), first + (second - first) * covered)
            segments[index].append(Part(group, [cuff], sleeve_colour))
    nearer_last = segments if tip[2] >= root[2] - 0.02 else segments[::-1]
    return [part for segment in nearer_last for part in segment]


def _torso_parts(joints: dict[str, np.ndarray], girth: float, shirt: tuple, trousers: tuple) -> list[Part]:
    hips, chest = [], []
    for name, _, _, _ in SIDES:
        hip, waist, shoulder = (joints[f"{name}_{joint}"] for joint in ("hip", "waist", "shoulder"))
        hips.append(_capsule(hip, 0.056 * girth, waist, 0.050 * girth))
        chest.append(_capsule(_between(hip, waist, 0.55), 0.053 * girth, shoulder, 0.040 * girth))
    return [Part(TORSO, hips, trousers), Part(TORSO, chest, shirt)]


def _head_parts(
    joints: dict[str, np.ndarray], axes: np.ndarray, half_axes: np.ndarray, skin: tuple, hair: tuple
) -> tuple[list[Part], dict[str, np.ndarray], dict[str, bool]]:
    """The head's parts, and the position of each face keypoint and whether the head hides it."""
    head, (_, up, forward) = joints["head"], axes.T
    width = half_axes[0]
    points, hidden = {}, {}
    for name, (direction, horizon) in FACE_DIRECTIONS.items():
        offset = np.array(direction)
        points[name] = head + axes @ (offset * half_axes)
        hidden[name] = bool(axes[2] @ offset < horizon * math.sqrt(offset @ offset))

    def detail(centre: np.ndarray, radius: float, colour: tuple) -> Part:
        return Part(HEAD, [_capsule(centre, radius * width, centre, radius * width)], colour, shaded=False)

    def shade(factor: float) -> tuple:
        return tuple(factor * value for value in skin)

    rise = (half_axes[1] - 0.9 * width) * up
    skull = head - 0.20 * width * forward + 0.12 * width * up
    scalp = Part(HEAD, [_capsule(skull - 0.4 * rise, 0.98 * width, skull + rise, 0.98 * width)], hair)
    front = head + 0.22 * width * forward - 0.10 * width * up
    face = Part(HEAD, [_capsule(front - 1.2 * rise, 0.72 * width, front + 0.4 * rise, 0.86 * width)], skin)
    parts = [Part(HEAD, [_capsule(joints["neck"], 0.036, head, 0.036)], shade(0.86))]
    parts += [scalp, face] if forward[2] > 0 else [face, scalp]
    for name in ("left_ear", "right_ear"):
        if not hidden[name]:
            parts += [detail(points[name], 0.27, shade(0.9)), detail(points[name], 0.13, shade(0.62))]
    for name in ("left_eye", "right_eye"):
        if not hidden[name]:
            parts += [detail(points[name], 0.23, (245, 245, 245)), detail(points[name], 0.13, (25, 20, 20))]
    if not hidden["nose"]:
        mouth = head + axes @ (np.array((0.0, -0.60, 0.80)) * half_axes)
        corners = [mouth + 0.25 * side * width * axes[:, 0] for side in (-1, 1)]
        lips = _capsule(corners[0], 0.07 * width, corners[1], 0.07 * width)
        root = head + axes @ (np.array((0.0, 0.08, 0.90)) * half_axes)
        bridge = _capsule(root, 0.07 * width, points["nose"], 0.15 * width)
        parts.append(Part(HEAD, [bridge], (0.85 * skin[0], 0.62 * skin[1], 0.58 * skin[2]), shaded=False))
        parts.append(Part(HEAD, [lips], (0.7 * skin[0], 0.4 * skin[1], 0.4 * skin[2]), shaded=False))
    return parts, points, hidden


def sample_figure(rng: np.random.Generator) -> Figure:
    """A person in a random pose, turned and dressed at random."""
    joints, axes = _sample_joints(rng)
    girth = rng.uniform(0.85, 1.25)
    tan = rng.uniform(0.92, 1.0)
    skin = tuple(tan * value for value in SKIN_TONES[rng.integers(len(SKIN_TONES))])
    hair = HAIR_COLOURS[rng.integers(len(HAIR_COLOURS))]
    shirt, trousers, shoes = (_clothes_colour(rng) for _ in range(3))
    sleeve = _pick(rng, (0.5, 1.0, 2.0), (0.35, 0.25, 0.40))
    leg_length = _pick(rng, (0.9, 2.0), (0.35, 0.65))
    hand = tuple(0.93 * value for value in skin)
    half_axes = np.array((0.066, 0.084, 0.070)) * rng.uniform(1.0, 1.15)

    head_parts, face, hidden = _head_parts(joints, axes, half_axes, skin, hair)
    middle = (joints["neck"][2] + joints["left_waist"][2] + joints["right_waist"][2]) / 3
    layers = [
        (middle, _torso_parts(joints, girth, shirt, trousers)),
        (joints["head"][2] + 0.02, head_parts),
    ]
    for name, _, arm, leg in SIDES:
        chain = [joints[f"{name}_{joint}"] for joint in ("shoulder", "elbow", "wrist", "hand")]
        radii = [0.036 * girth, 0.030 * girth, 0.020 * girth, 0.026, 0.022]
        depth = (chain[0][2] + 2 * chain[1][2] + 2 * chain[2][2]) / 5
        layers.append((depth + 0.03, _limb(arm, chain, radii, [skin, skin, hand], sleeve, shirt)))
        chain = [joints[f"{name}_{joint}"] for joint in ("hip", "knee", "ankle", "toe")]
        radii = [0.056 * girth, 0.041 * girth, 0.026 * girth, 0.030, 0.024]
        depth = (chain[0][2] + chain[1][2]) / 2
        layers.append((depth - 0.02, _limb(leg, chain, radii, [skin, skin, shoes], leg_length, trousers)))
        for joint in ("shoulder", "hip"):
            pair = (joints[f"left_{joint}"][2] + joints[f"right_{joint}"][2]) / 2
            hidden[f"{name}_{joint}"] = joints[f"{name}_{joint}"][2] < pair - SELF_OCCLUSION_DEPTH
    layers.sort(key=lambda layer: layer[0])
    joints |= face
    return Figure(
        keypoints=np.array([joints[name][:2] for name in COCO17.keypoints]),
        turned_away=np.array([hidden.get(name, False) for name in COCO17.keypoints]),
        parts=tuple(part for _, parts in layers for part in parts),
    )
