import keras
import numpy as np
import pytest

from keras_simplepose.exporting.subpixel import SubpixelDeconvolution, in_subpixel_form
from keras_simplepose.models.simple_baselines import build_pose_model


def network(kernels, seed=0):
    """A pose network whose weights and batch statistics are all random."""
    keras.utils.set_random_seed(seed)
    filters = (5, 6, 7)[: len(kernels)]
    model = build_pose_model(
        "mobilenetv2", alpha=0.35, input_size=(64, 96), deconv_filters=filters, deconv_kernels=kernels
    )
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2DTranspose):
            layer.set_weights([generator.normal(0, 0.1, weights.shape) for weights in layer.get_weights()])
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([generator.uniform(0.5, 1.5, weights.shape) for weights in layer.get_weights()])
    return model


@pytest.mark.parametrize("kernels", [(2,), (3, 3), (4, 4, 4), (4, 3, 2)])
def test_it_is_the_same_function(kernels):
    model = network(kernels)
    copy = in_subpixel_form(model)
    crops = np.random.default_rng(1).uniform(0, 255, (2, 64, 96, 3)).astype(np.float32)
    expected = np.asarray(model(crops, training=False))
    assert expected.std() > 0.1 * np.abs(expected).mean()
    np.testing.assert_allclose(copy(crops, training=False), expected, atol=2e-5 * np.abs(expected).max())
    assert sum(isinstance(layer, SubpixelDeconvolution) for layer in copy.layers) == len(kernels)
    assert not any(isinstance(layer, keras.layers.Conv2DTranspose) for layer in copy.layers)


def test_the_model_itself_is_untouched():
    model = network((4,))
    before = model.get_weights()
    in_subpixel_form(model)
    assert any(isinstance(layer, keras.layers.Conv2DTranspose) for layer in model.layers)
    for one, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("options", [{"use_bias": True}, {"strides": 1}, {"kernel_size": 5}])
def test_other_deconvolutions_stay(options):
    inputs = keras.Input((8, 8, 3))
    arguments = {"filters": 4, "kernel_size": 4, "strides": 2, "padding": "same", "use_bias": False} | options
    x = keras.layers.BatchNormalization()(keras.layers.Conv2DTranspose(**arguments)(inputs))
    model = keras.Model(inputs, x)
    copy = in_subpixel_form(model)
    values = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(copy(values), model(values))


def test_a_deconvolution_heard_twice_stays():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2DTranspose(4, 4, 2, padding="same", use_bias=False)(inputs)
    model = keras.Model(inputs, keras.layers.Add()([keras.layers.BatchNormalization()(x), x]))
    values = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    np.testing.assert_array_equal(in_subpixel_form(model)(values), model(values))
