"""The training losses of poses by name, the heatmap PCK shown beside them, and those of a person detector.

A new one is a function of heatmaps, targets, weights and factors, as `keypoint_mse`, and a line in `LOSSES`.
"""

from collections.abc import Callable

from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.codecs.simcc import parts

HARD_KEYPOINTS = 8  # Of 17, whose losses count in online hard keypoint mining (CPN).
# Of the adaptive wing loss: α, ω, ε and θ (Wang et al., ICCV 2019).
WING_ALPHA, WING_OMEGA, WING_EPSILON, WING_THETA = 2.1, 14.0, 1.0, 0.5
PCK_DISTANCE = 0.5  # Of a tenth of the heatmap along each axis (paper's release, `accuracy`).


def keypoint_mse(predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None = None) -> Tensor:
    """Half the mean squared error between weighted heatmaps, per example.

    The mean over the batch equals the release's loss: its divisor is all heatmap pixels, not those of visible joints.

    Args:
        predictions: [B, h, w, K] float32.
        targets: [B, h, w, K] float32.
        weights: [B, K] float32, 0 for the keypoints that do not count, else 1.
        factors: [B, K] float32, what the loss of each is multiplied with; None: 1.

    Returns:
        [B] float32.
    """
    return ops.mean(_each_keypoint(predictions, targets, weights, factors), axis=1)


def labelled_mse(predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None = None) -> Tensor:
    """As `keypoint_mse`, but the mean over the keypoints that have weight: a person with few counts no less.

    0 for an example without any.
    """
    count = ops.sum(ops.cast(weights > 0, "float32"), axis=1)
    return ops.sum(_each_keypoint(predictions, targets, weights, factors), axis=1) / ops.maximum(count, 1.0)


def hard_keypoint_mse(
    predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None = None, count: int = HARD_KEYPOINTS
) -> Tensor:
    """As `keypoint_mse`, but the mean over the `count` keypoints that cost most: online hard keypoint mining.

    Example:
        >>> import numpy as np
        >>> heatmaps = np.sqrt([2.0, 8.0, 4.0]).reshape(1, 1, 1, 3)
        >>> float(hard_keypoint_mse(heatmaps, 0 * heatmaps, np.ones((1, 3), "float32"), count=2)[0])
        3.0
    """
    losses = _each_keypoint(predictions, targets, weights, factors)
    return ops.mean(ops.top_k(losses, min(count, losses.shape[-1]))[0], axis=1)


def adaptive_wing(predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None = None) -> Tensor:
    """The adaptive wing loss: as steep for small errors as for large ones near a Gaussian's top, flat far from it.

    Arguments and result as `keypoint_mse`.
    """
    weights = weights[:, None, None, :]
    targets = targets * weights
    error = ops.abs(ops.cast(predictions, "float32") * weights - targets)
    power = WING_ALPHA - targets
    edge = (WING_THETA / WING_EPSILON) ** power
    slope = WING_OMEGA / (1 + edge) * power * (WING_THETA / WING_EPSILON) ** (power - 1) / WING_EPSILON
    # Where the other branch holds, a power of 0 would have no finite gradient.
    near = ops.where(error < WING_THETA, ops.maximum(error, 1e-7), WING_THETA)
    inner = WING_OMEGA * ops.log1p((near / WING_EPSILON) ** power)
    outer = slope * (error - WING_THETA) + WING_OMEGA * ops.log1p(edge)
    losses = ops.where(error < WING_THETA, inner, outer)
    if factors is not None:
        losses = losses * factors[:, None, None, :]
    return ops.mean(losses, axis=(1, 2, 3))


def distribution_divergence(
    predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None = None, *, input_size: tuple[int, int]
) -> Tensor:
    """The Kullback–Leibler divergence of predicted rows from the labels, in nats, the mean over axes and keypoints.

    Args:
        predictions: [B, 1, 2 W + 2 H, K] float32 rows as the codec simcc has them; their scale cancels out.
        targets: likewise.
        weights: [B, K] float32.
        factors: as `keypoint_mse`.
        input_size: (H, W).

    Returns:
        [B] float32.
    """
    losses = []
    if factors is not None:
        weights = weights * factors
    for predicted, label in zip(parts(predictions, input_size), parts(targets, input_size), strict=True):
        predicted, label = (
            value / ops.maximum(ops.sum(value, axis=2, keepdims=True), LEAST_PROBABILITY)
            for value in (predicted, label)
        )
        surprise = ops.log(ops.maximum(label, LEAST_PROBABILITY)) - ops.log(ops.maximum(predicted, LEAST_PROBABILITY))
        losses.append(ops.sum(label * surprise, axis=(1, 2)) * weights)
    return 0.5 * ops.mean(losses[0] + losses[1], axis=1)


