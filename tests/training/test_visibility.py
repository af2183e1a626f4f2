"""A network with a visibility head from training to evaluation: it ranks, and changes nothing of what is learnt."""

import csv
import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_runs import assert_same_ending, ending, in_folder, stop_after, tiny_config, tiny_network
from small_training import patches

from keras_simplepose.config import ModelConfig, OptimizationConfig, TrainingConfig
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.losses import keypoint_mse
from keras_simplepose.models.visibility import visibility_head, with_visibility
from keras_simplepose.training.network import build_network, load_teacher
from keras_simplepose.training.trainer import train
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.signals import Interrupted

FLAGS = np.random.default_rng(3).integers(0, 3, (8, 17)).astype(np.float32)


def batch(count=8):
    """Persons whose crops are 32 pixels wide, some keypoints outside."""
    found = patches(count, side=56)
    found["keypoints"] = found["keypoints"] / 2
    found["crop_width"] = np.full(count, 24, np.float32)
    return found | {"visible": FLAGS[:count], "example_weight": np.float32([1] * (count - 1) + [0])}


def network(kind="visible", temperature=1.0, frozen=()):
    """The tiny network without its random layer, its head's weights drawn."""
    built = with_visibility(tiny_network(dropout=0), kind)
    if kind != "none":
        random = np.random.default_rng(1)
        for weight in built.get_layer("visibility_logits").weights:
            weight.assign(random.normal(0, 0.3, weight.shape))
        visibility_head(built).temperature.assign(temperature)
    for layer in built.layers:
        layer.trainable = not layer.name.startswith(frozen) if frozen else True
    return built


def trainer(built, **options):
    model = TrainingModel(built, optimization=OptimizationConfig(**options))
    model.compile(optimizer=keras.optimizers.SGD(0.5))
    model.optimizer.build(model.network.trainable_variables)
    return model


def values(variables):
    return [np.array(variable) for variable in variables]


@pytest.mark.parametrize("kind", ["labelled", "visible"])
def test_a_step_adds_the_cross_entropy_of_what_is_in_the_crop(kind):
    model = trainer(network(kind, temperature=1.5))
    loss, _, (right, labelled, of_head) = model.gradient_step(batch())
    crops, targets, weights, flags = model.make_batch(batch())
    # Keypoints that their crop leaves out are 0 for the head, however they are labelled.
    assert np.any((np.asarray(weights) == 0) & (np.asarray(FLAGS) > 0)) and not np.any(flags[weights == 0])
    heatmaps, logits = model.forward(crops, training=True)
    wanted = np.asarray(flags) > (1 if kind == "visible" else 0)
    chances = 1 / (1 + np.exp(-np.asarray(logits, np.float64) / 1.5))
    expected = -np.mean(np.log(np.where(wanted, chances, 1 - chances)))
    own = float(tf.reduce_mean(keypoint_mse(heatmaps[-1], targets, weights)))
    assert float(of_head) == pytest.approx(expected, rel=1e-4)
    assert float(loss) == pytest.approx(own + expected, rel=1e-4)
    assert 0 <= float(right) <= float(labelled) == np.sum(weights)


def test_the_head_changes_nothing_of_how_the_network_learns():
    plain, headed = (trainer(network(kind)) for kind in ("none", "visible"))
    for model in (plain, headed):
        for _ in range(2):
            model.train_step(batch())
    ours = {weight.path: np.array(weight) for weight in headed.network.weights}
    moved = 0.0
    for weight, start in zip(plain.network.weights, values(network("none").weights), strict=True):
        np.testing.assert_allclose(ours[weight.path], weight, rtol=1e-5, atol=1e-7)
        moved = max(moved, np.abs(np.asarray(weight) - start).max())
    assert moved > 1e-3 and float(headed.pck_metric.result()) == pytest.approx(float(plain.pck_metric.result()))
    crops = plain.make_batch(batch())[0]
    np.testing.assert_allclose(headed(crops), plain(crops), rtol=1e-4, atol=1e-6)  # What pictures show.
    assert float(np.abs(headed.network(crops) - plain(crops)).max()) > 1e-3  # What scores are.


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_parts_of_a_batch_equal_the_batch(compiled):
    whole, parts = (trainer(network(frozen=("norm",)), accumulation_steps=count) for count in (1, 4))
    logs = [
        {name: float(value) for name, value in tf.function(each.train_step, jit_compile=compiled)(batch()).items()}
        for each in (whole, parts)
    ]
    assert set(logs[0]) == {"loss", "pck", "visibility_loss"}
    assert logs[1] == pytest.approx(logs[0], rel=1e-4)
    for one, two in zip(values(whole.network.weights), values(parts.network.weights), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-6)


