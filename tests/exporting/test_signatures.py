import cv2
import numpy as np
import pytest
import tensorflow as tf
from export_models import photograph, random_crops
from fuzzing import COUNTS, fuzz, huge_jpeg, jpeg
from hypothesis import strategies as st

from keras_simplepose import EvaluationConfig, PosePredictor, UserError, load_model, pose_spec
from keras_simplepose.prediction.exported_model import ArtefactMetadata, load_artefact

GOOD = [[20, 10, 60, 90], [-30, 40, 80, 70], [100, 60, 90, 90]]
BAD = {
    "nan": [np.nan, 1, 2, 3],
    "infinite": [1, 1, np.inf, 5],
    "minus infinite": [-np.inf, 1, 5, 5],
    "no width": [5, 5, 0, 10],
    "negative height": [5, 5, 10, -3],
    "outside": [4000, 10, 20, 20],
    "huge": [1e38, 1e38, 1e38, 1e38],
    "tiny": [5, 5, 1e-30, 1e-30],
}


@pytest.fixture(scope="module")
def signatures(exported):
    loaded = tf.saved_model.load(str(exported / "exported/savedmodel/1"))
    yield loaded.signatures
    del loaded


@pytest.fixture(scope="module")
def keras_predictor(exported):
    return PosePredictor.load(exported / "pose.keras")


def boxes(values):
    return tf.constant(np.array(values, np.float32).reshape(-1, 4))


def png(image):
    return tf.constant(cv2.imencode(".png", image[..., ::-1])[1].tobytes())


def test_signatures_have_the_documented_names_types_and_shapes(signatures):
    crop, keypoints = [None, 64, 64, 3], {"keypoints": [None, 17, 3], "scores": [None]}
    expected = {
        "serving_default": ({"image_bytes": ([], "string"), "boxes": ([None, 4], "float32")}, keypoints),
        "image": ({"image": ([None, None, 3], "uint8"), "boxes": ([None, 4], "float32")}, keypoints),
        "crops": ({"crops": (crop, "float32")}, keypoints),
        "crops_uint8": ({"crops": (crop, "uint8")}, keypoints),
        "heatmaps": ({"crops": (crop, "float32")}, {"heatmaps": [None, 16, 16, 17]}),
    }
    assert set(signatures) == set(expected)
    for name, (inputs, outputs) in expected.items():
        found = signatures[name].structured_input_signature[1]
        assert {key: (spec.shape.as_list(), spec.dtype.name) for key, spec in found.items()} == inputs
        for key, shape in outputs.items():
            spec = signatures[name].structured_outputs[key]
            assert spec.dtype == tf.float32 and spec.shape.as_list() == shape


@pytest.mark.parametrize("size", [(120, 160), (97, 210)])
def test_photograph_and_boxes_give_the_predictors_keypoints(signatures, keras_predictor, size):
    image = cv2.resize(photograph(), size[::-1])
    poses = keras_predictor(image, GOOD)
    for answer in (
        signatures["serving_default"](image_bytes=png(image), boxes=boxes(GOOD)),
        signatures["image"](image=tf.constant(image), boxes=boxes(GOOD)),
    ):
        np.testing.assert_allclose(answer["keypoints"], poses.keypoints, atol=2e-3)
        np.testing.assert_allclose(answer["scores"], poses.scores, atol=1e-5)


def test_jpegs_are_decoded_as_the_readers_do(signatures, keras_predictor):
    coded = cv2.imencode(".jpg", photograph()[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1]
    poses = keras_predictor(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1].copy(), GOOD)
    answer = signatures["serving_default"](image_bytes=tf.constant(coded.tobytes()), boxes=boxes(GOOD))
    np.testing.assert_allclose(answer["keypoints"], poses.keypoints, atol=2e-3)


def test_no_boxes_give_empty_results(signatures):
    for answer in (
        signatures["serving_default"](image_bytes=png(photograph()), boxes=boxes([])),
        signatures["image"](image=tf.constant(photograph()), boxes=boxes([])),
    ):
        assert answer["keypoints"].shape == (0, 17, 3) and answer["scores"].shape == (0,)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_bad_box_gives_zeros_and_leaves_the_others_alone(signatures, bad):
    image = tf.constant(photograph())
    alone = signatures["image"](image=image, boxes=boxes(GOOD))
    mixed = signatures["image"](image=image, boxes=boxes([GOOD[0], bad, *GOOD[1:]]))
    np.testing.assert_array_equal(mixed["keypoints"][1], np.zeros((17, 3)))
    assert mixed["scores"][1] == 0
    others = np.delete(mixed["keypoints"].numpy(), 1, axis=0)
    np.testing.assert_allclose(others, alone["keypoints"], atol=1e-4)


def test_crops_that_are_not_finite_give_zeros_and_leave_the_others_alone(signatures):
    crops = random_crops(3)
    alone = signatures["crops"](crops=tf.constant(crops))["keypoints"].numpy()
    crops[1] = np.nan
    mixed = signatures["crops"](crops=tf.constant(crops))["keypoints"].numpy()
    np.testing.assert_array_equal(mixed[1], np.zeros((17, 3)))
    np.testing.assert_allclose(mixed[[0, 2]], alone[[0, 2]], atol=1e-4)


