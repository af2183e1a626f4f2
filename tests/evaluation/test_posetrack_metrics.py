import numpy as np
import pytest
from posetrack_films import SIZE, drop, film, persons, spoilt

from keras_simplepose.data.posetrack import JOINTS, Film, FramePersons
from keras_simplepose.evaluation.posetrack_matching import average_precision
from keras_simplepose.evaluation.posetrack_metrics import JointCounts, JointTracker, evaluate_films
from keras_simplepose.utils.errors import UserError

pytest.importorskip("trackeval")
NOBODY = FramePersons.gathered([], [], True)


def measure(results, protocol="corrected", truth=None):
    return evaluate_films([truth or film()], [results], protocol)


def mota(results, protocol="corrected", truth=None):
    return measure(results, protocol, truth)["total"]["mota"]


@pytest.mark.parametrize("protocol", ["poseval", "corrected"])
def test_perfect_tracks(protocol):
    result = measure(film(ids=(7, 3)), protocol)
    assert result["total"] == pytest.approx(dict.fromkeys(("ap", "mota", "motp", "precision", "recall"), 100))
    identity = result["identity"]
    assert [identity[name] for name in ("idf1", "hota", "switches", "fragments")] == pytest.approx([100, 100, 0, 0])


def test_one_switch():
    def swap(frames):
        for frame in frames[5:]:
            frame.ids = frame.ids[::-1].copy()

    result = measure(spoilt(swap))
    assert result["total"]["mota"] == pytest.approx(100 * (1 - 2 / 20))  # Each of the two people switches once.
    assert result["total"]["ap"] == pytest.approx(100)
    assert result["identity"]["switches"] == 2
    assert result["identity"]["idf1"] == pytest.approx(50)
    assert result["joints"]["nose"]["switches"] == 2


def test_a_fragment():
    """A person is lost for two frames and goes on under its id: misses and a fragment, no switch."""

    def lose(frames):
        for frame in frames[4:6]:
            drop(frame, 1)

    result = measure(spoilt(lose))
    assert result["total"]["mota"] == pytest.approx(90)
    assert result["total"]["recall"] == pytest.approx(90)
    assert result["total"]["precision"] == pytest.approx(100)
    assert (result["identity"]["switches"], result["identity"]["fragments"]) == (0, 1)
    assert result["identity"]["idf1"] == pytest.approx(100 * 36 / 38)


def test_a_miss_and_a_false_positive():
    result = measure(spoilt(lambda frames: drop(frames[3], 0)))
    assert result["total"]["mota"] == pytest.approx(95)

    def add(frames):
        frames[3] = persons([1, 2, 9], [(103, 103 - 3), (103, 1100), (103, 2000)])

    result = measure(spoilt(add))
    assert result["total"]["mota"] == pytest.approx(95)
    assert result["total"]["precision"] == pytest.approx(100 * 20 / 21)
    assert result["total"]["recall"] == pytest.approx(100)


def test_a_person_who_leaves_and_returns():
    truth = spoilt(lambda frames: [drop(frame, 1) for frame in frames[3:6]])
    same = spoilt(lambda frames: [drop(frame, 1) for frame in frames[3:6]])
    assert mota(same, truth=truth) == pytest.approx(100)

    def renamed(frames):
        for index, frame in enumerate(frames):
            if 3 <= index < 6:
                drop(frame, 1)
            elif index >= 6:
                frame.ids = np.array([1, 5])

    assert mota(spoilt(renamed), truth=truth) == pytest.approx(100 * (1 - 1 / 17))


def test_empty_frames_of_the_truth():
    """A labelled frame of nobody: its predictions are false positives; poseval leaves it out."""

    def empty(frames):
        frames[2] = NOBODY

    truth = spoilt(empty)
    assert mota(film(), truth=truth) == pytest.approx(100 * (1 - 2 / 18))
    assert mota(film(), "poseval", truth) == pytest.approx(100)
    truth.frames["000002.jpg"].labelled = False
    assert mota(film(), truth=truth) == pytest.approx(100)


