"""Training steps from the same weights on the same batch, beside PyTorch with the release's loss and optimiser."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import tensorflow as tf  # noqa: E402
from torch_states import pose_state  # noqa: E402

from keras_simplepose.conversion.tensor_names import set_tensors, tensor_slots  # noqa: E402
from keras_simplepose.conversion.torch_networks import build_twin  # noqa: E402
from keras_simplepose.core import codecs  # noqa: E402
from keras_simplepose.core.skeletons import COCO17  # noqa: E402
from keras_simplepose.core.spec import PoseSpec  # noqa: E402
from keras_simplepose.models.features import HEAD_DEVIATION  # noqa: E402
from keras_simplepose.models.losses import keypoint_mse  # noqa: E402
from keras_simplepose.models.simple_baselines import build_pose_model  # noqa: E402
from keras_simplepose.training.optimizers import PyTorchAdam  # noqa: E402

SIZE = (64, 64)


def batch(count, seed=0):
    """Crops, target heatmaps and weights; some keypoints invisible, some off the edge."""
    generator = np.random.default_rng(seed)
    crops = generator.integers(0, 256, (count, *SIZE, 3)).astype(np.float32)
    keypoints = generator.uniform(-8, 72, (count, 17, 2)).astype(np.float32)
    visible = (generator.random((count, 17)) < 0.8).astype(np.float32)
    targets, weights = codecs.encode(keypoints, visible, PoseSpec(COCO17, SIZE, (16, 16), 2.0))
    return crops, np.asarray(targets), np.asarray(weights)


def off_the_kink(state):
    """Moves every normalisation's output 2.5 deviations away from zero, up or down by channel.

    Where a unit's input is zero but for rounding, its gradient flows in one network and not in the other. One such
    unit in 30,000 changes a tensor's gradient by half a per cent, and a batch meets a few: no fault of either network,
    but it would hide one.
    """
    generator = torch.Generator().manual_seed(1)
    for name, value in state.items():
        gamma = state.get(name.removesuffix("bias") + "weight")
        if name.endswith(".bias") and gamma.ndim == 1:
            sign = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1
            state[name] = 2.5 * sign * gamma


def networks(kernels=(4, 4, 4), style="pytorch", away_from_kink=False, precision="float32"):
    """The Keras model and the PyTorch network with the same weights, the head as small as the release starts it."""
    architecture, state = pose_state(kernels=kernels, style=style)
    for name, value in state.items():
        if name.startswith(("deconv_layers", "final_layer")) and value.ndim == 4:
            state[name] = value / value.std() * HEAD_DEVIATION
        elif name.startswith(("deconv_layers", "final_layer")) and name.endswith("bias"):
            state[name] = torch.zeros_like(value)
    if away_from_kink:
        off_the_kink(state)
    twin = build_twin(architecture).train()
    twin.load_state_dict(state)
    model = build_pose_model(architecture.backbone, input_size=SIZE, deconv_kernels=kernels, precision=precision)
    tensors = {name: value.numpy() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    set_tensors(model, tensors, "the random state")
    return model, twin.to(getattr(torch, precision))


def release_loss(heatmaps, targets, weights):
    """As the release writes it: a mean over joints of half the mean squared error of one weighted heatmap each."""
    count, joints = weights.shape
    loss = 0
    for joint in range(joints):
        weight = weights[:, joint, None]
        difference = heatmaps[:, joint].reshape(count, -1) * weight - targets[:, joint].reshape(count, -1) * weight
        loss = loss + 0.5 * torch.mean(difference**2)
    return loss / joints


class Pair:
    """Both networks, each with its optimiser, taking the same steps."""

    def __init__(self, **options):
        self.model, self.twin = networks(**options)
        self.optimizer = PyTorchAdam(1e-3, epsilon=1e-8)
        self.twin_optimizer = torch.optim.Adam(self.twin.parameters(), 1e-3)
        self.step_keras = tf.function(self._keras, jit_compile=False)

    def _keras(self, crops, targets, weights):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keypoint_mse(self.model(crops, training=True), targets, weights))
        gradients = tape.gradient(loss, self.model.trainable_variables)
        return loss, gradients

    def step(self, crops, targets, weights):
        """One step of each: (losses), {tensor: (gradients in PyTorch's axis order)}."""
        loss, gradients = self.step_keras(crops, targets, weights)
        of_variable = {id(v): g for v, g in zip(self.model.trainable_variables, gradients, strict=True)}
        ours = {}
        for name, slot in tensor_slots(self.model).items():
            gradient = of_variable.get(id(slot.variable))
            if gradient is not None:
                value = gradient.numpy()
                ours[name] = value.transpose(np.argsort(slot.axes)) if slot.axes else value
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))

        normalize = self.model.get_layer("pixels")
        if normalize.compute_dtype == "float64":
            pixels = np.asarray(normalize(crops))  # Rounded to float32 before it is widened.
        else:
            mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
            pixels = ((crops - mean) / std).astype(np.float32)
        pixels = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
        self.twin_optimizer.zero_grad()
        twin_loss = release_loss(
            self.twin(pixels), torch.from_numpy(targets.transpose(0, 3, 1, 2).copy()), torch.tensor(weights)
        )
        twin_loss.backward()
        theirs = {name: parameter.grad.numpy().copy() for name, parameter in self.twin.named_parameters()}
        self.twin_optimizer.step()
        assert ours.keys() == theirs.keys()
        return (float(loss), twin_loss.item()), {name: (ours[name], theirs[name]) for name in ours}


