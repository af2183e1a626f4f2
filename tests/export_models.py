"""The small model and photograph that the tests of export share."""

import keras
import numpy as np

from keras_simplepose import build_pose_model, pose_spec
from keras_simplepose.models.backbones.resnet import BATCH_NORM_MOMENTUM


def small_model(input_size=(64, 64), seed=3, **options):
    """A MobileNetV2 of random weights whose heatmaps are scaled to a largest value near 1."""
    keras.utils.set_random_seed(seed)
    options = {"alpha": 0.35, "input_size": input_size, "deconv_filters": (16, 16, 16)} | options
    return settled(build_pose_model("mobilenetv2", **options), "final_layer")


def settled(model, last_layer):
    """The model, its batch statistics those of random crops and its last layer scaled to heatmaps of order 1.

    With the statistics of an untrained network nothing is left in 8 bits. Rows of probabilities are made uneven.
    """
    input_size = pose_spec(model).input_size
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    model(random_crops(16, input_size), training=True)
    for layer in normalizations:
        layer.momentum = BATCH_NORM_MOMENTUM
    last = model.get_layer(last_layer)
    largest = np.abs(keras.Model(model.input, last.output)(random_crops(4, input_size))).max()
    last.set_weights([weights / largest for weights in last.get_weights()])
    for layer in model.layers:
        if layer.name.startswith("bins_"):
            layer.kernel.assign(100 * layer.kernel)
    return model


def random_crops(count, input_size=(64, 64), seed=0):
    """Crops [count, H, W, 3] float32 of coloured patches."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, input_size[0] // 8, input_size[1] // 8, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)


def photograph(size=(120, 160), seed=1):
    """An image [H, W, 3] uint8 of coloured patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 10, size[1] // 10, 3), np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)
