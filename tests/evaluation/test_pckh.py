import json

import numpy as np
import pytest

from keras_simplepose.core.skeletons import MPII16
from keras_simplepose.evaluation.pckh import head_sizes, pckh, read_head_boxes
from keras_simplepose.utils.errors import UserError

HEAD = np.array([[100.0, 100.0, 130.0, 140.0]])  # Diagonal 50, so head size 30 and half of it 15.


def single(shifts, visible=None, heads=HEAD):
    """PCKh of one person whose keypoints are found `shifts` [16] pixels off."""
    truth = np.random.default_rng(0).uniform(0, 500, (1, 16, 2))
    predictions = truth + np.stack([np.asarray(shifts, float), np.zeros(16)], axis=-1)
    return pckh(predictions, truth, np.ones((1, 16)) if visible is None else visible, heads, MPII16)


def test_head_size_is_a_share_of_the_diagonal():
    assert head_sizes(HEAD) == pytest.approx([30])


def test_half_a_head_is_the_limit():
    shifts = np.zeros(16)
    shifts[0], shifts[1] = 14.99, 15.01
    metrics = single(shifts)
    assert (metrics["right_ankle"], metrics["right_knee"]) == (100, 0)
    assert metrics["PCKh"] == pytest.approx(100 * 13 / 14)


def test_the_fine_threshold_is_a_tenth_of_a_head():
    assert single([2.99] * 7 + [3.01] * 9)["PCKh@0.1"] == pytest.approx(100 * 6 / 14)


def test_pelvis_and_thorax_are_measured_but_not_in_the_mean():
    shifts = np.zeros(16)
    shifts[[6, 7]] = 1000
    metrics = single(shifts)
    assert (metrics["pelvis"], metrics["thorax"], metrics["PCKh"]) == (0, 0, 100)


def test_joints_that_are_not_labelled_do_not_count():
    visible = np.ones((1, 16))
    visible[0, :5] = 0
    metrics = single([1000] * 5 + [0] * 11, visible)
    assert metrics["PCKh"] == 100 and "right_ankle" not in metrics


def test_the_mean_weights_joint_types_by_their_labels():
    truth = np.zeros((3, 16, 2))
    predictions = truth.copy()
    predictions[:, 0] = 1000
    visible = np.zeros((3, 16))
    visible[0, 0] = 1  # One ankle, wrong, and three right knees.
    visible[:, 1] = 1
    assert pckh(predictions, truth, visible, np.repeat(HEAD, 3, axis=0), MPII16)["PCKh"] == pytest.approx(75)


def test_nothing_labelled_is_an_error():
    with pytest.raises(UserError, match="no joint"):
        single(np.zeros(16), np.zeros((1, 16)))


def write(path, *heads):
    entries = [{"id": index, **({"head_box": head} if head else {})} for index, head in enumerate(heads, start=1)]
    path.write_text(json.dumps({"annotations": entries}))
    return path


def test_head_boxes_are_read_in_the_order_asked(tmp_path):
    path = write(tmp_path / "a.json", [0, 0, 1, 1], None, [0, 0, 3, 4])
    np.testing.assert_array_equal(read_head_boxes(path, [3, 1]), [[0, 0, 3, 4], [0, 0, 1, 1]])


@pytest.mark.parametrize("head", [None, [1, 2, 3], [5, 5, 5, 9], [9, 9, 1, 1], ["a", 1, 2, 3]])
def test_a_missing_or_faulty_head_box_is_named(tmp_path, head):
    with pytest.raises(UserError, match="annotation 1 lacks head_box"):
        read_head_boxes(write(tmp_path / "a.json", head), [1])


def test_a_faulty_matlab_file_is_named(tmp_path):
    scipy_io = pytest.importorskip("scipy.io")
    (tmp_path / "text.mat").write_text("text")
    scipy_io.savemat(tmp_path / "other.mat", {"a": np.zeros(3)})
    scipy_io.savemat(tmp_path / "short.mat", {"headboxes_src": np.zeros((2, 3))})
    for name in ("absent", "text", "other", "short"):
        with pytest.raises(UserError, match=f"{name}.mat"):
            read_head_boxes(tmp_path / f"{name}.mat", [1])


def test_published_figures_are_reproduced(shared_data):
    from scipy.io import loadmat

    values = loadmat(shared_data / "eval_checks" / "detections_our_format.mat")
    predictions, truth = (values[name].transpose(2, 0, 1) for name in ("pos_pred_src", "pos_gt_src"))
    heads = read_head_boxes(shared_data / "eval_checks" / "detections_our_format.mat", range(1, len(truth) + 1))
    metrics = pckh(predictions, truth, 1 - values["jnt_missing"].T, heads, MPII16)
    expected = {"right_wrist": 76.4, "left_wrist": 77.1, "right_ankle": 65.2, "left_ankle": 65.7}
    assert round(metrics["PCKh"], 2) == 82.34
    assert {name: round(metrics[name], 1) for name in expected} == expected
