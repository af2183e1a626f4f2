import zipfile

import numpy as np
import pytest

from keras_simplepose import build_pose_model, load_model, pose_spec, save_model
from keras_simplepose.models.compact import save_compact_model
from keras_simplepose.utils.errors import UserError

OPTIONS = {"alpha": 0.35, "input_size": (64, 64), "deconv_filters": (16,), "deconv_kernels": (4,)}


@pytest.fixture(scope="module")
def model():
    return build_pose_model("mobilenetv2", **OPTIONS)


def test_the_weights_come_back_as_float32_rounded_once(model, tmp_path):
    model.get_layer("block_3_project").trainable = False
    save_compact_model(model, tmp_path / "half.keras")
    again = load_model(tmp_path / "half.keras")
    assert pose_spec(again) == pose_spec(model)
    assert not again.get_layer("block_3_project").trainable
    for before, after in zip(model.weights, again.weights, strict=True):
        assert after.dtype == "float32" and after.path == before.path
        rounded = np.asarray(before).astype(np.float16).astype(np.float32)
        assert np.array_equal(np.asarray(after), rounded)
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    heatmaps = [np.asarray(network(crops, training=False)) for network in (model, again)]
    assert np.allclose(*heatmaps, atol=0.01 * np.abs(heatmaps[0]).max())


def test_the_file_is_half_as_large(model, tmp_path):
    save_model(model, tmp_path / "whole.keras")
    save_compact_model(model, tmp_path / "half.keras")
    assert (tmp_path / "half.keras").stat().st_size < 0.55 * (tmp_path / "whole.keras").stat().st_size
    names = [sorted(zipfile.ZipFile(tmp_path / f"{name}.keras").namelist()) for name in ("whole", "half")]
    assert names[0] == names[1]


def test_a_weight_beyond_float16_is_named_and_nothing_is_written(tmp_path):
    model = build_pose_model("mobilenetv2", **OPTIONS)
    layer = model.get_layer("final_layer")
    layer.bias.assign(np.full(layer.bias.shape, 1e6))
    with pytest.raises(UserError, match="half.keras: weight .* has values that float16 cannot hold"):
        save_compact_model(model, tmp_path / "half.keras")
    assert not list(tmp_path.iterdir())
