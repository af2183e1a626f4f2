"""A small network, batches to train it with, and a run of it on rendered people."""

import keras
import numpy as np

from keras_simplepose.config import (
    AugmentationConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizationConfig,
    RunConfig,
    TrainingConfig,
    TrainingDataConfig,
)
from keras_simplepose.data.augment import draw_transformation
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.models.simple_baselines import build_pose_model

BATCH = 4
MODEL = ModelConfig(
    backbone="mobilenetv2",
    backbone_weights="none",
    alpha=0.35,
    input_size=(64, 64),
    deconv_filters=(16,),
    deconv_kernels=(4,),
)


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


def rendered(folder, images=4, validated=True):
    """Rendered people in FOLDER, made once: to train on and, if so wanted, to validate on too."""
    annotations, pictures = folder / "person_keypoints.json", folder / "images"
    if not annotations.exists():
        annotations, pictures = make_synthetic_dataset(folder, images, seed=1, workers=1, image_size=(120, 160))
    places = [str(annotations), str(pictures)]
    return TrainingDataConfig("", *places, *(places if validated else []))


def configuration(data, workdir, epochs=1, model=MODEL, **run):
    """A run of a few steps."""
    return TrainingConfig(
        model,
        data,
        AugmentationConfig(),
        OptimizationConfig(epochs=epochs, batch_size=BATCH),
        RunConfig(**{"workdir": str(workdir), "jit_compile": "off", "picture_count": 2} | run),
        EvaluationConfig(evaluation_batch_size=BATCH),
    )
