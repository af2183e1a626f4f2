"""What a run may add to the paper's recipe: losses, accumulation, AdamW, averaged weights, layers' own rates."""

import dataclasses
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_training import patches

from keras_simplepose.config import AugmentationConfig, OptimizationConfig, TrainingConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.appearance import draw_appearance
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.models.losses import adaptive_wing, hard_keypoint_mse, keypoint_mse, labelled_mse
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.training.optimizers import PyTorchAdam
from keras_simplepose.training.trainer import make_optimizer
from keras_simplepose.training.training_model import TrainingModel, stage_losses
from keras_simplepose.utils.errors import UserError


def network():
    """Two convolutions with a normalisation between."""
    keras.utils.set_random_seed(0)
    crops = keras.Input((64, 64, 3))
    x = keras.layers.Conv2D(8, 5, 4, padding="same", name="stem")(keras.layers.Rescaling(1 / 255)(crops))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9, name="stem_norm")(x))
    maps = keras.layers.Conv2D(17, 3, padding="same", name="head")(x)
    return keras.Model(crops, Heatmaps(PoseSpec(COCO17, (64, 64), (16, 16), 2.0))(maps))


def heatmaps(seed=0, count=4):
    random = np.random.default_rng(seed)
    predictions, targets = random.normal(0.3, 0.5, (2, count, 6, 5, 17)).astype(np.float32)
    return predictions, targets.clip(0, 1), (random.random((count, 17)) < 0.7).astype(np.float32)


def trainer(**options):
    model = TrainingModel(network(), optimization=OptimizationConfig(**options))
    config = dataclasses.replace(TrainingConfig(), optimization=OptimizationConfig(**options))
    model.compile(optimizer=make_optimizer(config, 10, model.network))
    model.optimizer.build(model.network.trainable_variables)
    return model


def values(variables):
    return [np.array(variable) for variable in variables]


def test_losses_are_their_loops():
    predictions, targets, weights = heatmaps()
    each = np.zeros(weights.shape)
    for b, k in np.ndindex(weights.shape):
        difference = (predictions[b, :, :, k].astype(float) - targets[b, :, :, k]) * weights[b, k]
        each[b, k] = 0.5 * (difference**2).mean()
    np.testing.assert_allclose(keypoint_mse(predictions, targets, weights), each.mean(axis=1), rtol=1e-5)
    labelled = [row[weight > 0].mean() for row, weight in zip(each, weights, strict=True)]
    np.testing.assert_allclose(labelled_mse(predictions, targets, weights), labelled, rtol=1e-5)
    assert not np.any(labelled_mse(predictions, targets, 0 * weights))
    hardest = [sorted(row)[-8:] for row in each]
    np.testing.assert_allclose(hard_keypoint_mse(predictions, targets, weights), np.mean(hardest, axis=1), rtol=1e-5)
    all_of_them = hard_keypoint_mse(predictions, targets, weights, count=17)
    np.testing.assert_allclose(all_of_them, keypoint_mse(predictions, targets, weights), rtol=1e-5)


def test_adaptive_wing_is_the_papers_formula():
    predictions, targets, weights = heatmaps(1)
    losses = np.zeros(predictions.shape)
    for place in np.ndindex(predictions.shape):
        weight = weights[place[0], place[3]]
        y, error = targets[place] * weight, abs(predictions[place] - targets[place]) * weight
        power = 2.1 - y
        slope = 14 * (1 / (1 + 0.5**power)) * power * 0.5 ** (power - 1)
        constant = 0.5 * slope - 14 * np.log(1 + 0.5**power)
        losses[place] = 14 * np.log(1 + error**power) if error < 0.5 else slope * error - constant
    np.testing.assert_allclose(adaptive_wing(predictions, targets, weights), losses.mean(axis=(1, 2, 3)), rtol=1e-4)
    with tf.GradientTape() as tape:
        same = tf.constant(targets)
        tape.watch(same)
        loss = adaptive_wing(same, targets, weights)
    assert not np.any(loss > 1e-6) and np.isfinite(tape.gradient(loss, same)).all()


