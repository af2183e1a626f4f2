"""Data for a first run without any: rendered people, prepared like real ones."""

import dataclasses
from pathlib import Path

from keras_simplepose.config import (
    AugmentationConfig,
    ModelConfig,
    PrepareConfig,
    SyntheticDataConfig,
    TrainingDataConfig,
)
from keras_simplepose.data.preparation import prepare
from keras_simplepose.data.prepared_set import MANIFEST
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset

VALIDATION_SEED_STEP = 1_000_003  # Far from the training seeds anyone would choose.


def make_data(
    data: TrainingDataConfig,
    synthetic: SyntheticDataConfig,
    model: ModelConfig,
    augmentation: AugmentationConfig,
    folder: Path,
    seed: int,
) -> TrainingDataConfig:
    """Renders and prepares a training and a validation set, unless the folder holds them already.

    Args:
        data: the configuration whose places are replaced.
        synthetic: how many images.
        model: input size and skeleton the set is prepared for.
        augmentation: the strongest it must serve.
        folder: to write to; each set appears whole or not at all.
        seed: of the pictures.

    Returns:
        `data` with the places of the sets.

    Raises:
        UserError: the folder cannot be written to.
    """
    prepared = folder / "prepared"
    if not (prepared / MANIFEST).exists():
        annotations, images = make_synthetic_dataset(folder / "train", synthetic.synthetic_images, seed)
        prepare(PrepareConfig(str(annotations), str(images), str(prepared)), model, augmentation, seed)
    validation = folder / "validation"
    if not validation.exists():
        make_synthetic_dataset(validation, synthetic.synthetic_validation_images, seed + VALIDATION_SEED_STEP)
    return dataclasses.replace(
        data,
        prepared=str(prepared),
        validation_annotations=str(validation / "person_keypoints.json"),
        validation_images=str(validation / "images"),
    )
