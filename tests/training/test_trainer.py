import dataclasses
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf
from small_training import configuration, network, patches, rendered

from keras_simplepose.config import RunConfig, TrainingConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.files import load_model
from keras_simplepose.training import trainer
from keras_simplepose.training.checkpoints import CheckpointFolder
from keras_simplepose.training.loop import check_weights
from keras_simplepose.training.network import build_network
from keras_simplepose.training.optimizers import PyTorchAdam
from keras_simplepose.training.run_state import go_on
from keras_simplepose.training.schedule import TrainingSchedule
from keras_simplepose.training.sources import training_source
from keras_simplepose.training.trainer import make_optimizer, train
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError


def update(batch, jit_compile=False, precision="float32", frozen=False):
    """Weights before and after one step of SGD, and what the step says."""
    model = TrainingModel(network(precision))
    if frozen:
        for layer in model.network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
    optimizer = keras.optimizers.SGD(1.0)
    if precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer)
    optimizer.build(model.network.trainable_variables)
    before = [np.array(variable) for variable in model.network.weights]
    logs = tf.function(model.train_step, jit_compile=jit_compile)(batch)
    after = [np.array(variable) for variable in model.network.weights]
    return before, after, {name: float(value) for name, value in logs.items()}


def test_a_step_is_the_same_with_and_without_xla():
    batch = patches()
    before, plain, logs = update(batch)
    _, compiled, compiled_logs = update(batch, jit_compile=True)
    assert logs["loss"] > 0 and compiled_logs == pytest.approx(logs, rel=1e-3)
    moved = max(np.abs(one - two).max() for one, two in zip(before, plain, strict=True))
    apart = max(np.abs(one - two).max() for one, two in zip(plain, compiled, strict=True))
    assert moved > 1e-3 and apart < 0.01 * moved


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_a_step_of_mixed_precision_is_near_that_of_float32(precision):
    batch = patches()
    _, plain, logs = update(batch)
    before, mixed, mixed_logs = update(batch, precision=precision)
    assert mixed_logs["loss"] == pytest.approx(logs["loss"], rel=0.02)
    assert all(np.isfinite(values).all() for values in mixed)
    # The last layer's bias: its gradient passes through nothing but the loss.
    names = [variable.path for variable in network().weights]
    place = names.index("final_layer/bias")
    np.testing.assert_allclose((mixed[place] - before[place]), (plain[place] - before[place]), rtol=0.05, atol=1e-5)


REPLICAS = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import keras
import numpy as np
from keras_simplepose.models.visibility import with_visibility
from keras_simplepose.training.devices import make_strategy
from keras_simplepose.training.training_model import TrainingModel
sys.path.insert(0, sys.argv[1])
from small_training import network, patches

batch = patches(16)
options = tf.data.Options()
options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
dataset = tf.data.Dataset.from_tensors(batch).unbatch().batch(16, drop_remainder=True).with_options(options)
updates = []
for name in ("one_device", "mirrored"):
    strategy = make_strategy(name, 16)
    with strategy.scope():
        model = TrainingModel(with_visibility(network(), sys.argv[2]))
        for layer in model.network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.trainable = False
        model.compile(optimizer=keras.optimizers.SGD(1.0))
        model.optimizer.build(model.network.trainable_variables)
    before = [np.array(value) for value in model.network.trainable_variables]
    logs = model.fit(dataset, epochs=1, steps_per_epoch=1, verbose=0, shuffle=False).history
    updates.append([np.array(value) - old for value, old in zip(model.network.trainable_variables, before)])
    print(strategy.num_replicas_in_sync, logs["loss"][0], *(float(metric.result()) for metric in model.metrics[1:]))
