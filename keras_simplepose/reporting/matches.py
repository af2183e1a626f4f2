"""Which pose is which person at every OKS threshold, and precision and recall of any part of the persons."""

import contextlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_simplepose.data.persons import PersonSet
from keras_simplepose.evaluation.coco_metrics import coco_evaluation

OKS_THRESHOLDS = tuple(float(threshold) for threshold in np.linspace(0.5, 0.95, 10).round(2))  # COCO's.
# Poses and persons belong together from this OKS on, be it ever so bad a pose (Ronchi & Perona 2017, section 4).
ASSOCIATION = 0.1
RECALL_STEPS = np.linspace(0, 1, 101)  # COCO's.
NOBODY, IGNORED = -1, -2


@dataclass(frozen=True, eq=False)
class Matches:
    """pycocotools' matches of the results with the persons of an evaluation.

    Attributes:
        image_ids: I, in pycocotools' order.
        results: [D] int, the places of the results in the list given, at most 20 an image, by image and score.
        result_images: [D] int, indices of `image_ids`.
        scores: [D] float64.
        matched: [T, D] int, the index of the person matched at each of `OKS_THRESHOLDS`; `NOBODY`, or `IGNORED` for an
            annotation that metrics ignore.
        associated: [D] int, the same at `ASSOCIATION`.
        person_images: [P] int, for each of `PersonSet.persons` the index of its image; −1: not evaluated.
    """

    image_ids: tuple[int, ...]
    results: np.ndarray
    result_images: np.ndarray
    scores: np.ndarray
    matched: np.ndarray
    associated: np.ndarray
    person_images: np.ndarray

    def result_of(self) -> np.ndarray:
        """[P] int, the place of the result associated with each person; −1 where it was missed."""
        found = np.full(len(self.person_images), NOBODY)
        known = self.associated >= 0
        found[self.associated[known]] = self.results[known]
        return found


def match_persons(
    persons: PersonSet,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    image_ids: Collection[int] | None = None,
) -> Matches:
    """Matches results with persons as COCO's evaluation does, of all sizes.

    Arguments and errors as `evaluation.coco_metrics.keypoint_metrics`.
    """
    evaluation, in_order = coco_evaluation(persons, results, sigmas, image_ids)
    parameters = evaluation.params
    parameters.iouThrs = np.array([ASSOCIATION, *OKS_THRESHOLDS])
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    truths, found = evaluation.cocoGt.anns, evaluation.cocoDt.anns
    count = len(persons.persons)
    # By pycocotools' id; 0 is nobody.
    person_by_id = np.full(len(truths) + 1, NOBODY)
    for number, entry in truths.items():
        person_by_id[number] = entry["place"] if entry["place"] < count else IGNORED
    person_images = np.full(count, -1)
    for entry in truths.values():
        if entry["place"] < count:
            person_images[entry["place"]] = entry["image_id"] - 1
    places, images, scores, matched = [], [], [], []
    for image in evaluation.evalImgs:
        if image is None:
            continue
        places += [found[number]["place"] for number in image["dtIds"]]
        images += [image["image_id"] - 1] * len(image["dtIds"])
        scores += image["dtScores"]
        matched.append(person_by_id[image["dtMatches"].astype(int)])
    table = np.concatenate(matched, axis=1) if matched else np.zeros((len(parameters.iouThrs), 0), int)
    return Matches(
        tuple(in_order),
        np.array(places, int),
        np.array(images, int),
        np.array(scores, np.float64),
        table[1:],
        table[0],
        person_images,
    )


class Curves:
    """Precision and recall of some of the persons, for any weights of the photographs.

    A person not among them is ignored, with the pose on it. A pose that matches nobody at a threshold counts as false,
    unless it is associated with a person that is ignored.
    """

    def __init__(self, matches: Matches, chosen: np.ndarray | None = None):
        """Sorts the poses by score once.

        Args:
            matches: of the evaluation.
            chosen: [P] bool, the persons to measure; None: all.
        """
        evaluated = matches.person_images >= 0
        self._chosen = evaluated if chosen is None else evaluated & chosen
        self._person_images = matches.person_images[self._chosen]
        order = np.argsort(-matches.scores, kind="stable")
        self._images = matches.result_images[order]
        matched, associated = matches.matched[:, order], matches.associated[order]
        outside = np.append(~self._chosen, [False, False])  # Indexed by `IGNORED` (−2) and `NOBODY` (−1) as well.
        self._right = (matched >= 0) & ~outside[matched]
        self._wrong = (matched == NOBODY) & ~outside[associated]

    @property
    def person_count(self) -> int:
        """How many persons are measured."""
        return int(self._chosen.sum())

    def precision_recall(self, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """COCO's interpolated precision and the highest recall.

        Args:
            weights: [I] how often each photograph counts; None: once.

        Returns:
            precision [T, 101] at `RECALL_STEPS` and recall [T]; NaN where the weights leave no person.
        """
        if weights is None:
            demanded, each = float(len(self._person_images)), np.ones(len(self._images))
        else:
            demanded, each = float(weights[self._person_images].sum()), weights[self._images]
        thresholds = len(self._right)
        precision, highest = np.zeros((thresholds, len(RECALL_STEPS))), np.zeros(thresholds)
        if not demanded:
            return np.full_like(precision, np.nan), np.full_like(highest, np.nan)
        right, wrong = np.cumsum(self._right * each, axis=1), np.cumsum(self._wrong * each, axis=1)
        if not right.shape[1]:
            return precision, highest
        recall = right / demanded
        shares = right / (right + wrong + np.spacing(1.0))
        envelope = np.maximum.accumulate(shares[:, ::-1], axis=1)[:, ::-1]
        for threshold in range(thresholds):
            at = np.searchsorted(recall[threshold], RECALL_STEPS, side="left")
            reached = at < recall.shape[1]
            precision[threshold, reached] = envelope[threshold, at[reached]]
        return precision, recall[:, -1]

    def ap_ar(self, weights: np.ndarray | None = None) -> tuple[float, float]:
        """AP and AR over `OKS_THRESHOLDS`; NaN where the weights leave no person."""
        precision, recall = self.precision_recall(weights)
        return float(precision.mean()), float(recall.mean())
