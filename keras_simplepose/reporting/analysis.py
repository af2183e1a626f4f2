"""All that a report says of one result, as values."""

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.evaluation.coco_metrics import keypoint_metrics
from keras_simplepose.reporting.bootstrap import Interval, intervals
from keras_simplepose.reporting.breakdowns import Calibration, KeypointRow, by_keypoint, calibrate, groups
from keras_simplepose.reporting.error_kinds import KINDS, PoseErrors, find_errors
from keras_simplepose.reporting.gains import Gain, gains
from keras_simplepose.reporting.matches import OKS_THRESHOLDS, RECALL_STEPS, Curves, Matches, match_persons


@dataclass(frozen=True)
class GroupRow:
    """AP and AR of a group of persons.

    Attributes:
        kind: what they are grouped by.
        name: of the group.
        count: of persons.
        ap: with its interval.
        ar: with its interval.
    """

    kind: str
    name: str
    count: int
    ap: Interval
    ar: Interval


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of one result.

    Attributes:
        metrics: COCO's ten figures.
        ap: over all persons, with its interval.
        ar: likewise.
        groups: AP and AR of groups.
        gains: AP gained by correcting each cause.
        keypoints: a row for each.
        calibration: of the scores.
        precision: [T, 101] at `RECALL_STEPS`, for each of `OKS_THRESHOLDS`.
        counts: of images, persons, poses and keypoints of each kind.
        matches: of poses and persons.
        errors: of the associated poses.
    """

    metrics: dict[str, float]
    ap: Interval
    ar: Interval
    groups: list[GroupRow]
    gains: list[Gain]
    keypoints: list[KeypointRow]
    calibration: Calibration
    precision: np.ndarray
    counts: dict[str, int]
    matches: Matches
    errors: PoseErrors

    def to_dict(self) -> dict[str, Any]:
        """The figures as JSON-serialisable values; null for what cannot be told."""
        plain = {
            "metrics": self.metrics,
            "AP": asdict(self.ap),
            "AR": asdict(self.ar),
            "groups": [asdict(row) for row in self.groups],
            "gains": [asdict(row) for row in self.gains],
            "keypoints": [
                asdict(row) | {"shares": dict(zip(KINDS, row.shares, strict=True))} for row in self.keypoints
            ],
            "calibration": asdict(self.calibration),
            "precision": {
                f"{threshold:.2f}": row.round(4).tolist()
                for threshold, row in zip(OKS_THRESHOLDS, self.precision, strict=True)
            },
            "recall_steps": RECALL_STEPS.round(2).tolist(),
            "counts": self.counts,
        }
        return without_nan(plain)


def without_nan(value: Any) -> Any:
    """The value as JSON takes it: null for what is not finite."""
    if isinstance(value, dict):
        return {key: without_nan(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def analyse(
    persons: PersonSet,
    results: Sequence[dict[str, Any]],
    skeleton: Skeleton,
    *,
    image_ids: Collection[int] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Analysis:
    """Analyses COCO keypoint results.

    Args:
        persons: the ground truth.
        results: as `results_file.read_results` gives them.
        skeleton: of both.
        image_ids: the images evaluated; None: all.
        resamples: of the photographs, for the intervals.
        seed: of the resamples.

    Raises:
        UserError: as `evaluation.coco_metrics.keypoint_metrics`.
    """
    metrics = keypoint_metrics(persons, results, skeleton.sigmas, image_ids)
    matches = match_persons(persons, results, skeleton.sigmas, image_ids)
    errors = find_errors(persons, results, matches, skeleton)
    evaluated = matches.person_images >= 0
    parts = [group for group in groups(persons) if (group.chosen & evaluated).any()]
    curves = [Curves(matches), *(Curves(matches, group.chosen) for group in parts)]
    (ap, ar), *measured = intervals(curves, len(matches.image_ids), resamples, seed)
    rows = [
        GroupRow(group.kind, group.name, each.person_count, *values)
        for group, each, values in zip(parts, curves[1:], measured, strict=True)
    ]
    counts = {
        "images": len(matches.image_ids),
        "persons": int(evaluated.sum()),
        "poses": len(matches.results),
        "keypoints": int((errors.kinds < len(KINDS)).sum()),
    } | {kind: int((errors.kinds == number).sum()) for number, kind in enumerate(KINDS)}
    return Analysis(
        metrics,
        ap,
        ar,
        rows,
        gains(persons, results, matches, errors, skeleton),
        by_keypoint(errors, skeleton.keypoints),
        calibrate(matches, errors, results),
        curves[0].precision_recall()[0],
        counts,
        matches,
        errors,
    )
