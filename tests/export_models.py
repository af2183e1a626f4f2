"""The small model and photograph that the tests of export share."""

import numpy as np

from keras_simplepose import build_pose_model
from keras_simplepose.models.backbones.resnet import BATCH_NORM_MOMENTUM


def small_model(input_size=(64, 64), seed=3):
    """A MobileNetV2 of random weights whose heatmaps are scaled to a largest value near 1.

    Its batch statistics are those of random crops: with those of an untrained network nothing is left in 8 bits.
    """
    import keras

    keras.utils.set_random_seed(seed)
    model = build_pose_model("mobilenetv2", alpha=0.35, input_size=input_size, deconv_filters=(16, 16, 16))
    normalizations = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in normalizations:
        layer.momentum = 0.0
    model(random_crops(16, input_size), training=True)
    for layer in normalizations:
        layer.momentum = BATCH_NORM_MOMENTUM
    last = model.get_layer("final_layer")
    largest = np.abs(model(random_crops(4, input_size))).max()
    last.set_weights([weights / largest for weights in last.get_weights()])
    return model


def random_crops(count, input_size=(64, 64), seed=0):
    """Crops [count, H, W, 3] float32 of coloured patches."""
    coarse = np.random.default_rng(seed).uniform(0, 255, (count, input_size[0] // 8, input_size[1] // 8, 3))
    return coarse.repeat(8, axis=1).repeat(8, axis=2).astype(np.float32)


def photograph(size=(120, 160), seed=1):
    """An image [H, W, 3] uint8 of coloured patches."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 10, size[1] // 10, 3), np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)