def gradient_differences(gradients):
    """{tensor: norm of the difference over PyTorch's norm}."""
    return {name: np.linalg.norm(ours - theirs) / np.linalg.norm(theirs) for name, (ours, theirs) in gradients.items()}


def check_one_step(pair, limit):
    (ours, theirs), gradients = pair.step(*batch(4))
    assert ours == pytest.approx(theirs, rel=1e-5)
    differences = gradient_differences(gradients)
    assert len(differences) == 53 * 3 + 3 * 3 + 2  # Convolutions and their normalisations, the head's, the last one.
    worst = max(differences, key=differences.get)
    assert differences[worst] < limit, f"{worst}: {differences[worst]:.2e}"


@pytest.mark.slow
def test_one_step_has_pytorchs_loss_and_gradients():
    check_one_step(Pair(away_from_kink=True), 1e-3)


@pytest.mark.slow
def test_in_float64_only_rounding_is_left():
    """No kink need be avoided here: what differs in float32 is its rounding, not a formula."""
    check_one_step(Pair(precision="float64"), 1e-5)


def backbone(named):
    """All of the backbone's parameters in one vector, in PyTorch's order and axes."""
    head = ("deconv_layers", "final_layer")
    return np.concatenate([value.ravel() for name, value in named if not name.startswith(head)]).astype(np.float64)


def backbones(pair):
    """That of the Keras model, and that of PyTorch's network."""
    theirs = [(name, parameter.detach().numpy().copy()) for name, parameter in pair.twin.named_parameters()]
    slots = tensor_slots(pair.model)
    ours = [(name, slots[name].variable.numpy()) for name, _ in theirs]
    ours = [(n, value.transpose(np.argsort(slots[n].axes)) if slots[n].axes else value) for n, value in ours]
    return backbone(ours), backbone(theirs)


@pytest.mark.slow
def test_twenty_steps_keep_pytorchs_losses_and_move_the_backbone_as_far():
    """With epsilon where Keras's Adam has it, the backbone moves 0.39 of PyTorch's way in the first step."""
    pair = Pair()
    start, _ = backbones(pair)
    losses, ways = [], []
    for seed in range(20):
        losses.append(pair.step(*batch(8, seed))[0])
        ways.append([np.linalg.norm(place - start) for place in backbones(pair)])
    losses, ways = np.array(losses), np.array(ways)
    assert losses[-1, 1] < losses[0, 1]
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=2e-3)
    np.testing.assert_allclose(ways[:, 0], ways[:, 1], rtol=1e-3)
    assert ways[0, 1] > 1 and ways[-1, 1] > 2 * ways[0, 1]
