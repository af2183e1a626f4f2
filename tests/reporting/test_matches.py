import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import people, poses_of, skeleton_results

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.evaluation.coco_metrics import keypoint_metrics
from keras_simplepose.reporting.bootstrap import intervals, paired_difference, resamples
from keras_simplepose.reporting.matches import Curves, match_persons


def noisy(persons, seed, noise=0.06, ties=True):
    random = np.random.default_rng(seed)
    points = poses_of(persons)
    spread = np.sqrt([each.area for each in persons.persons])[:, None, None]
    points[..., :2] += (
        random.normal(0, noise, points[..., :2].shape) * spread * random.uniform(0, 2, (len(points), 1, 1))
    )
    return skeleton_results(persons, points, random.uniform(0.1, 1, len(points)).round(1 if ties else 9))


@pytest.fixture(scope="module")
def crowd():
    return people(images=12, per_image=3, seed=1)


def test_all_persons_have_pycocotools_ap_and_ar(crowd):
    for seed in range(4):
        results = noisy(crowd, seed)
        official = keypoint_metrics(crowd, results, COCO17.sigmas)
        ours = Curves(match_persons(crowd, results, COCO17.sigmas)).ap_ar()
        assert ours == pytest.approx((official["AP"], official["AR"]), abs=1e-12)
        assert 0.05 < ours[0] < 0.95


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000))
def test_a_resample_is_what_pycocotools_says_of_the_photographs_written_out(seed):
    """Every photograph copied as often as it was drawn."""
    persons = people(images=5, per_image=2, seed=seed)
    results = noisy(persons, seed, ties=False)  # Of equal scores the copies would be mixed.
    matches = match_persons(persons, results, COCO17.sigmas)
    weights = next(resamples(5, 1, seed))
    copies, copied = people(images=5, per_image=2, seed=seed, copies=dict(zip(matches.image_ids, weights, strict=True)))
    written = [
        each | {"image_id": copy}
        for each in results
        for copy, original in copied.items()
        if each["image_id"] == original
    ]
    official = keypoint_metrics(copies, written, COCO17.sigmas)
    assert Curves(matches).ap_ar(weights) == pytest.approx((official["AP"], official["AR"]), abs=1e-12)


def test_intervals_hold_the_value_and_shrink_with_more_photographs():
    widths = []
    for images in (8, 64):
        persons = people(images=images, per_image=2, seed=3)
        matches = match_persons(persons, noisy(persons, 0), COCO17.sigmas)
        ap, ar = intervals([Curves(matches)], images, 200, seed=0)[0]
        assert ap.low <= ap.value <= ap.high and ar.low <= ar.value <= ar.high
        widths.append(ap.high - ap.low)
    assert widths[1] < 0.6 * widths[0]


def test_paired_differences_tell_a_small_constant_loss_from_chance(crowd):
    """The intervals of the two overlap; that of their difference does not touch zero."""
    good, other = noisy(crowd, 0, 0.05), noisy(crowd, 0, 0.065)
    first, second = (Curves(match_persons(crowd, each, COCO17.sigmas)) for each in (other, good))
    difference = paired_difference(first, second, 12, 300, seed=0)
    assert difference.interval.low > 0 and difference.probability < 0.05
    alone = [each[0] for each in intervals([first, second], 12, 300, seed=0)]
    assert alone[0].high > alone[1].low
    same = paired_difference(first, first, 12, 50, seed=0)
    assert same.interval.value == 0 and same.probability == 1


def test_a_group_neither_demands_others_nor_holds_their_poses_against_itself(crowd):
    chosen = np.arange(len(crowd.persons)) % 3 == 0
    points = poses_of(crowd)
    points[~chosen, :, :2] += 15  # Bad, but nearest to their own persons.
    matches = match_persons(crowd, skeleton_results(crowd, points, np.ones(len(points))), COCO17.sigmas)
    assert Curves(matches, chosen).ap_ar() == (1.0, 1.0)
    assert Curves(matches).ap_ar()[0] < 0.9
    assert Curves(matches, chosen).person_count == 12
