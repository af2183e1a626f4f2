"""Which persons a report shows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.reporting.error_kinds import ERRORS, KINDS, PoseErrors
from keras_simplepose.reporting.gains import BACKGROUND, MISSED
from keras_simplepose.reporting.matches import NOBODY, Matches

WORST, MEDIAN = "worst", "median"
SMALL, LARGE = 32**2, 96**2  # COCO's bounds of areas.


@dataclass(frozen=True, eq=False)
class Case:
    """A person and the pose associated with it, or one without the other.

    Attributes:
        rank: `WORST`, `MEDIAN`, or the kind of error it is shown for.
        image_id: of the photograph.
        person: index of `PersonSet.persons`; `NOBODY` for a pose of nobody.
        result: place of the result; `NOBODY` for a missed person.
        oks: of the pose; 0 without a person, or without a pose.
        errors: the names of keypoints by kind of error.
        kinds: [K] as in `PoseErrors`; None where a person or a pose is missing.
        size: small, medium or large, as COCO has it; "" of nobody.
    """

    rank: str
    image_id: int
    person: int
    result: int
    oks: float
    errors: dict[str, list[str]]
    kinds: np.ndarray | None
    size: str

    @property
    def causes(self) -> list[str]:
        """What is wrong with it, by the names of the errors."""
        if self.person == NOBODY:
            return [BACKGROUND]
        if self.result == NOBODY:
            return [MISSED]
        return [kind for kind in ERRORS if self.errors.get(kind)]

    @property
    def keypoints(self) -> list[str]:
        """The keypoints that something is wrong with."""
        return sorted({name for names in self.errors.values() for name in names})


def choose_cases(
    persons: PersonSet,
    results: Sequence[dict],
    matches: Matches,
    errors: PoseErrors,
    skeleton: Skeleton,
    count: int,
) -> list[Case]:
    """The persons worth a look: the worst, those around the median, and the clearest of every kind of error.

    Args:
        persons: the ground truth.
        results: COCO results.
        matches: of both.
        errors: of the associated poses.
        skeleton: of both.
        count: of cases, at most; two fifths are the worst, one fifth around the median.
    """
    evaluated = np.flatnonzero(matches.person_images >= 0)
    oks = np.zeros(len(persons.persons))
    oks[errors.persons] = errors.oks()
    row_of = dict(zip(errors.persons.tolist(), range(len(errors.persons)), strict=True))
    found: dict[tuple[int, int], Case] = {}

    def add(rank: str, person: int, result: int) -> None:
        if (person, result) in found:
            return
        if person == NOBODY:
            case = Case(rank, results[result]["image_id"], person, result, 0.0, {}, None, "")
        else:
            each, row = persons.persons[person], row_of.get(person)
            kinds = None if row is None else errors.kinds[row]
            names = {} if kinds is None else _named(kinds, skeleton)
            size = "small" if each.area < SMALL else "medium" if each.area < LARGE else "large"
            place = NOBODY if row is None else int(errors.results[row])
            case = Case(rank, each.image_id, person, place, float(oks[person]), names, kinds, size)
        found[person, result] = case

    def add_persons(rank: str, chosen: np.ndarray) -> None:
        for person in chosen.tolist():
            row = row_of.get(person)
            add(rank, person, NOBODY if row is None else int(errors.results[row]))

    order = evaluated[np.argsort(oks[evaluated], kind="stable")]
    add_persons(WORST, order[: max(1, count * 2 // 5)])
    middle, half = len(order) // 2, max(1, count // 10)
    add_persons(MEDIAN, order[max(0, middle - half) : middle + half])
    share = max(1, count * 2 // 5 // (len(ERRORS) + 1))
    for number, kind in enumerate(KINDS):
        if kind in ERRORS and len(errors.persons):
            often = (errors.kinds == number).sum(1)
            clearest = np.argsort(-often, kind="stable")[:share]
            add_persons(kind, errors.persons[clearest[often[clearest] > 0]])
    nobodys = np.flatnonzero(matches.associated == NOBODY)
    for place in nobodys[np.argsort(-matches.scores[nobodys], kind="stable")][:share].tolist():
        add(BACKGROUND, NOBODY, int(matches.results[place]))
    return list(found.values())[:count]


def _named(kinds: np.ndarray, skeleton: Skeleton) -> dict[str, list[str]]:
    return {
        kind: [skeleton.keypoints[place] for place in np.flatnonzero(kinds == number)]
        for number, kind in enumerate(KINDS)
        if kind in ERRORS and (kinds == number).any()
    }