@pytest.mark.parametrize("content", [b"", b"no image", b"\xff\xd8\xff\xe0 cut", b"\x89PNG\r\n\x1a\n"])
def test_bytes_that_are_no_image_are_an_error_of_the_call(signatures, content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        signatures["serving_default"](image_bytes=tf.constant(content), boxes=boxes(GOOD))


@pytest.mark.parametrize("count", COUNTS)
def test_whatever_is_sent_gets_an_error_or_a_defined_answer(signatures, count):
    """A crash would end the tests' process, as it would a server's."""
    coded = [jpeg(40, 50), png(photograph()).numpy(), huge_jpeg()]
    coded += [cv2.imencode(suffix, photograph())[1].tobytes() for suffix in (".bmp", ".gif")]
    number = st.floats(width=32) | st.sampled_from(
        [float("nan"), float("inf"), 3e38, -3e38, 1e-38, 2.0**31, 20.0, 60.0]
    )
    box = st.tuples(number, number, number, number)
    flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8)

    def check(value):
        content, flips, cut, rows = value
        content = bytearray(content)
        for place, byte in flips if content else ():
            content[place % len(content)] = byte
        content = content[: len(content) - cut % (len(content) + 1)]
        try:
            answer = signatures["serving_default"](image_bytes=tf.constant(bytes(content)), boxes=boxes(rows))
        except tf.errors.InvalidArgumentError:
            answer = signatures["image"](image=tf.zeros((9, 7, 3), tf.uint8), boxes=boxes(rows))
        assert answer["keypoints"].shape == (len(rows), 17, 3) and answer["scores"].shape == (len(rows),)
        assert np.isfinite(answer["keypoints"]).all() and np.isfinite(answer["scores"]).all()

    # By number: what a strategy holds is written out where a draw is given up, and a megabyte is a warning.
    contents = st.binary(max_size=80) | st.integers(0, len(coded) - 1).map(lambda place: coded[place])
    fuzz(st.tuples(contents, flips, st.just(0) | st.integers(0, 10**5), st.lists(box, max_size=3)), check, count)


def test_hundreds_of_boxes_are_one_call(signatures):
    many = signatures["image"](image=tf.constant(photograph()), boxes=boxes(GOOD * 100))
    one = signatures["image"](image=tf.constant(photograph()), boxes=boxes(GOOD))
    np.testing.assert_allclose(many["keypoints"][-3:], one["keypoints"], atol=1e-4)


@pytest.mark.parametrize("name", ["savedmodel", "savedmodel/1", "pose_float32.tflite", "pose.onnx"])
def test_the_predictor_runs_every_artefact(exported, keras_predictor, name):
    predictor = PosePredictor.load(exported / "exported" / name)
    expected, poses = keras_predictor(photograph(), GOOD), predictor(photograph(), GOOD)
    assert predictor.spec == keras_predictor.spec
    np.testing.assert_allclose(poses.keypoints, expected.keypoints, atol=2e-3)
    assert len(predictor(photograph(), [])) == 0


@pytest.mark.parametrize("name", ["savedmodel", "pose_float32.tflite", "pose.onnx"])
@pytest.mark.parametrize("flags", [{"flip_test": False}, {"flip_shift": False}, {"decoding": "dark"}])
def test_flags_that_contradict_the_artefact_are_refused(exported, name, flags):
    with pytest.raises(UserError, match=next(iter(flags))):
        PosePredictor.load(exported / "exported" / name, EvaluationConfig(**flags))


@pytest.mark.parametrize("name", ["none.tflite", "none.onnx", "text.tflite", "text.onnx", "folder"])
def test_what_is_no_artefact_is_one_line_of_error(tmp_path, name):
    if name.endswith(".onnx"):
        pytest.importorskip("onnxruntime")
    if name.endswith(".tflite"):
        pytest.importorskip("ai_edge_litert")
    if name.startswith("text"):
        (tmp_path / name).write_text("text")
    if name == "folder":
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=name) as caught:
        load_artefact(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_metadata_survive_and_damage_is_named(exported):
    spec = pose_spec(load_model(exported / "pose.keras"))
    metadata = ArtefactMetadata(
        spec, EvaluationConfig(flip_test=False, flip_shift=False, keypoint_threshold=0.3), False, quantize="int8"
    )
    assert ArtefactMetadata.from_json(metadata.to_json(), "x") == metadata
    with pytest.raises(UserError, match="x: its metadata are damaged"):
        ArtefactMetadata.from_json("{}", "x")


def test_warmup_requests_are_tf_servings(exported, signatures):
    prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    path = exported / "exported/savedmodel/1/assets.extra/tf_serving_warmup_requests"
    seen = set()
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        name = request.model_spec.signature_name
        seen.add(name)
        answer = signatures[name](
            **{key: tf.constant(tf.make_ndarray(tensor)) for key, tensor in request.inputs.items()}
        )
        assert all(np.isfinite(value).all() for value in answer.values())
    assert seen == set(signatures)
