"""The network that ships."""

from pathlib import Path

import numpy as np
import pytest

import keras_simplepose
from keras_simplepose import load_model, pose_spec
from keras_simplepose.config import EvaluationConfig
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.evaluation.evaluator import evaluate_predictor
from keras_simplepose.models.files import model_path
from keras_simplepose.prediction.predictor import PosePredictor

FILE = Path(keras_simplepose.__file__).parent / "weights" / "small.keras"
MOST_BYTES = 6_000_000


def test_it_goes_by_its_name():
    assert model_path("small") == FILE and load_model("small").name == load_model(FILE).name
    assert model_path("other.keras") == Path("other.keras")


def test_it_is_small_and_whole():
    assert FILE.stat().st_size < MOST_BYTES
    model = load_model(FILE)
    spec = pose_spec(model)
    assert (spec.skeleton.name, spec.input_size, spec.heatmap_size) == ("coco17", (256, 192), (64, 48))
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert all(np.all(np.isfinite(np.asarray(variable))) for variable in model.weights)


@pytest.mark.slow
def test_its_ap_is_what_its_card_says(shared_data):
    folder = shared_data / "images" / "val"
    predictor = PosePredictor.load(FILE, EvaluationConfig())
    persons = load_annotations(
        str(shared_data / "annotations" / "person_keypoints_val.json"),
        str(folder),
        pose_spec(load_model(FILE)).skeleton,
    )
    metrics = evaluate_predictor(predictor, persons, folder, config=EvaluationConfig(), progress=False).metrics
    card = (FILE.parents[2] / "docs" / "small.md").read_text()
    stated = next(line for line in card.splitlines() if line.startswith("| ground truth |")).split("|")[2]
    assert metrics["AP"] == pytest.approx(float(stated), abs=0.003)