def test_the_last_labelled_frame_is_not_tracked_by_poseval():
    def spoil(frames):
        frames[-1] = persons([8, 9], [(500, 500), (900, 100)])

    assert mota(spoilt(spoil), "poseval") == pytest.approx(100)
    assert mota(spoilt(spoil)) == pytest.approx(100 * (1 - 4 / 20))


def test_a_frame_without_predictions():
    def spoil(frames):
        frames[4] = NOBODY

    assert mota(spoilt(spoil), "poseval") == pytest.approx(88.24, abs=0.005)
    assert mota(spoilt(spoil)) == pytest.approx(90)
    without = spoilt(spoil)
    del without.frames["000004.jpg"]
    assert mota(without, "poseval") == pytest.approx(88.24, abs=0.005)


def test_a_frame_whose_people_are_all_in_ignored_regions():
    def ignore(frames):
        frames[4].ignored = [np.array([[0, 0], [5000, 0], [5000, 5000], [0, 5000.0]])]

    truth = spoilt(ignore)
    assert mota(film(), "poseval", truth) == pytest.approx(88.24, abs=0.005)
    assert mota(film(), "corrected", truth) == pytest.approx(100)


def test_points_in_ignored_regions_are_removed_from_both_sides():
    def ignore(frames):
        for frame in frames:
            frame.ignored = [np.array([[90, 90], [195, 90], [195, 110], [90, 110.0]])]

    result = measure(spoilt(lambda frames: [drop(frame, 0) for frame in frames]), truth=spoilt(ignore))
    # Of person 1 the joints up to x = 195 are ignored; the later ones are missed.
    assert result["joints"][JOINTS[0]]["mota"] == pytest.approx(100)
    assert result["joints"][JOINTS[14]]["mota"] == pytest.approx(50)


def test_motp_of_joints_a_quarter_of_a_head_off():
    def shift(frames):
        for frame in frames:
            frame.points = frame.points + [SIZE / 4, 0]

    assert measure(spoilt(shift), "poseval")["total"]["motp"] == pytest.approx(50)
    assert measure(spoilt(shift))["total"]["motp"] == pytest.approx(75)


def test_right_within_half_a_head():
    for offset, expected in ((0.499, 100), (0.501, -100)):
        result = spoilt(lambda frames, by=offset: [frame.points.__iadd__([0, by * SIZE]) for frame in frames])
        assert mota(result) == pytest.approx(expected)


def test_joints_of_visibility_0():
    """Elsewhere than at (0, 0) they count for poseval; at (0, 0) for neither."""

    def hide(frames):
        for frame in frames:
            frame.visible[:] = 0

    assert mota(spoilt(hide), "poseval") == pytest.approx(100)
    assert mota(spoilt(hide)) == pytest.approx(0)

    def zero(frames):
        hide(frames)
        for frame in frames:
            frame.points[:] = 0

    assert measure(spoilt(zero), "poseval")["total"]["recall"] == pytest.approx(0)


def test_ap_pairs_whole_poses():
    """A second pose on a person is a false positive in all joints, the stronger as it may be."""

    def double(frames):
        for k, frame in enumerate(frames):
            second = persons([1, 2, 5], [(100 + k, 100), (100 + k, 1100), (100 + k, 100 + 0.4 * SIZE)])
            second.scores[2] = 0.99
            second.points[2, 7:] += 1000  # Half of its joints are wrong, so the first is the person's.
            frame.__dict__.update(second.__dict__)

    result = measure(spoilt(double))
    # The ten false ones come first: precision climbs to 20 of 30.
    assert result["total"]["ap"] == pytest.approx(100 * 2 / 3)
    assert result["total"]["precision"] == pytest.approx(100 * 2 / 3)


def test_joints_without_a_score_come_last():
    def unscored(frames):
        for k in range(len(frames)):
            frames[k] = persons([1, 2, 3], [(100 + k, 100), (100 + k, 1100), (100 + k, 5000)])
            frames[k].scores[2] = np.nan

    assert measure(spoilt(unscored))["total"]["ap"] == pytest.approx(100)