def test_padding_does_not_count_in_the_validation():
    model, other = trainer(network()), batch()
    logs = model.test_step(other)
    first = {name: value[:7] for name, value in other.items()}
    again = trainer(network()).test_step(first | {"example_weight": np.ones(7, np.float32)})
    for name in ("loss", "pck", "visibility_loss"):
        assert float(logs[name]) == pytest.approx(float(again[name]), rel=1e-5)


def test_a_network_without_a_head_has_no_such_curve():
    model = trainer(network("none"))
    assert [metric.name for metric in model.metrics] == ["loss", "pck", "data_wait"]
    assert len(model.gradient_step(batch())[2]) == 2


def test_a_teacher_teaches_its_unscaled_maps(tmp_path):
    taught = network(temperature=2.0)
    save_model(taught, tmp_path / "teacher.keras")
    model = TrainingModel(network())
    teacher = load_teacher(str(tmp_path / "teacher.keras"), model.spec)
    crops = model.make_batch(batch())[0]
    np.testing.assert_array_equal(teacher(crops), network("none")(crops))


def test_only_the_head_is_trained_with_all_else_frozen(tmp_path):
    save_model(tiny_network(), tmp_path / "plain.keras")
    options = ModelConfig(
        initial_model=str(tmp_path / "plain.keras"), visibility_head="visible", frozen_layers=("*", "-visibility")
    )
    built = build_network(TrainingConfig(options))
    assert {variable.path.split("/")[0] for variable in built.trainable_variables} == {"visibility_logits"}
    model = trainer(built)
    before = {weight.path: np.array(weight) for weight in built.weights}
    model.train_step(batch())
    for weight in built.weights:
        is_same = np.array_equal(before[weight.path], weight)
        assert is_same or weight.path.startswith("visibility_logits"), weight.path
    assert not np.array_equal(
        before["visibility_logits/output_kernel"], built.get_layer("visibility_logits").output_kernel
    )
    for prefixes in (("*", "-nothing"), ("nothing", "-visibility")):
        with pytest.raises(UserError, match="frozen_layers: no layer of tiny begins with 'nothing'"):
            build_network(TrainingConfig(dataclasses.replace(options, frozen_layers=prefixes)))


@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [("labelled", "none", "labelled"), ("labelled", "labelled", "labelled"), ("labelled", "visible", "visible")],
)
def test_an_initial_models_head_stays_unless_another_is_asked_for(before, asked, after, tmp_path):
    save_model(network(before, temperature=3.0), tmp_path / "model.keras")
    options = ModelConfig(initial_model=str(tmp_path / "model.keras"), visibility_head=asked)
    head = visibility_head(build_network(TrainingConfig(options)))
    assert head.kind == after and float(head.temperature) == (3.0 if before == after else 1.0)
    changed = build_network(TrainingConfig(dataclasses.replace(options, new_skeleton="posetrack18")))
    assert visibility_head(changed).kind == after and changed.output_shape[-1] == 17


def headed_config(folder, **run):
    """The tiny run with a head; its rendered people have flags."""
    config = tiny_config(folder, **run)
    return dataclasses.replace(config, model=dataclasses.replace(config.model, visibility_head="visible"))


@pytest.mark.slow
def test_a_run_shows_its_curve_and_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    """With averaged weights, a random layer and batch statistics."""
    config = headed_config(tmp_path, picture_count=2)
    rows = train(config).rows
    with open(Path(config.run.workdir) / "curves.csv") as stream:
        table = list(csv.DictReader(stream))
    for row, line in zip(rows, table, strict=True):
        assert 0 < row["visibility_loss"] < row["loss"] and float(line["visibility_loss"]) == row["visibility_loss"]
        assert (
            0 < row["validation_visibility_loss"] < row["validation_loss"] and "ema_validation_visibility_loss" in row
        )
    assert "visibility_loss" not in (Path(config.run.workdir) / "evaluations.jsonl").read_text().split('"validation')[0]
    last = load_model(Path(config.run.workdir) / "last.keras")
    assert visibility_head(last).kind == "visible" and float(visibility_head(last).temperature) == 1
    other = in_folder(config, tmp_path / "other")
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        with pytest.raises(Interrupted):
            train(other)
    train(other)
    assert_same_ending(ending(tmp_path / "other"), ending(Path(config.run.workdir)))
