"""The kinds of a keypoint's error.

After Ronchi & Perona, Benchmarking and Error Diagnosis in Multi-Instance Pose Estimation (ICCV 2017), section 3, with
the thresholds of the code they published.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_simplepose.core.oks import distances_at, joint_similarities
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import Ignored, Person, PersonSet
from keras_simplepose.reporting.matches import Matches

GOOD, JITTER, INVERSION, SWAP, MISS, UNLABELLED = range(6)
KINDS = ("good", "jitter", "inversion", "swap", "miss")  # By the numbers above.
ERRORS = KINDS[1:]
NEAR, EXACT = 0.5, 0.85  # Keypoint similarity from which on a point is at a place, and from which on it is good.


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """What is right and wrong with the poses that are associated with a person, A of them.

    Attributes:
        persons: [A] indices of `PersonSet.persons`.
        results: [A] places of the results.
        kinds: [A, K] int, one of the numbers above.
        similarities: [A, K] float64 of each keypoint to its true place; NaN where that is not labelled.
        at: [A, K] float64 similarity to the place it is at: its own, or the one it was taken for.
        scores: [A] of the poses.
    """

    persons: np.ndarray
    results: np.ndarray
    kinds: np.ndarray
    similarities: np.ndarray
    at: np.ndarray
    scores: np.ndarray

    def oks(self) -> np.ndarray:
        """[A] object keypoint similarity of each pose."""
        return np.nanmean(self.similarities, axis=1)


def points_of(result: Mapping[str, Any]) -> np.ndarray:
    """The keypoints [K, 3] (x, y, score), float64, of a COCO result."""
    return np.asarray(result["keypoints"], np.float64).reshape(-1, 3)


def find_errors(
    persons: PersonSet, results: Sequence[Mapping[str, Any]], matches: Matches, skeleton: Skeleton
) -> PoseErrors:
    """Sorts every labelled keypoint of every associated pose into a kind.

    A predicted keypoint is held against its own place, that of its mirrored partner in the same person, and both of
    everybody else in the photograph; the most similar says the kind: good (≥ .85) or jitter (≥ .5) at its own place,
    inversion at the partner's, swap at someone else's, miss where nothing is ≥ .5. Each person's own size counts.

    Args:
        persons: the ground truth; persons that metrics ignore can be swapped with as well.
        results: COCO keypoint results.
        matches: of both.
        skeleton: whose flip pairs are the mirrored partners.
    """
    neighbours: dict[int, list[Person | Ignored]] = {}
    everybody: list[Person | Ignored] = [*persons.persons, *persons.ignored]
    for each in everybody:
        neighbours.setdefault(each.image_id, []).append(each)
    places = np.flatnonzero(matches.associated >= 0)
    rows = [
        classify(
            points_of(results[matches.results[place]])[:, :2],
            persons.persons[matches.associated[place]],
            neighbours[persons.persons[matches.associated[place]].image_id],
            skeleton,
        )
        for place in places
    ]
    count = len(skeleton.keypoints)
    kinds = np.array([row[0] for row in rows], int).reshape(-1, count)
    similarities = np.array([row[1] for row in rows], np.float64).reshape(-1, count)
    at = np.array([row[2] for row in rows], np.float64).reshape(-1, count)
    return PoseErrors(
        matches.associated[places], matches.results[places], kinds, similarities, at, matches.scores[places]
    )


def classify(
    points: np.ndarray, person: Person, neighbours: Sequence[Person | Ignored], skeleton: Skeleton
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kind of each keypoint of one pose; see `find_errors`.

    Args:
        points: [K, 2] predicted (x, y).
        person: that it is the pose of.
        neighbours: everybody in the photograph; `person` may be among them.
        skeleton: of both.

    Returns:
        kinds [K], similarities [K] and at [K], as in `PoseErrors`.
    """
    everyone = [person, *(each for each in neighbours if each is not person)]
    truths = np.stack([each.keypoints for each in everyone]).astype(np.float64)
    labelled = np.stack([each.visible > 0 for each in everyone])
    areas = np.array([each.area for each in everyone], np.float64)
    order = skeleton.flip_order
    options = []
    for there, known in ((truths, labelled), (truths[:, order], labelled[:, order])):
        # The scale is that of the person whose place it is: the mean of an area with itself.
        similar = np.stack(
            [
                joint_similarities(points[None], area[None], place[None], area[None], np.array(skeleton.sigmas))[0, 0]
                for place, area in zip(there, areas, strict=True)
            ]
        )
        options.append(np.where(known, similar, -1.0))
    own, partner = options[0][0], options[1][0]
    others = np.concatenate([options[0][1:], options[1][1:]]).max(0, initial=-1.0)
    best = np.maximum(np.maximum(own, partner), others)
    kinds = np.select(
        [~labelled[0], best < NEAR, (own >= best) & (own >= EXACT), own >= best, partner >= best],
        [UNLABELLED, MISS, GOOD, JITTER, INVERSION],
        SWAP,
    )
    return kinds, np.where(labelled[0], own, np.nan), np.clip(best, 0, 1)


def corrected_points(
    points: np.ndarray,
    truth: np.ndarray,
    area: float,
    kinds: np.ndarray,
    at: np.ndarray,
    wanted: Sequence[int],
    sigmas: Sequence[float],
) -> np.ndarray:
    """A pose without its errors of some kinds, each corrected as far as its kind says.

    Jitter is brought to similarity .85, a miss to .5, an inversion and a swap to the similarity it had to the place it
    was taken for; each in the direction it lies in.

    Args:
        points: [K, 3] (x, y, score).
        truth: [K, 2].
        area: of the person.
        kinds: [K].
        at: [K] as in `PoseErrors`.
        wanted: the kinds to correct.
        sigmas: [K].

    Returns:
        [K, 3].
    """
    goal = np.select([kinds == JITTER, kinds == MISS], [EXACT, NEAR], np.clip(at, NEAR, 1))
    offset = points[:, :2] - truth
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    direction = np.where(length > 0, offset / np.maximum(length, 1e-12), [1.0, 0.0])
    moved = truth + direction * distances_at(goal, area, np.asarray(sigmas))[:, None]
    chosen = np.isin(kinds, wanted)[:, None]
    return np.concatenate([np.where(chosen, moved, points[:, :2]), points[:, 2:]], axis=1)