def test_average_precision_by_hand():
    scores, right = np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False])
    # Recall ¼ at precision 1, ½ at ⅔; two of the four are never found.
    assert average_precision(scores, right, 4) == pytest.approx(100 * (0.25 + 0.25 * 2 / 3))
    assert average_precision(scores, right, 0) != average_precision(scores, right, 0)
    assert average_precision(np.array([]), np.array([], bool), 3) == 0


def test_a_joint_nobody_has_is_left_out_of_the_mean():
    def without_nose(frames):
        for frame in frames:
            frame.points[:, 13], frame.visible[:, 13] = 0, 0

    truth = spoilt(without_nose)
    result = measure(spoilt(without_nose), "poseval", truth)
    assert np.isnan(result["joints"]["nose"]["mota"]) and np.isnan(result["joints"]["nose"]["ap"])
    assert result["total"]["mota"] == pytest.approx(100)


def test_counts_are_summed_over_videos():
    short = film(3, name="short")
    found = Film("short", {name: NOBODY for name in short.frames})
    result = evaluate_films([film(), short], [film(), found], "corrected")
    assert result["total"]["recall"] == pytest.approx(100 * 20 / 26)


def test_the_head_is_the_mean_of_three_joints():
    def no_nose(frames):
        for frame in frames:
            frame.points[:, 13] += 3000

    result = measure(spoilt(no_nose))
    assert result["joints"]["nose"]["ap"] == 0
    assert result["head"]["ap"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("change", "protocol", "message"),
    [
        (lambda frames: setattr(frames[2], "ids", np.array([4, 4])), "corrected", "000002.jpg: track 4 occurs twice"),
        (lambda frames: setattr(frames[2], "ids", np.array([4, 4])), "poseval", "track 4 occurs twice in the results"),
        (lambda frames: setattr(frames[2], "ids", np.array([4, 10_000])), "poseval", "has track 10000"),
    ],
)
def test_bad_results(change, protocol, message):
    with pytest.raises(UserError, match=message):
        measure(spoilt(change), protocol)


def test_ids_of_10000_are_taken_by_the_corrected_protocol():
    assert mota(film(ids=(10_000, 123_456))) == pytest.approx(100)


def test_bad_annotations_and_unknown_frames():
    with pytest.raises(UserError, match="occurs twice in the annotations"):
        measure(film(), truth=spoilt(lambda frames: setattr(frames[0], "ids", np.array([1, 1]))))
    with pytest.raises(UserError, match="no head box"):
        measure(film(), truth=spoilt(lambda frames: setattr(frames[0], "heads", np.full((2, 4), np.nan))))
    with pytest.raises(UserError, match="frame 000010.jpg of video film, which the annotations do not list"):
        measure(film(11))
    with pytest.raises(UserError, match="video other, which"):
        evaluate_films([film()], [film(), film(name="other")], "corrected")
    with pytest.raises(UserError, match="no labelled frame"):
        measure(film(), truth=Film("film", {name: FramePersons.gathered([], [], False) for name in film().frames}))


def test_counts_agree_with_motmetrics():
    motmetrics = pytest.importorskip("motmetrics")
    rng = np.random.default_rng(0)
    counts, accumulator = JointCounts(), motmetrics.MOTAccumulator(auto_id=True)
    tracker, found = JointTracker(counts), [1, 2, 3, 4, 5]
    for _ in range(150):
        truth = sorted(rng.choice(4, rng.integers(0, 5), replace=False).tolist())
        if rng.random() < 0.3:
            found = rng.permutation(8)[: rng.integers(0, 6)].tolist()
        distances = rng.uniform(0, 1, (len(truth), len(found)))
        distances[distances > 0.5] = np.inf
        tracker.frame(truth, found, distances)
        accumulator.update(truth, found, np.where(np.isfinite(distances), distances, np.nan))
    names = ["num_misses", "num_switches", "num_false_positives", "num_objects", "num_detections"]
    expected = motmetrics.metrics.create().compute(accumulator, metrics=names, return_dataframe=False)
    ours = (counts.misses, counts.switches, counts.false_positives, counts.objects, counts.detections)
    assert list(ours) == [int(expected[name]) for name in names]
    assert counts.switches > 10
