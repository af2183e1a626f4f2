"""What clients send to exported files: an error of the call, or finite numbers of the documented shape."""

import numpy as np
import pytest
from fuzzing import COUNTS, fuzz
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from keras_simplepose import PosePredictor, Poses, UserError
from keras_simplepose.prediction.exported_model import load_artefact, tflite_signature

ARTEFACTS = ["savedmodel", "pose_float32.tflite", "pose.onnx"]
ODD = st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-38, 2.0**31, -1.0, 0.0])
NUMBER = ODD | st.floats(width=32) | st.floats(-100, 300, width=32)
BOXES = arrays.arrays(np.float32, st.tuples(st.integers(0, 3), st.just(4)), elements=NUMBER)


def photographs(largest):
    """[H, W, 3] uint8 of random sizes, thin ones as well."""
    side = st.integers(1, largest)
    return st.builds(
        lambda h, w, seed: np.random.default_rng(seed).integers(0, 256, (h, w, 3), np.uint8), side, side, side
    )


@pytest.mark.parametrize("count", COUNTS)
def test_a_box_and_a_size_of_any_kind_in_a_tflite_file(exported, count):
    signature = tflite_signature(exported / "exported/pose_float32.tflite", "image")

    def check(value):
        image, box = value
        answer = signature(image=image, boxes=box)
        assert answer["keypoints"].shape == (1, 17, 3) and answer["scores"].shape == (1,)
        assert np.isfinite(answer["keypoints"]).all() and np.isfinite(answer["scores"]).all()

    fuzz(st.tuples(photographs(60), arrays.arrays(np.float32, (1, 4), elements=NUMBER)), check, count)


@pytest.mark.parametrize("name", ARTEFACTS)
@pytest.mark.parametrize("count", COUNTS)
def test_crops_of_any_numbers(exported, name, count):
    predict, _ = load_artefact(exported / "exported" / name)
    base = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    values = st.lists(st.tuples(st.integers(0, base.size - 1), NUMBER), max_size=6)

    def check(changes):
        crops = base.copy()
        for place, number in changes:
            crops.reshape(-1)[place] = number
        keypoints, maxima = predict(crops)
        assert keypoints.shape == (2, 17, 2) and maxima.shape == (2, 17)
        if np.isfinite(crops).all() and np.abs(crops).max() < 1e6:
            assert np.isfinite(keypoints).all() and np.isfinite(maxima).all()

    fuzz(values, check, count // 4)


@pytest.mark.parametrize("name", [*ARTEFACTS, "../pose.keras"])
@pytest.mark.parametrize("count", COUNTS)
def test_photographs_and_boxes_of_any_kind_through_the_predictor(exported, name, count):
    predictor = PosePredictor.load(exported / "exported" / name)
    kinds = st.sampled_from([np.uint8, np.float32, np.float64, np.int64, np.bool_, np.object_, np.complex64])
    shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple) | st.just((20, 30, 3))
    odd = st.builds(lambda shape, kind: np.zeros(shape).astype(kind), shapes, kinds)
    odd |= st.none() | st.text(max_size=3) | st.just([[1, 2], [3]])

    def check(value):
        try:
            poses = predictor(*value)
        except UserError as error:
            assert "\n" not in str(error) and 0 < len(str(error)) < 300
            return
        assert isinstance(poses, Poses) and np.isfinite(poses.keypoints).all() and np.isfinite(poses.scores).all()

    fuzz(st.tuples(photographs(60) | odd, BOXES | odd), check, count // 4)
