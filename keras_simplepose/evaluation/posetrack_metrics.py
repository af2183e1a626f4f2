"""PoseTrack's measures: AP of joints over all frames, and CLEAR-MOT per joint, each joint tracked for itself.

Two protocols. `poseval` gives the figures of the official code (October 2020) with everything odd about it, to compare
with what is published; `corrected` gives what its texts say. They differ in these, poseval's way first:

- The last labelled frame of a video: not tracked; counts.
- A frame without predictions, or with all its people in ignored regions: one miss and one false positive a joint in
  place of what is in it; its own misses and false positives.
- MOTP: the distances of all pairs near enough and those of the matches, over the matches; those of the matches.
- A joint of visibility 0 away from (0, 0): counts; is absent.
- A labelled frame without people: left out; its predictions are false positives.
- Ids of 10,000 and more: refused; taken.
- Several videos in a file: the first; all.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.optimize import linear_sum_assignment

from keras_simplepose.data.posetrack import JOINTS, Film, FramePersons, read_films
from keras_simplepose.evaluation.posetrack_matching import FramePairs, average_precision, pair_frame
from keras_simplepose.utils.errors import UserError

Protocol = Literal["poseval", "corrected"]
LARGEST_ID = 9999  # poseval's arrays end there.
HEAD_JOINTS = ("head_top", "head_bottom", "nose")  # Printed as one, "head".
_UNMATCHABLE = 1e6


@dataclass
class JointCounts:
    """CLEAR-MOT counts of one joint, summed over videos."""

    objects: int = 0
    misses: int = 0
    switches: int = 0
    false_positives: int = 0
    detections: int = 0
    distance: float = 0.0  # Of the matches.
    raw_distance: float = 0.0  # Of all pairs near enough.

    def measures(self, protocol: Protocol) -> dict[str, float]:
        """mota, motp, precision and recall in percent; NaN where nothing is there to divide by."""
        wrong = self.misses + self.switches + self.false_positives
        distance = self.distance + (self.raw_distance if protocol == "poseval" else 0.0)
        if self.detections:
            motp = 100 * (1 - distance / self.detections)
        else:
            motp = 0.0 if protocol == "poseval" else float("nan")
        return {
            "mota": 100 * (1 - _divide(wrong, self.objects)),
            "motp": motp,
            "precision": 100 * _divide(self.detections, self.detections + self.false_positives),
            "recall": 100 * _divide(self.detections, self.objects),
        }


@dataclass
class JointTracker:
    """CLEAR-MOT of one joint through one video: a pair goes on while it is near enough, the others are matched anew."""

    counts: JointCounts
    last: dict[int, int] = field(default_factory=dict)  # Ground truth's id → the id it was matched with last.

    def frame(self, truth: list[int], found: list[int], distances: np.ndarray) -> None:
        """Counts a frame: ids of ground truth [G] and predictions [P], and distances [G, P], infinite if too far."""
        counts = self.counts
        counts.objects += len(truth)
        counts.raw_distance += float(distances[np.isfinite(distances)].sum())
        pairs: dict[int, int] = {}
        for row, person in enumerate(truth):
            column = found.index(self.last[person]) if self.last.get(person) in found else -1
            # Two people may have been matched with one track in turn: the first goes on.
            if column >= 0 and column not in pairs.values() and np.isfinite(distances[row, column]):
                pairs[row] = column
        rows = [row for row in range(len(truth)) if row not in pairs]
        columns = [column for column in range(len(found)) if column not in pairs.values()]
        if rows and columns:
            cost = distances[np.ix_(rows, columns)]
            chosen = linear_sum_assignment(np.where(np.isfinite(cost), cost, _UNMATCHABLE))
            for row, column in zip(*chosen, strict=True):
                if np.isfinite(cost[row, column]):
                    pairs[rows[row]] = columns[column]
        for row, column in pairs.items():
            person, track = truth[row], found[column]
            counts.switches += person in self.last and self.last[person] != track
            counts.distance += float(distances[row, column])
            self.last[person] = track
        counts.detections += len(pairs)
        counts.misses += len(truth) - len(pairs)
        counts.false_positives += len(found) - len(pairs)


def evaluate_posetrack(annotations: str | Path, results: str | Path, protocol: Protocol) -> dict[str, Any]:
    """Measures a results file or folder against annotations, as `evaluate_films`."""
    only_first = protocol == "poseval"
    return evaluate_films(read_films(annotations, only_first), read_films(results, only_first), protocol)


def evaluate_films(truth: list[Film], found: list[Film], protocol: Protocol) -> dict[str, Any]:
    """Measures tracks against ground truth.

    Args:
        truth: annotated videos.
        found: results for them; a frame or video without any has no predictions.
        protocol: poseval or corrected.

    Returns:
        `joints`: of each joint ap, mota, motp, precision and recall in percent, and the counts; `total`: their means
        over the joints, NaN left out; `head`: the means of the head's joints; `identity`: idf1, hota and others in
        percent, and the numbers of switches and fragments, of whole persons.

    Raises:
        UserError: results of an unknown video or frame, an id twice in a frame, a person without a head box, or no
            labelled frame at all.
    """
    from keras_simplepose.evaluation.identity_metrics import identity_measures

    films = [_pair_film(film, frames, protocol) for film, frames in _joined(truth, found, protocol)]
    if not any(films):
        raise UserError("the annotations have no labelled frame to measure on")
    precision = _average_precisions([pairs for film in films for pairs in film])
    counts = [JointCounts() for _ in JOINTS]
    for film in films:
        trackers = [JointTracker(count) for count in counts]
        for pairs in film[:-1] if protocol == "poseval" else film:
            for joint, tracker in enumerate(trackers):
                tracker.frame(*_joint_frame(pairs, joint, protocol))
    joints = {
        name: {"ap": ap, **count.measures(protocol), **vars(count)}
        for name, ap, count in zip(JOINTS, precision, counts, strict=True)
    }
    measured = ("ap", "mota", "motp", "precision", "recall")
    return {
        "protocol": protocol,
        "joints": joints,
        "head": {name: _mean([joints[joint][name] for joint in HEAD_JOINTS]) for name in measured},
        "total": {name: _mean([values[name] for values in joints.values()]) for name in measured},
        "identity": identity_measures(films),
    }


def _joined(truth: list[Film], found: list[Film], protocol: Protocol) -> list[tuple[Film, dict[str, FramePersons]]]:
    """Every annotated video with the frames found in it."""
    videos = {film.name: film for film in truth}
    results = {film.name: film.frames for film in found}
    if len(truth) == len(found) == 1:  # Of one video each, whatever tracker and annotators call it.
        results = {truth[0].name: found[0].frames}
    for name, frames in results.items():
        if name not in videos:
            raise UserError(f"the results are of video {name}, which the annotations do not have")
        unknown = [frame for frame in frames if frame not in videos[name].frames]
        if unknown:
            raise UserError(f"the results have frame {unknown[0]} of video {name}, which the annotations do not list")
    if protocol == "poseval":
        for film in (*truth, *found):
            largest = max(
                (int(ids.max()) for ids in (frame.ids for frame in film.frames.values()) if len(ids)), default=0
            )
            if largest > LARGEST_ID:
                raise UserError(
                    f"video {film.name} has track {largest}; poseval takes ids below {LARGEST_ID + 1}, corrected any"
                )
    return [(film, results.get(film.name, {})) for film in truth]


def _pair_film(film: Film, found: dict[str, FramePersons], protocol: Protocol) -> list[FramePairs]:
    """The frames that count."""
    corrected, frames = protocol == "corrected", []
    for name, truth in film.frames.items():
        if len(truth) or (corrected and truth.labelled):
            persons = found.get(name, FramePersons.gathered([], [], True))
            frames.append(pair_frame(truth, persons, corrected, f"video {film.name}, frame {name}"))
    return frames


def _joint_frame(pairs: FramePairs, joint: int, protocol: Protocol) -> tuple[list[int], list[int], np.ndarray]:
    """A joint's ids and distances; what is too far is infinite."""
    if protocol == "poseval" and not (len(pairs.ids) and len(pairs.truth_ids)):
        return [0], [0], np.full((1, 1), np.inf)
    rows, columns = np.flatnonzero(pairs.truth_has[:, joint]), np.flatnonzero(pairs.has[:, joint])
    near = np.where(pairs.right, pairs.distances, np.inf)[:, :, joint].T[np.ix_(rows, columns)]
    return pairs.truth_ids[rows].tolist(), pairs.ids[columns].tolist(), near


def _average_precisions(frames: list[FramePairs]) -> list[float]:
    """AP of each joint over all frames."""
    result = []
    owners = [pairs.assignment() for pairs in frames]
    for joint in range(len(JOINTS)):
        scores: list[float] = []
        right: list[bool] = []
        for pairs, assigned in zip(frames, owners, strict=True):
            person_of = {int(row): person for person, row in enumerate(assigned) if row >= 0}
            for row in np.flatnonzero(pairs.has[:, joint]).tolist():
                scores.append(float(pairs.scores[row, joint]))
                right.append(row in person_of and bool(pairs.right[row, person_of[row], joint]))
        labelled = sum(int(pairs.truth_has[:, joint].sum()) for pairs in frames)
        result.append(average_precision(np.array(scores), np.array(right, bool), labelled))
    return result


def _divide(value: float, by: float) -> float:
    return value / by if by else float("nan")


def _mean(values: list[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