def distribution_pck(
    predictions: Tensor, targets: Tensor, weights: Tensor, input_size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """As `heatmap_pck`, of rows as `distribution_divergence` takes them."""
    shares = []
    for predicted, label in zip(parts(predictions, input_size), parts(targets, input_size), strict=True):
        places = [ops.cast(ops.argmax(value[:, 0], axis=1), "float32") for value in (predicted, label)]
        shares.append((places[0] - places[1]) / (label.shape[2] / 10))
    distance = ops.sqrt(ops.square(shares[0]) + ops.square(shares[1]))
    right = ops.cast(distance < PCK_DISTANCE, "float32") * weights
    return ops.sum(right), ops.sum(weights)


def _each_keypoint(predictions: Tensor, targets: Tensor, weights: Tensor, factors: Tensor | None) -> Tensor:
    """[B, K]: half the mean squared error of each keypoint's weighted heatmap, times its factor."""
    difference = (ops.cast(predictions, "float32") - targets) * weights[:, None, None, :]
    losses = 0.5 * ops.mean(ops.square(difference), axis=(1, 2))
    return losses if factors is None else losses * factors


LEAST_PROBABILITY = 1e-30  # What a logarithm is taken of at least.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
LOSSES: dict[str, Loss] = {
    "mse": keypoint_mse,
    "labelled_mse": labelled_mse,
    "ohkm": hard_keypoint_mse,
    "adaptive_wing": adaptive_wing,
}


def heatmap_pck(predictions: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Keypoints whose predicted maximum lies near the target's.

    Arguments as `keypoint_mse`.

    Returns:
        two scalars, float32: how many keypoints are right, and how many have weight. Near means a distance below half
        a tenth of the heatmap, each axis in its own unit.
    """
    _, h, w, count = predictions.shape

    def peak(heatmaps: Tensor) -> Tensor:
        index = ops.argmax(ops.reshape(heatmaps, (-1, h * w, count)), axis=1)
        return ops.cast(ops.stack([index % w, index // w], axis=-1), "float32")

    unit = ops.convert_to_tensor([w / 10, h / 10], "float32")
    distance = ops.norm((peak(predictions) - peak(targets)) / unit, axis=-1)
    right = ops.cast(distance < PCK_DISTANCE, "float32") * weights
    return ops.sum(right), ops.sum(weights)


def center_focal(logits: Tensor, heat: Tensor, counted: Tensor) -> Tensor:
    """The penalty-reduced focal loss of "Objects as Points" (equation 1: α = 2, β = 4), summed over each example.

    Args:
        logits: [B, h, w] of a centre.
        heat: [B, h, w] float32, the targets, exactly 1 at centres.
        counted: [B, h, w] float32, 0 where no centre is to be denied.

    Returns:
        [B] float32; to be divided by the number of persons.
    """
    logits = ops.cast(logits, "float32")
    probability = ops.sigmoid(logits)
    found = ops.square(1 - probability) * ops.softplus(-logits)
    denied = ops.power(1 - heat, 4) * ops.square(probability) * ops.softplus(logits) * counted
    return ops.sum(ops.where(heat >= 1, found, denied), axis=(1, 2))


def weighted_l1(predictions: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Absolute differences, summed over channels and, by weight, over cells.

    Args:
        predictions: [B, h, w, C].
        targets: [B, h, w, C] float32.
        weights: [B, h, w] float32, such as add up to 1 for each person.

    Returns:
        [B] float32; to be divided by the number of persons.
    """
    difference = ops.sum(ops.abs(ops.cast(predictions, "float32") - targets), axis=-1)
    return ops.sum(difference * weights, axis=(1, 2))
