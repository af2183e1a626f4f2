"""Errors planted in known poses are found, and cost what correcting them gives back."""

import numpy as np
import pytest
from planted import SIGMAS, people, poses_of, skeleton_results

from keras_simplepose.core.oks import distances_at, joint_similarities
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.reporting.error_kinds import KINDS, classify, corrected_points, find_errors
from keras_simplepose.reporting.gains import BACKGROUND, MISSED, gains
from keras_simplepose.reporting.matches import match_persons

ORDER = COCO17.flip_order
PAIRED = np.flatnonzero(ORDER != np.arange(17))


def plant(kind, count, seed=0):
    """Poses with `count` errors of a kind, one or two a person: poses [P, K, 3], and the (person, keypoint) of each."""
    random = np.random.default_rng(seed)
    persons = people(images=-(-count // 4), per_image=2, seed=seed)
    points, planted = poses_of(persons), []
    for number in range(count):
        index, second = divmod(number, 2)
        person, other = persons.persons[index], persons.persons[index ^ 1]
        joints = PAIRED[PAIRED > 4] if kind == "inversion" else np.arange(17)
        joint = joints[(3 * index + 7 * second) % len(joints)]
        truth, angle = person.keypoints[joint], random.uniform(0, 2 * np.pi)
        way = np.array([np.cos(angle), np.sin(angle)])
        if kind == "jitter":
            similarity = random.uniform(0.55, 0.8)
            goal = truth + way * distances_at(similarity, person.area, SIGMAS[joint])
        elif kind == "inversion":
            goal = person.keypoints[ORDER[joint]] + random.normal(0, 0.5, 2)
        elif kind == "swap":
            goal = other.keypoints[joint if number % 3 else ORDER[joint]] + random.normal(0, 0.5, 2)
        else:  # A miss: above both, where nobody is.
            goal = np.array([truth[0], -0.6 * person.box[3]]) + random.normal(0, 10, 2)
        points[index, joint, :2] = goal
        planted.append((index, joint))
    return persons, points, planted


@pytest.mark.parametrize(("kind", "count"), [("jitter", 500), ("inversion", 200), ("swap", 200), ("miss", 200)])
def test_planted_errors_are_classified_right(kind, count):
    persons, points, planted = plant(kind, count)
    results = skeleton_results(persons, points, np.linspace(1, 0.5, len(points)))
    matches = match_persons(persons, results, COCO17.sigmas)
    errors = find_errors(persons, results, matches, COCO17)
    table = np.full((len(points), 17), -1)
    table[errors.persons] = errors.kinds
    right = np.mean([KINDS[table[place]] == kind for place in planted])
    assert right >= 0.95, f"{right:.1%} of {kind}"
    table[tuple(np.transpose(planted))] = KINDS.index("good")
    assert (table == KINDS.index("good")).all()  # Nothing else is called an error.


def test_correcting_the_planted_kind_gives_back_what_it_cost():
    for kind in ("inversion", "miss", "swap", "jitter"):
        persons, points, _ = plant(kind, 24)
        results = skeleton_results(persons, points, np.ones(len(points)))
        matches = match_persons(persons, results, COCO17.sigmas)
        errors = find_errors(persons, results, matches, COCO17)
        found = {gain.cause: gain for gain in gains(persons, results, matches, errors, COCO17)}
        others = [gain.alone for cause, gain in found.items() if cause in KINDS and cause != kind]
        assert found[kind].count >= 23 and found[kind].alone >= max(others, default=0)
        if kind != "jitter":  # It costs less than a threshold's step.
            assert found[kind].alone > 0.01


def test_missed_persons_and_poses_of_nobody_are_counted_and_cost():
    persons = people(images=6, per_image=2)
    points = poses_of(persons)
    results = skeleton_results(persons, points, np.ones(len(points)))[2:]  # Two missed, two where nobody is.
    ghosts = [each | {"keypoints": (np.array(each["keypoints"]) + 900).tolist(), "score": 2.0} for each in results[:2]]
    matches = match_persons(persons, results + ghosts, COCO17.sigmas)
    errors = find_errors(persons, results + ghosts, matches, COCO17)
    found = {gain.cause: gain for gain in gains(persons, results + ghosts, matches, errors, COCO17)}
    assert found[BACKGROUND].count == found[MISSED].count == 2
    assert found[BACKGROUND].alone > 0.1 and found[MISSED].alone > 0.1
    assert found[MISSED].level == pytest.approx(1)


def test_a_correction_lands_at_the_similarity_its_kind_says():
    persons, points, planted = plant("jitter", 40)
    person, pose = persons.persons[0], points[0]
    kinds, similar, at = classify(pose[:, :2], person, persons.persons[:2], COCO17)
    areas = np.array([person.area])
    mended = corrected_points(pose, person.keypoints, person.area, kinds, at, [KINDS.index("jitter")], SIGMAS)
    after = joint_similarities(mended[None, :, :2], areas, person.keypoints[None], areas, SIGMAS)[0, 0]
    joint = planted[0][1]
    assert similar[joint] < 0.81 and after[joint] == pytest.approx(0.85)
    untouched = kinds == KINDS.index("good")
    np.testing.assert_array_equal(mended[untouched], pose[untouched])


def test_distances_are_the_inverse_of_similarities():
    similarities = np.random.default_rng(0).uniform(0.01, 1, 17)
    points = np.zeros((1, 17, 2))
    moved = points + np.stack([distances_at(similarities, 5000.0, SIGMAS), np.zeros(17)], -1)
    areas = np.array([5000.0])
    np.testing.assert_allclose(joint_similarities(points, areas, moved, areas, SIGMAS)[0, 0], similarities)
