import collections
import zipfile

import numpy as np
import pytest
from export_models import photograph, random_crops, small_model

from keras_simplepose import EvaluationConfig, PosePredictor, UserError, pose_spec
from keras_simplepose.core import codecs
from keras_simplepose.prediction.exported_model import METADATA_NAME, ArtefactMetadata, openvino_crops, tflite_signature

pytest.importorskip("ai_edge_litert")

from keras_simplepose.exporting import tflite_graph  # noqa: E402
from keras_simplepose.exporting.tflite import write_tflite  # noqa: E402

BARE = EvaluationConfig(flip_test=False)


def write(tmp_path, decoded=True, gather_free=False, quantize="none", calibration=None):
    model = small_model()
    path = tmp_path / "pose.tflite"
    write_tflite(model, path, ArtefactMetadata(pose_spec(model), BARE, decoded, gather_free, quantize), calibration)
    return model, path


def operators(path, signature):
    model = tflite_graph.read_model(path.read_bytes())
    index = {definition.signatureKey: definition.subgraphIndex for definition in model.signatureDefs}[
        signature.encode()
    ]
    model.subgraphs = [model.subgraphs[index]]
    return tflite_graph.operator_names(model)


def test_only_builtin_operators_and_metadata_inside(exported):
    path = exported / "exported/pose_float32.tflite"
    names = tflite_graph.operator_names(tflite_graph.read_model(path.read_bytes()))
    assert {"CONV_2D", "DEPTH_TO_SPACE"} <= names and "TRANSPOSE_CONV" not in names  # See exporting/subpixel.py.
    assert not any(name.startswith(("CUSTOM", "VAR_HANDLE")) for name in names)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [METADATA_NAME]


def repeated_names(path):
    model = tflite_graph.read_model(path.read_bytes())
    names = [collections.Counter(tensor.name for tensor in graph.tensors) for graph in model.subgraphs]
    assert len(names) == len(model.signatureDefs)
    return [name for graph in names for name, count in graph.items() if count > 1]


def test_no_tensor_name_repeats_in_a_subgraph(exported):
    assert not repeated_names(exported / "exported/pose_float32.tflite")


def test_repeated_names_are_numbered_past_those_taken():
    graph = tflite_graph.schema.SubGraphT()
    graph.tensors = [tflite_graph.schema.TensorT() for _ in range(5)]
    for tensor, name in zip(graph.tensors, (b"a", b"a", b"a_1", b"a", b"b"), strict=True):
        tensor.name = name
    tflite_graph.make_names_unique(graph)
    assert [tensor.name for tensor in graph.tensors] == ["a", "a_2", "a_1", "a_3", "b"]


def answers_of_litert_and_openvino(path):
    """Keypoints [4, K, 3] of the same file from both."""
    pytest.importorskip("openvino")
    crops = random_crops(4, seed=5)
    litert = tflite_signature(path, "crops")
    points, maxima = openvino_crops(path)(crops)
    ours = np.concatenate([litert(crops=crop[None])["keypoints"] for crop in crops])
    return ours, np.concatenate([points, maxima[..., None]], axis=-1)


def check_equal(litert, openvino):
    np.testing.assert_allclose(openvino[..., 2], litert[..., 2], atol=1e-4)
    # A random network's maxima may tie to float rounding: there either place is right.
    assert (np.abs(openvino[..., :2] - litert[..., :2]).max(axis=-1) < 0.01).mean() > 0.95
    assert litert[..., 2].std() > 0.01


def test_openvino_reads_the_float32_file(exported):
    check_equal(*answers_of_litert_and_openvino(exported / "exported/pose_float32.tflite"))


@pytest.mark.slow
def test_openvino_reads_the_float16_file(tmp_path):
    _, path = write(tmp_path, quantize="float16")
    assert not repeated_names(path)
    check_equal(*answers_of_litert_and_openvino(path))


@pytest.mark.slow
def test_openvino_reads_the_int8_file(tmp_path):
    model, path = write(tmp_path, quantize="int8", calibration=random_crops(8))
    assert not repeated_names(path)
    litert, openvino = answers_of_litert_and_openvino(path)
    exact = np.asarray(codecs.decode(model(random_crops(4, seed=5)), pose_spec(model))[1])
    # Both round to 8 bits, at other places: neither is nearer to the other than to the network itself by design.
    error = np.abs(litert[..., 2] - exact).mean()
    assert np.abs(openvino[..., 2] - litert[..., 2]).mean() < 2 * error and error < 0.2


