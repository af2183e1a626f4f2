"""The persons in groups, the keypoints one by one, and whether scores mean what they say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_simplepose.data.persons import Ignored, Person, PersonSet
from keras_simplepose.reporting.error_kinds import KINDS, NEAR, UNLABELLED, PoseErrors, points_of
from keras_simplepose.reporting.matches import NOBODY, Matches
from keras_simplepose.tracking.similarity import box_iou

SIDES = (0, 32, 64, 96, 192, np.inf)  # Square roots of areas, in pixels; 32 and 96 are COCO's.
LABELLED_SHARES = (0.3, 0.6, 0.9, 1.0)  # Of all keypoints; of COCO's 17 they end at 5, 10, 15 and 17, as in [Ronchi].
CROWDING_IOU = 0.1  # Boxes that overlap at least so much crowd one another [Ronchi].
CROWDS = ((0, 0), (1, 2), (3, None))  # Overlapping others [Ronchi].
CALIBRATION_BINS = 10


@dataclass(frozen=True, eq=False)
class Group:
    """Some of the persons.

    Attributes:
        kind: what they are grouped by.
        name: of the group.
        chosen: [P] bool.
    """

    kind: str
    name: str
    chosen: np.ndarray


def groups(persons: PersonSet) -> list[Group]:
    """The persons by size, by number of labelled keypoints and by crowding; groups without anybody are left out."""
    sides = np.sqrt([each.area for each in persons.persons])
    found = [
        Group("size", f"{_range(low, high)} px", (sides >= low) & (sides < high))
        for low, high in zip(SIDES, SIDES[1:], strict=False)
    ]
    labelled = np.array([int((each.visible > 0).sum()) for each in persons.persons])
    keypoints = len(persons.persons[0].keypoints)
    first = 1
    for share in LABELLED_SHARES:
        last = int(keypoints * share)
        if last >= first:
            name = f"{first}–{last}" if last > first else str(first)
            found.append(Group("labelled keypoints", name, (labelled >= first) & (labelled <= last)))
            first = last + 1
    others = overlapping(persons)
    for low, high in CROWDS:
        name = f"{low} or more" if high is None else str(low) if low == high else f"{low}–{high}"
        found.append(
            Group("overlapping others", name, (others >= low) & (others <= (np.inf if high is None else high)))
        )
    return [group for group in found if group.chosen.any()]


def _range(low: float, high: float) -> str:
    return f"from {low:g}" if np.isinf(high) else f"{low:g}–{high:g}"


def overlapping(persons: PersonSet) -> np.ndarray:
    """[P] int, how many others, crowds not counted, a person's box overlaps by an IoU of `CROWDING_IOU` or more."""
    boxes: dict[int, list[tuple[float, ...]]] = {}
    everybody: list[Person | Ignored] = [*persons.persons, *(each for each in persons.ignored if not each.crowd)]
    for each in everybody:
        boxes.setdefault(each.image_id, []).append(each.box)
    found = []
    for person in persons.persons:
        overlap = box_iou(np.array([person.box]), np.array(boxes[person.image_id]))[0]
        found.append(int((overlap >= CROWDING_IOU).sum()) - 1)  # Itself.
    return np.array(found)


@dataclass(frozen=True)
class KeypointRow:
    """How one keypoint fares.

    Attributes:
        name: of it.
        count: of those labelled, of persons with a pose.
        shares: of each of `KINDS`; NaN each if there are none.
        similarity: mean keypoint similarity.
        lost: OKS lost by it, summed over persons, over that of all keypoints.
    """

    name: str
    count: int
    shares: tuple[float, ...]
    similarity: float
    lost: float


def by_keypoint(errors: PoseErrors, names: Sequence[str]) -> list[KeypointRow]:
    """A row for each keypoint."""
    labelled = errors.kinds != UNLABELLED
    each_weighs = np.where(labelled, 1 / np.maximum(labelled.sum(1, keepdims=True), 1), 0)
    lost = np.nansum((1 - errors.similarities) * each_weighs, axis=0)
    rows = []
    for place, name in enumerate(names):
        there = labelled[:, place]
        count = int(there.sum())
        kinds = errors.kinds[there, place]
        shares = tuple(float((kinds == kind).mean()) if count else np.nan for kind in range(len(KINDS)))
        similarity = float(errors.similarities[there, place].mean()) if count else np.nan
        rows.append(KeypointRow(name, count, shares, similarity, float(lost[place] / max(lost.sum(), 1e-12))))
    return rows


@dataclass(frozen=True)
class CalibrationBin:
    """Poses, or keypoints, of about one score.

    Attributes:
        score: their mean.
        quality: mean OKS, 0 for a pose without a person; of keypoints the share within similarity .5.
        count: of them.
    """

    score: float
    quality: float
    count: int


@dataclass(frozen=True)
class Calibration:
    """Whether scores tell good from bad.

    Attributes:
        poses: bins of poses by score.
        keypoints: bins of labelled keypoints of associated poses by score.
        rank_correlation: Spearman's, of the poses' scores and OKS; NaN where there are too few.
    """

    poses: tuple[CalibrationBin, ...]
    keypoints: tuple[CalibrationBin, ...]
    rank_correlation: float


def calibrate(matches: Matches, errors: PoseErrors, results: Sequence[dict[str, Any]]) -> Calibration:
    """Scores beside what they should tell; poses on ignored annotations are left out."""
    counted = (matches.associated >= 0) | (matches.associated == NOBODY)
    quality = dict(zip(errors.results.tolist(), errors.oks().tolist(), strict=True))
    scores = matches.scores[counted]
    oks = np.array([quality.get(place, 0.0) for place in matches.results[counted].tolist()])
    labelled = errors.kinds != UNLABELLED
    point_scores = np.array([points_of(results[place])[:, 2] for place in errors.results.tolist()])
    point_scores = point_scores.reshape(labelled.shape)[labelled]
    near = (errors.similarities[labelled] >= NEAR).astype(np.float64)
    return Calibration(_bins(scores, oks), _bins(point_scores, near), rank_correlation(scores, oks))


def _bins(scores: np.ndarray, quality: np.ndarray) -> tuple[CalibrationBin, ...]:
    """Bins of equally many, by score."""
    parts = np.array_split(np.argsort(scores, kind="stable"), CALIBRATION_BINS)
    return tuple(
        CalibrationBin(float(scores[part].mean()), float(quality[part].mean()), len(part))
        for part in parts
        if len(part)
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation of [N] and [N]; equal values share their mean rank. NaN if one is constant."""
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return np.nan
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
