import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pose_data import write_data_set
from small_runs import tiny_network

from keras_simplepose import calibrate as command
from keras_simplepose.config import CalibrateConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.evaluation.calibration import calibrate, fit_of, fitted_temperature, visibility_logits
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.visibility import visibility_head, with_visibility
from keras_simplepose.utils.errors import UserError


def drawn(temperature, count=200_000, seed=0):
    """Logits that are so many times too large, and what they are of."""
    random = np.random.default_rng(seed)
    right = random.normal(0.5, 1.5, count)
    return right * temperature, random.random(count) < 1 / (1 + np.exp(-right))


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_of_drawn_logits_is_found(temperature):
    logits, targets = drawn(temperature)
    found = fitted_temperature(logits, targets)
    assert found == pytest.approx(temperature, rel=0.02)
    before, after = fit_of(logits, targets), fit_of(logits / found, targets)
    assert after.error < 0.005 and after.cross_entropy <= before.cross_entropy
    assert before.error > 0.05 or temperature == 1


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 20), st.booleans()), min_size=2, max_size=30), st.floats(0.01, 100))
def test_no_other_temperature_is_better(pairs, other):
    logits, targets = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    found = fitted_temperature(logits, targets)
    assert 0.01 <= found <= 100
    assert fit_of(logits / found, targets).cross_entropy <= fit_of(logits / other, targets).cross_entropy + 1e-9


def test_the_calibration_error_is_the_slow_one():
    logits, targets = drawn(2.5, 500, seed=1)
    chances, total, rows = 1 / (1 + np.exp(-logits)), 0.0, 0
    for place in range(10):
        inside = [index for index, chance in enumerate(chances) if place / 10 <= chance < (place + 1) / 10]
        if inside:
            total += abs(chances[inside].mean() - targets[inside].mean()) * len(inside) / 500
            rows += 1
    fit = fit_of(logits, targets)
    assert fit.error == pytest.approx(total) and len(fit.table) == rows
    entropy = -np.mean(np.log(np.where(targets, chances, 1 - chances)))
    assert fit.cross_entropy == pytest.approx(entropy)
    assert sum(row[2] for row in fit.table) == 500


@pytest.fixture
def data(tmp_path):
    """Six persons in three images, a third of their keypoints occluded and a third not labelled, and a model."""
    values = write_data_set(tmp_path / "set")
    random = np.random.default_rng(0)
    for entry in values["annotations"]:
        entry["keypoints"][2::3] = random.integers(0, 3, 17).tolist()
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(values))
    network = with_visibility(tiny_network(dropout=0), "visible")
    for weight in network.get_layer("visibility_logits").weights:
        weight.assign(random.normal(0, 0.3, weight.shape))
    save_model(network, tmp_path / "model.keras")
    return CalibrateConfig(
        model=str(tmp_path / "model.keras"),
        annotations=str(tmp_path / "set" / "annotations.json"),
        images=str(tmp_path / "set" / "images"),
        output=str(tmp_path / "out.keras"),
    )


def test_a_model_is_calibrated(data, capsys):
    command.main(data)
    shown = capsys.readouterr().out
    assert "6 persons, 102 keypoints, visible: " in shown and "calibration error" in shown
    before, after = load_model(data.model), load_model(data.output)
    persons = load_persons(data.annotations, COCO17)
    logits, targets = visibility_logits(before, persons, data, ImageReading(), progress=False)
    np.testing.assert_array_equal(targets, [person.visible == 2 for person in persons.persons])
    temperature = float(visibility_head(after).temperature)
    assert temperature == pytest.approx(fitted_temperature(logits, targets), rel=1e-6) and temperature != 1
    for one, two in zip(before.weights, after.weights, strict=True):
        assert np.array_equal(one, two) or one.path.endswith("temperature")
    calibration, warning = calibrate(data, progress=False)
    assert calibration.after == pytest.approx(temperature) and calibration.before == 1 and not warning
    assert calibration.fits[1].cross_entropy <= calibration.fits[0].cross_entropy


def changed(config, **values):
    return CalibrateConfig(**(vars(config) | values))


def test_what_cannot_be_calibrated_is_refused(data, tmp_path):
    save_model(tiny_network(), tmp_path / "plain.keras")
    with pytest.raises(UserError, match=r"plain\.keras: has no visibility head"):
        command.main(changed(data, model=str(tmp_path / "plain.keras")))
    with pytest.raises(UserError, match="ends in .keras"):
        command.main(changed(data, output=str(tmp_path / "out.h5")))
    with pytest.raises(UserError, match="is an input"):
        command.main(changed(data, output=data.model))
    values = json.loads((tmp_path / "set" / "annotations.json").read_text())
    for entry in values["annotations"]:
        entry["keypoints"][2::3] = [min(flag, 1) for flag in entry["keypoints"][2::3]]
    (tmp_path / "set" / "annotations.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"annotations\.json: no keypoint is told to be visible"):
        command.main(data)
    assert not (tmp_path / "out.keras").exists()