def test_openvino_names_a_file_it_cannot_read(tmp_path):
    pytest.importorskip("openvino")
    (tmp_path / "a.tflite").write_bytes(b"no network")
    with pytest.raises(UserError, match=r"a\.tflite: OpenVINO cannot read it"):
        openvino_crops(tmp_path / "a.tflite")


def test_signatures_share_the_weights(exported):
    model = small_model()
    weights = sum(weight.numpy().nbytes for weight in model.weights)
    assert (exported / "exported/pose_float32.tflite").stat().st_size < 1.1 * weights


@pytest.mark.parametrize("boxes", [[[np.nan, 1, 2, 3]], [[5, 5, 0, 9]], [[4000, 9, 9, 9]], [[1e38, 1e38, 1e38, 1e38]]])
def test_a_box_that_cannot_be_cropped_gives_zeros(exported, boxes):
    image = tflite_signature(exported / "exported/pose_float32.tflite", "image")
    answer = image(image=photograph(), boxes=np.array(boxes, np.float32))
    assert not answer["keypoints"].any() and not answer["scores"].any()


def test_photographs_of_any_size(exported):
    keras_predictor = PosePredictor.load(exported / "pose.keras")
    image = tflite_signature(exported / "exported/pose_float32.tflite", "image")
    for size in ((120, 160), (20, 330), (120, 160)):
        box = np.array([[5, 4, 12, 15]], np.float32)
        expected = keras_predictor(photograph(size), box).keypoints
        np.testing.assert_allclose(image(image=photograph(size), boxes=box)["keypoints"], expected, atol=2e-3)


def test_gather_free_decoding_gathers_nothing_and_changes_nothing(tmp_path):
    model, path = write(tmp_path, gather_free=True)
    assert not {"GATHER", "GATHER_ND", "ARG_MAX"} & operators(path, "crops")
    config = EvaluationConfig(flip_test=False)
    expected = PosePredictor.from_model(model, config)(photograph(), [[20, 10, 60, 90]])
    poses = PosePredictor.load(path, config)(photograph(), [[20, 10, 60, 90]])
    np.testing.assert_allclose(poses.keypoints, expected.keypoints, atol=2e-3)


def test_bare_heatmaps_are_decoded_by_the_predictor_as_the_flags_say(tmp_path):
    model, path = write(tmp_path, decoded=False)
    assert tflite_signature(path, "heatmaps")(crops=random_crops(1))["heatmaps"].shape == (1, 16, 16, 17)
    for config in (EvaluationConfig(), EvaluationConfig(flip_test=False)):
        expected = PosePredictor.from_model(model, config)(photograph(), [[20, 10, 60, 90]])
        poses = PosePredictor.load(path, config)(photograph(), [[20, 10, 60, 90]])
        np.testing.assert_allclose(poses.keypoints, expected.keypoints, atol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("quantize", "share"), [("float16", 0.6), ("dynamic", 0.5), ("int8", 0.55)])
def test_quantised_files_are_smaller_and_keep_coordinates_exact(tmp_path, quantize, share):
    model, path = write(tmp_path, quantize=quantize, calibration=random_crops(8))
    assert path.stat().st_size < share * sum(weight.numpy().nbytes for weight in model.weights)
    answer = tflite_signature(path, "image")(image=photograph((500, 700)), boxes=np.array([[301, 203, 60, 90]], "f"))
    # The codec gives whole pixels of the crop here; coordinates of 8 bits would be off by more than a pixel.
    scale = 64 / (90 * 1.25)
    steps = (answer["keypoints"][0, :, :2] - [331, 248]) * scale + 32
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-2)
    assert (answer["keypoints"][..., 2] != 0).any()


def test_custom_operators_are_refused(exported):
    model = tflite_graph.read_model((exported / "exported/pose_float32.tflite").read_bytes())
    tflite_graph.check_operators(model, "pose.tflite")
    model.operatorCodes[model.subgraphs[0].operators[0].opcodeIndex].customCode = b"FlexConv2D"
    with pytest.raises(UserError, match=r"pose\.tflite.*FlexConv2D"):
        tflite_graph.check_operators(model, "pose.tflite")
