import numpy as np
import pytest

from keras_simplepose.config import ModelConfig
from keras_simplepose.models.build import build_from_config
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.hourglass import build_hourglass
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.utils.errors import UserError


def convolution(inputs, outputs, kernel=1):
    return inputs * outputs * kernel**2 + outputs


def residual(inputs, outputs):
    half = outputs // 2
    count = 2 * (inputs + half + half) + convolution(inputs, half) + convolution(half, half, 3)
    return count + convolution(half, outputs) + (convolution(inputs, outputs) if inputs != outputs else 0)


def paper_count(stacks, keypoints, features=256):
    """Trainable parameters as the paper's figures 3 and 4 have them."""
    stem = convolution(3, 64, 7) + 2 * 64 + residual(64, 128) + residual(128, 128) + residual(128, features)
    stack = (3 * 4 + 1 + 1) * residual(features, features)
    stack += convolution(features, features) + 2 * features + convolution(features, keypoints)
    between = convolution(features, features) + convolution(keypoints, features)
    return stem + stacks * stack + (stacks - 1) * between


@pytest.mark.parametrize("stacks", [1, 2, pytest.param(8, marks=pytest.mark.slow)])
def test_parameters_are_the_papers(stacks):
    model = build_from_config(ModelConfig(architecture="hourglass", stacks=stacks))
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    assert count == paper_count(stacks, 17)


def test_eight_stacks_have_25_million():
    assert paper_count(8, 17) == 25_437_960


def test_every_stack_gives_heatmaps(tmp_path):
    model = build_hourglass(2, input_size=(128, 64), features=16, sigma=1.5, codec="dark")
    crops = np.random.default_rng(0).integers(0, 256, (2, 128, 64, 3), np.uint8)
    first, last = model(crops)
    assert first.shape == last.shape == (2, 32, 16, 17) and not np.allclose(first, last)
    spec = pose_spec(model)
    assert (spec.input_size, spec.heatmap_size, spec.sigma, spec.codec) == ((128, 64), (32, 16), 1.5, "dark")
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(last_stage(loaded)(crops), last)
    assert pose_spec(loaded) == spec


def test_one_stack_is_a_plain_network():
    model = build_hourglass(1, input_size=(64, 64), features=8, precision="mixed_bfloat16")
    assert model.output_shape == (None, 16, 16, 17)
    assert model(np.zeros((1, 64, 64, 3), np.uint8)).dtype == "float32"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stacks": 0}, "stacks is 0; it must be from 1 to 8"),
        ({"stacks": 9}, "stacks is 9"),
        ({"input_size": (128, 96)}, "input_size 128,96 must be height,width, both multiples of 64"),
        ({"input_size": (64,)}, "input_size 64 must be"),
        ({"features": 7}, "features is 7; it must be an even number"),
        ({"codec": "other"}, "codec 'other' is unknown"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        build_hourglass(**{"stacks": 1} | options)