largest = max(np.abs(value).max() for value in updates[0])
apart = max(np.abs(one - two).max() for one, two in zip(*updates))
print(largest, apart)
"""


@pytest.mark.parametrize("head", ["none", pytest.param("labelled", marks=pytest.mark.slow)])
def test_two_replicas_of_8_are_one_of_16(head):
    """With frozen batch normalisation, whose statistics are each replica's own."""
    run = subprocess.run(
        [sys.executable, "-c", REPLICAS, str(Path(__file__).parents[1]), head],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    *lines, (largest, apart) = [list(map(float, line.split())) for line in run.stdout.splitlines()[-3:]]
    assert [line[0] for line in lines] == [1, 2]
    np.testing.assert_allclose(lines[0][1:], lines[1][1:], rtol=1e-4)
    assert lines[0][-1] == 0.5 and len(lines[0]) == (4 if head == "none" else 5)
    assert largest > 1e-4 and apart < 1e-3 * largest


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Rendered people: 4 images to train on, which are also the validation set."""
    return rendered(tmp_path_factory.mktemp("data") / "set", validated=False)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    """The result of a run of one epoch with validation and pictures."""
    both = dataclasses.replace(data, validation_annotations=data.annotations, validation_images=data.images)
    return train(configuration(both, tmp_path_factory.mktemp("run")))


@pytest.fixture
def workdir(finished, tmp_path):
    """A copy of the finished run's folder."""
    return Path(shutil.copytree(finished.workdir, tmp_path / "run"))


def test_a_run_leaves_models_figures_and_pictures(finished):
    result = finished
    names = {path.name for path in result.workdir.iterdir()}
    assert names == {
        "best.keras",
        "last.keras",
        "curves.csv",
        "curves.png",
        "evaluations.jsonl",
        "examples.png",
        "timings.csv",
        "checkpoints",
        "tensorboard",
        ".lock",
    }
    (row,) = result.rows
    assert row["loss"] > 0 and 0 <= row["pck"] <= 1 and 0 <= row["data_wait_share"] <= 1
    assert row["learning_rate"] == pytest.approx(1e-3)
    assert {"AP", "AP50", "AR"} <= row.keys() and 0 <= row["AP"] <= 1 and 0 <= row["validation_pck"] <= 1
    assert math.isfinite(row["validation_loss"])
    (line,) = (result.workdir / "evaluations.jsonl").read_text().splitlines()
    assert json.loads(line)["AP"] == row["AP"] and json.loads(line)["epoch"] == 0
    assert result.model == result.workdir / "best.keras"
    assert list((result.workdir / "tensorboard").iterdir())
    for name in ("curves.png", "examples.png"):
        picture = cv2.imread(str(result.workdir / name))
        assert min(picture.shape[:2]) > 100 and picture.std() > 10


def test_the_state_holds_weights_and_optimiser(finished, data):
    workdir = finished.workdir
    model = TrainingModel(build_network(configuration(data, workdir)))
    optimizer = make_optimizer(configuration(data, workdir), steps_per_epoch=2)
    model.compile(optimizer=optimizer)
    optimizer.build(model.network.trainable_variables)
    checkpoint, _ = CheckpointFolder(workdir).newest()
    go_on(model, checkpoint, checkpoint.record["identity"], workdir, "on")
    for ours, theirs in zip(model.network.weights, load_model(workdir / "last.keras").weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert int(optimizer.iterations) > 0
    assert any(np.any(variable) for variable in optimizer.variables[2:])


def test_watching_changes_no_weight(data, finished, tmp_path):
    """Neither pictures nor an evaluation, which `finished` has and this run has not."""
    train(configuration(data, tmp_path, picture_count=0))
    unwatched, watched = (load_model(folder / "last.keras").weights for folder in (tmp_path, finished.workdir))
    for one, other in zip(unwatched, watched, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_finished_runs_folder_is_not_taken_for_a_new_one(data, workdir):
    with pytest.raises(UserError, match="holds another run; choose a new folder, or turn resume on"):
        train(configuration(data, workdir, resume="off"))


def files_of(folder):
    """The bytes of what a run goes on from and of what it gives."""
    names = ("best.keras", "last.keras", "curves.csv", "evaluations.jsonl", "checkpoints/step-*")
    return {path: path.read_bytes() for name in names for path in folder.glob(name)}


def test_a_loss_that_is_not_finite_stops_and_leaves_the_checkpoints(data, workdir):
    before = files_of(workdir)
    config = configuration(data, workdir, epochs=2, resume="force")
    wild = dataclasses.replace(config.optimization, learning_rate=math.inf)
    with pytest.raises(UserError, match=r"the loss is not finite at step \d+ \(epoch 1\)"):
        train(dataclasses.replace(config, optimization=wild))
    assert files_of(workdir) == before and len(before) == 5


def test_weights_that_the_last_step_spoilt_are_not_kept():
    spoilt = network()
    check_weights(spoilt, 14, 2)
    bias = spoilt.get_layer("final_layer").bias
    bias.assign(bias + np.inf)
    with pytest.raises(UserError, match=r"weights are not finite after step 14 \(epoch 2\)"):
        check_weights(spoilt, 14, 2)


@pytest.mark.parametrize("part", ["training", "validation"])
def test_a_damaged_image_ends_the_training_in_its_error(data, tmp_path, part):
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted(Path(data.images).iterdir()):
        (images / path.name).write_bytes(path.read_bytes()[:300])
    changes = {"validation_annotations": data.annotations, "validation_images": str(images)}
    if part == "training":
        changes = {"images": str(images)}
    with pytest.raises(UserError, match=str(images)):
        train(configuration(dataclasses.replace(data, **changes), tmp_path / "run"))
    # An evaluation that fails ends the run, but the epoch before it is kept.
    kept = [path.name for path in (tmp_path / "run").glob("*.keras")]
    assert kept == ([] if part == "training" else ["last.keras"])
    checkpoint, _ = CheckpointFolder(tmp_path / "run").newest()
    assert (checkpoint is None) == (part == "training")
    if checkpoint:
        assert checkpoint.step == checkpoint.record["identity"]["steps"] and not checkpoint.record["progress"]["rows"]


def test_what_was_estimated_and_left_out_is_said_before_the_work(data, tmp_path, capsys, monkeypatch):
    values = json.loads(Path(data.annotations).read_text())
    count = len(values["annotations"])
    values["annotations"][0]["area"] = 0
    values["annotations"].append(values["annotations"][0] | {"id": count + 1, "category_id": 9})
    (tmp_path / "annotations.json").write_text(json.dumps(values))
    odd = dataclasses.replace(data, annotations=str(tmp_path / "annotations.json"))
    unlabelled = dict(values) | {"annotations": [entry | {"keypoints": [0] * 51} for entry in values["annotations"]]}
    (tmp_path / "validation.json").write_text(json.dumps(unlabelled))
    validated = {"validation_annotations": str(tmp_path / "validation.json"), "validation_images": data.images}
    with pytest.raises(UserError, match=r"validation.json: no person with a labelled keypoint \(0 persons;"):
        train(configuration(dataclasses.replace(odd, **validated), tmp_path / "run"))

    def stop(*_):
        raise UserError("the work begins")

    monkeypatch.setattr(trainer, "training_dataset", stop)
    with pytest.raises(UserError, match="the work begins"):
        train(configuration(odd, tmp_path / "run"))
    expected = "1 areas estimated from boxes; 1 left out (of a category that the file does not list)"
    assert f"training annotations: {count} persons; {expected}\n" in capsys.readouterr().out


def test_the_annotations_options_reach_the_reader(data, tmp_path):
    values = json.loads(Path(data.annotations).read_text())
    values["categories"][0]["keypoints"][1] = "left_antenna"
    for entry in values["annotations"]:
        del entry["bbox"]
    (tmp_path / "annotations.json").write_text(json.dumps(values))
    odd, spec = (
        dataclasses.replace(data, annotations=str(tmp_path / "annotations.json")),
        PoseSpec(COCO17, (64, 64), (4, 4), 2.0),
    )
    with pytest.raises(UserError, match="trust_keypoint_order"):
        training_source(configuration(odd, tmp_path), spec)
    odd = dataclasses.replace(odd, trust_keypoint_order=True)
    with pytest.raises(UserError, match="boxes_from_keypoints"):
        training_source(configuration(odd, tmp_path), spec)
    odd = dataclasses.replace(odd, boxes_from_keypoints=True)
    assert "boxes taken from keypoints" in training_source(configuration(odd, tmp_path), spec).summary()


def test_missing_annotations_are_named(data, tmp_path):
    config = configuration(dataclasses.replace(data, annotations="missing.json"), tmp_path)
    with pytest.raises(UserError, match="missing.json: no such file"):
        training_source(config, PoseSpec(COCO17, (64, 64), (4, 4), 2.0))


def test_only_the_images_that_are_trained_on_must_be_there(data, tmp_path):
    spec = PoseSpec(COCO17, (64, 64), (4, 4), 2.0)
    persons = training_source(configuration(data, tmp_path), spec).persons
    first = persons.images[next(iter(persons.limited(1).by_image()))].file_name
    (tmp_path / "part").mkdir()
    shutil.copy(Path(data.images) / first, tmp_path / "part" / first)
    part = dataclasses.replace(data, images=str(tmp_path / "part"))

    def source(**options):
        config = configuration(dataclasses.replace(part, **options), tmp_path)
        return training_source(
            dataclasses.replace(config, optimization=dataclasses.replace(config.optimization, batch_size=1)), spec
        )

    with pytest.raises(UserError, match="there is no such image"):
        source()
    assert source(maximum_persons=1).count == 1 and source(skip_damaged=True).count > 1


def test_a_batch_larger_than_the_data_is_refused(data, tmp_path):
    config = configuration(data, tmp_path)
    large = dataclasses.replace(config.optimization, batch_size=1_000_000)
    with pytest.raises(UserError, match=r"batch_size is 1000000, but there are only \d+ persons to train on"):
        train(dataclasses.replace(config, optimization=large))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_optimiser_is_the_papers():
    config = TrainingConfig()
    optimizer = make_optimizer(config, steps_per_epoch=7)
    assert type(optimizer) is PyTorchAdam
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-8)
    assert not optimizer.weight_decay and not optimizer.clipnorm and not optimizer.use_ema
    schedule = TrainingSchedule.from_config(optimizer.get_config()["learning_rate"]["config"])
    assert schedule.drop_steps == (630, 840)
    assert (config.optimization.batch_size, config.optimization.epochs) == (128, 140)


def test_float16_scales_the_loss():
    config = dataclasses.replace(TrainingConfig(), run=RunConfig(precision="mixed_float16"))
    optimizer = make_optimizer(config, steps_per_epoch=7)
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    rate = optimizer.inner_optimizer.get_config()["learning_rate"]
    assert rate["class_name"] == TrainingSchedule.__name__


def test_evaluating_weighs_examples_and_ignores_padding():
    model = TrainingModel(network())
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    batch = patches(4)
    del batch["data_wait"]

    def measured(batch, weights):
        values = batch | {"example_weight": np.array(weights, np.float32)}
        dataset = tf.data.Dataset.from_tensors(values)
        return model.evaluate(dataset, verbose=0, return_dict=True)

    half = measured({name: np.asarray(value)[:2] for name, value in batch.items()}, [1, 1])
    padded = measured(batch, [1, 1, 0, 0])
    assert padded["loss"] == pytest.approx(half["loss"], rel=1e-4)
    assert padded["pck"] == pytest.approx(half["pck"], rel=1e-4)
    assert measured(batch, [1, 1, 1, 1])["loss"] != pytest.approx(half["loss"], rel=1e-5)
