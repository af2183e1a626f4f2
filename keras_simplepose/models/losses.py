"""The training loss and the heatmap PCK shown beside it."""

from keras import ops

from keras_simplepose.core.arrays import Tensor

PCK_DISTANCE = 0.5  # Of a tenth of the heatmap along each axis (paper's release, `accuracy`).


def keypoint_mse(predictions: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Half the mean squared error between weighted heatmaps, per example.

    The mean over the batch equals the release's loss: its divisor is all heatmap pixels, not those of visible joints.

    Args:
        predictions: [B, h, w, K] float32.
        targets: [B, h, w, K] float32.
        weights: [B, K] float32.

    Returns:
        [B] float32.
    """
    difference = (ops.cast(predictions, "float32") - targets) * weights[:, None, None, :]
    return 0.5 * ops.mean(ops.square(difference), axis=(1, 2, 3))


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
