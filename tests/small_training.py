"""A small network and batches to train it with."""

import keras
import numpy as np

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.data.augment import draw_transformation
from keras_simplepose.models.simple_baselines import build_pose_model

BATCH = 4


def network(precision="float32"):
    keras.utils.set_random_seed(0)
    return build_pose_model(
        "mobilenetv2", input_size=(64, 64), alpha=0.35, deconv_filters=(16,), deconv_kernels=(4,), precision=precision
    )


def patches(count=BATCH, seed=0, side=112):
    """A batch as the pipeline makes it."""
    random = np.random.default_rng(seed)
    batch = {
        "image": random.integers(0, 256, (count, side, side, 3), np.uint8),
        "keypoints": random.uniform(30, 80, (count, 17, 2)).astype(np.float32),
        "visible": (random.random((count, 17)) < 0.8).astype(np.float32),
        "center": np.full((count, 2), side / 2, np.float32),
        "crop_width": np.full(count, 64, np.float32),
        "data_wait": np.full(count, 0.5, np.float32),
    }
    return batch | draw_transformation(seed, 0, count, AugmentationConfig()).to_dict()