def test_occluded_keypoints_cost_their_share():
    """Maps of 1 where 0 is wanted: every keypoint costs a half, an occluded one its factor of that."""
    wrong, right, weights = np.ones((1, 4, 4, 4), "f4"), np.zeros((1, 4, 4, 4), "f4"), np.float32([[1, 1, 1, 0]])
    factors = np.float32([[1, 0.25, 0.5, 0.5]])
    assert keypoint_mse(wrong, right, weights, factors)[0] == 0.5 * 1.75 / 4
    assert float(labelled_mse(wrong, right, weights, factors)[0]) == pytest.approx(0.5 * 1.75 / 3)
    assert hard_keypoint_mse(wrong, right, weights, factors, count=2)[0] == 0.5 * 1.5 / 2
    whole = float(adaptive_wing(wrong, right, weights)[0])
    assert float(adaptive_wing(wrong, right, weights, factors)[0]) == pytest.approx(whole * 1.75 / 3)


@pytest.mark.parametrize("loss", ["mse", "labelled_mse", "ohkm", "adaptive_wing"])
def test_a_step_weighs_what_is_occluded(loss):
    """The loss is linear in the weight, which is that of the flag 1 alone; at 1 nobody asks for the flags."""
    batch, losses = patches(), {}
    flags = np.random.default_rng(2).integers(0, 3, (4, 17)).astype(np.float32)
    for name, weight, visible in [
        ("whole", 1.0, flags),
        ("unflagged", 1.0, np.sign(flags)),
        ("half", 0.5, flags),
        ("none", 0.0, flags),
        ("visible", 1.0, flags * (flags == 2)),
    ]:
        options = OptimizationConfig(loss=loss, hard_keypoints=17, occluded_weight=weight)
        model = TrainingModel(network(), optimization=options)
        model.compile(optimizer=keras.optimizers.SGD(1.0))
        losses[name] = float(model.gradient_step(batch | {"visible": visible})[0])
    assert losses["whole"] == losses["unflagged"]
    assert losses["half"] == pytest.approx((losses["whole"] + losses["none"]) / 2, rel=1e-5)
    assert losses["none"] < 0.95 * losses["whole"]
    if loss != "labelled_mse":  # It divides by all that is labelled.
        assert losses["none"] == pytest.approx(losses["visible"], rel=1e-5)


def test_only_the_last_stage_mines():
    first, last = stage_losses(OptimizationConfig(loss="ohkm", hard_keypoints=3), 2, pose_spec(network()))
    assert first is keypoint_mse and last.func is hard_keypoint_mse and last.keywords == {"count": 3}


