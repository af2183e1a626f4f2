"""How much AP would be gained if one kind of error were corrected."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import Ignored, Person, PersonSet
from keras_simplepose.reporting.error_kinds import KINDS, PoseErrors, corrected_points, find_errors, points_of
from keras_simplepose.reporting.matches import IGNORED, NOBODY, Curves, Matches, match_persons

SCORES, BACKGROUND, MISSED = "scores", "background", "missed persons"
# The order of Ronchi & Perona, each on top of those before it.
CAUSES = ("miss", "swap", "inversion", "jitter", SCORES, BACKGROUND, MISSED)


@dataclass(frozen=True)
class Gain:
    """What one cause costs.

    Attributes:
        cause: one of `CAUSES`.
        count: of keypoints, poses or persons.
        alone: AP gained if it alone were corrected.
        in_turn: AP gained if it were corrected after those before it in `CAUSES`.
        level: AP then.
    """

    cause: str
    count: int
    alone: float
    in_turn: float
    level: float


def gains(
    persons: PersonSet,
    results: Sequence[dict[str, Any]],
    matches: Matches,
    errors: PoseErrors,
    skeleton: Skeleton,
) -> list[Gain]:
    """AP gained by correcting each of `CAUSES`, alone and in turn."""
    base = Curves(matches).ap_ar()[0]
    found, level = [], base
    for number, cause in enumerate(CAUSES):
        alone = _ap(persons, results, matches, errors, skeleton, (cause,))
        reached = _ap(persons, results, matches, errors, skeleton, CAUSES[: number + 1])
        found.append(Gain(cause, count_of(cause, matches, errors), alone - base, reached - level, reached))
        level = reached
    return found


def count_of(cause: str, matches: Matches, errors: PoseErrors) -> int:
    """How often a cause occurs: keypoints, poses that score below a worse one of another person, poses, or persons."""
    if cause in KINDS:
        return int((errors.kinds == KINDS.index(cause)).sum())
    if cause == BACKGROUND:
        return int((matches.associated == NOBODY).sum())
    if cause == MISSED:
        return int(((matches.result_of() == NOBODY) & (matches.person_images >= 0)).sum())
    return misordered(errors.scores, errors.oks())


def misordered(scores: np.ndarray, quality: np.ndarray) -> int:
    """How many poses [A] have a worse one that scores higher."""
    if not len(scores):
        return 0
    order = np.argsort(-scores, kind="stable")
    worst_above = np.minimum.accumulate(np.append(np.inf, quality[order]))[:-1]
    return int((quality[order] > worst_above).sum())


def _ap(
    persons: PersonSet,
    results: Sequence[dict[str, Any]],
    matches: Matches,
    errors: PoseErrors,
    skeleton: Skeleton,
    causes: Sequence[str],
) -> float:
    wanted = [KINDS.index(cause) for cause in causes if cause in KINDS]
    mended = list(results)
    for row, place in enumerate(errors.results.tolist()):
        person = persons.persons[errors.persons[row]]
        if wanted:
            points = corrected_points(
                points_of(results[place]),
                person.keypoints,
                person.area,
                errors.kinds[row],
                errors.at[row],
                wanted,
                skeleton.sigmas,
            )
            mended[place] = mended[place] | {"keypoints": points.ravel().tolist()}
    now = match_persons(persons, mended, skeleton.sigmas, matches.image_ids) if wanted else matches
    if SCORES in causes:
        mended = _well_scored(persons, mended, now, skeleton)
    if BACKGROUND in causes:
        nobody = set(now.results[now.associated == NOBODY].tolist())
        mended = [each for place, each in enumerate(mended) if place not in nobody]
    if MISSED in causes:
        persons = _without_missed(persons, now)
    return Curves(match_persons(persons, mended, skeleton.sigmas, matches.image_ids)).ap_ar()[0]


def _well_scored(
    persons: PersonSet, results: Sequence[dict[str, Any]], matches: Matches, skeleton: Skeleton
) -> list[dict[str, Any]]:
    """The results with scores that order them by how good they are: the OKS to their person, 0 without one."""
    scored = [each | {"score": 0.0} for each in results]
    errors = find_errors(persons, results, matches, skeleton)
    for place, oks in zip(errors.results.tolist(), errors.oks().tolist(), strict=True):
        scored[place]["score"] = oks
    for place in matches.results[matches.associated == IGNORED].tolist():
        scored[place]["score"] = results[place]["score"]
    return scored


def _without_missed(persons: PersonSet, matches: Matches) -> PersonSet:
    missed = (matches.result_of() == NOBODY) & (matches.person_images >= 0)
    left = tuple(each for each, gone in zip(persons.persons, missed, strict=True) if not gone)
    return replace(
        persons,
        persons=left,
        ignored=(
            *persons.ignored,
            *(_ignored(each) for each, gone in zip(persons.persons, missed, strict=True) if gone),
        ),
    )


def _ignored(person: Person) -> Ignored:
    return Ignored(
        person.image_id,
        person.annotation_id,
        person.box,
        person.keypoints,
        person.visible,
        person.area,
        crowd=False,
    )
