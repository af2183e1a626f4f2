"""Training a person detector, from annotations to a file that `--detector` takes."""

import dataclasses

import numpy as np
import pytest

from keras_simplepose.config import (
    DetectorConfig,
    DetectorDataConfig,
    DetectorModelConfig,
    DetectorOptimizationConfig,
    DetectorTrainingConfig,
    RunConfig,
)
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.media.images import read_image
from keras_simplepose.models.files import load_person_detector
from keras_simplepose.models.person_detector import detector_spec
from keras_simplepose.training.detector_trainer import train_detector
from keras_simplepose.utils.errors import UserError


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("persons")
    annotations, images = map(str, make_synthetic_dataset(folder / "set", 8, 1, (96, 128), 1, workers=1))
    return DetectorTrainingConfig(
        DetectorModelConfig(
            backbone="mobilenetv2",
            backbone_weights="none",
            alpha=0.35,
            input_size=(96, 128),
            deconv_filters=(16, 16, 16),
        ),
        DetectorDataConfig(annotations, images, annotations, images),
        optimization=DetectorOptimizationConfig(epochs=6, batch_size=4, learning_rate=3e-3, warmup_steps=2),
        run=RunConfig(workdir=str(folder / "run"), evaluate_every=3, jit_compile="off", picture_count=2),
    )


@pytest.mark.slow
def test_a_run_learns_and_leaves_a_detector(config):
    result = train_detector(config)
    assert result.model.name == "best.keras" and not result.skipped
    losses = [row["centers"] for row in result.rows]  # What a dozen steps lower most steadily.
    assert losses[-1] < 0.97 * losses[0] and np.all(np.isfinite(losses))
    measured = [row for row in result.rows if "AP" in row]
    assert len(measured) == 2 and all(0 <= row["recall"] <= 1 and 0 <= row["recall_all"] <= 1 for row in measured)
    best = max(measured, key=lambda row: row["AP"])
    # The file carries the score at which it makes up one box a photograph.
    assert detector_spec(load_person_detector(result.model)).threshold == pytest.approx(best["threshold"])
    image = read_image(next(iter(sorted((result.model.parents[1] / "set" / "images").glob("*.jpg")))))
    found = load_detector(DetectorConfig(detector=str(result.model), detector_threshold=0.01))(image)
    assert len(found) and np.all(np.diff(found.scores) <= 0)
    assert all((result.model.parent / name).is_file() for name in ("last.keras", "curves.csv", "evaluations.jsonl"))


def test_more_images_in_a_batch_than_there_are_are_refused(config, tmp_path):
    changed = dataclasses.replace(
        config,
        optimization=dataclasses.replace(config.optimization, batch_size=9),
        run=dataclasses.replace(config.run, workdir=str(tmp_path / "run")),
    )
    with pytest.raises(UserError, match="batch_size is 9, but there are only 8 images"):
        train_detector(changed)