@functools.cache
def whole_step(parts, compiled=False):
    model = TrainingModel(network(), optimization=OptimizationConfig(accumulation_steps=parts))
    for layer in model.network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    model.optimizer.build(model.network.trainable_variables)
    logs = tf.function(model.train_step, jit_compile=compiled)(patches(8))
    return values(model.network.weights), {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_parts_of_a_batch_equal_the_batch_where_norms_are_frozen(compiled):
    start = values(network().weights)
    whole, logs = whole_step(1)
    parts, logs_of_parts = whole_step(4, compiled)
    moved = max(np.abs(one - two).max() for one, two in zip(start, whole, strict=True))
    apart = max(np.abs(one - two).max() for one, two in zip(parts, whole, strict=True))
    assert moved > 1e-4 and apart < 1e-3 * moved
    assert logs_of_parts == pytest.approx(logs, rel=1e-4)


def test_adamw_is_pytorchs():
    torch = pytest.importorskip("torch")
    gradients = np.random.default_rng(0).normal(size=(20, 3))
    variable = keras.Variable(np.float32([1, -2, 3]))
    other = torch.nn.Parameter(torch.tensor([1.0, -2, 3]))
    ours = PyTorchAdam(2.0**-5, epsilon=1e-8, weight_decay=0.1)
    ours.multiply_rates([variable], 0.5)
    ours.build([variable])
    theirs = torch.optim.AdamW([other], 2.0**-6, eps=1e-8, weight_decay=0.1)
    for gradient in gradients:
        ours.apply([tf.constant(gradient, tf.float32)], [variable])
        other.grad = torch.tensor(gradient, dtype=torch.float32)
        theirs.step()
    np.testing.assert_allclose(variable.numpy(), other.detach().numpy(), rtol=1e-5)


def test_norms_and_biases_do_not_decay_and_layers_have_their_rates():
    model = trainer(weight_decay=0.1, learning_rate=0.1, learning_rate_factors=("?ea:9", "stem:0.5"))
    before = values(model.network.trainable_variables)
    model.optimizer.apply([tf.zeros(value.shape) for value in before], model.network.trainable_variables)
    decayed = {"stem/kernel": 0.5, "head/kernel": 9.0}
    for variable, old in zip(model.network.trainable_variables, before, strict=True):
        kept = 1 - 0.01 * decayed.get(variable.path, 0.0)
        np.testing.assert_allclose(variable.numpy(), old * kept, rtol=1e-5, err_msg=variable.path)


@pytest.mark.parametrize("factor", ["stem", "stem:x", ":2", "stem:0", "stem:-1", "stem:nan"])
def test_wrong_rate_factors_are_named(factor):
    with pytest.raises(UserError, match="is no NAME:FACTOR"):
        trainer(learning_rate_factors=(factor,))
    with pytest.raises(UserError, match="learning_rate_factors: no layer of .* begins with 'nothing'"):
        trainer(learning_rate_factors=("nothing:2",))


def test_averaged_weights_follow_their_formula_and_come_and_go():
    model = trainer(ema_decay=0.75, learning_rate=0.01)
    step, batch = tf.function(model.train_step), patches()
    expected = None
    for _ in range(3):
        step(batch)
        now = values(model.network.variables)
        before = expected or now
        expected = [0.75 * old + 0.25 * new for old, new in zip(before, now, strict=True)]
    with model.average.swapped_in(model.optimizer):
        averaged = values(model.network.variables)
    for ours, other in zip(averaged, expected, strict=True):
        np.testing.assert_allclose(ours, other, rtol=1e-4, atol=1e-6)
    for after, value in zip(values(model.network.variables), now, strict=True):
        np.testing.assert_array_equal(after, value)
    assert any(np.abs(one - two).max() > 1e-4 for one, two in zip(averaged, now, strict=True))


def test_drawn_colours_reach_the_crops():
    model, batch = TrainingModel(network()), patches()
    plain, targets, *_ = model.make_batch(batch)
    config = AugmentationConfig(brightness=0.5, photometric_probability=1, erasing_probability=1)
    drawn = batch | draw_appearance(0, 0, len(plain), config).to_dict()
    crops, targets_again, *_ = model.make_batch(drawn)
    np.testing.assert_array_equal(targets, targets_again)
    assert all(np.mean(one != two) > 0.3 for one, two in zip(np.asarray(crops), np.asarray(plain), strict=True))


def test_a_teachers_heatmaps_are_learnt_beside_the_labels():
    """Against the sum written out: where nobody labelled, the teacher's share is all there is."""
    batch = patches()
    teacher, options = network(), OptimizationConfig(teacher="any", teacher_weight=0.25)
    for variable in teacher.trainable_variables:
        variable.assign(variable * 1.5 + 0.05)
    teacher.trainable = False
    before = values(teacher.variables)
    model = TrainingModel(network(), optimization=options, teacher=teacher)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    assert len(model.weights) == len(TrainingModel(network()).weights)  # A checkpoint does not hold the teacher.
    for unlabelled in (False, True):
        batch["visible"] *= 0 if unlabelled else 1
        crops, targets, weights, _ = model.make_batch(batch)
        taught = teacher(crops, training=False)
        with tf.GradientTape() as tape:
            maps = model.network(crops, training=True)
            own = tf.reduce_mean(keypoint_mse(maps, targets, weights))
            other = tf.reduce_mean(keypoint_mse(maps, taught, tf.ones_like(weights)))
            total = 0.75 * own + 0.25 * other
        expected = tape.gradient(total, model.network.trainable_variables)
        loss, gradients, _ = model.gradient_step(batch)
        assert (float(own) == 0) == unlabelled and float(other) > 0
        assert float(loss) == pytest.approx(float(total), rel=1e-5)
        for ours, theirs in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)
    model.train_step(batch)
    for ours, theirs in zip(values(teacher.variables), before, strict=True):
        np.testing.assert_array_equal(ours, theirs)
