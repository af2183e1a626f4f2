"""Mirror images: keypoints, heatmaps, and the flip test."""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Array


def flip_keypoint_order(values: Array, flip_order: np.ndarray, axis: int) -> Array:
    """Swaps left and right along the keypoint axis; the coordinates themselves stay."""
    return ops.take(values, flip_order, axis=axis)


def unflip_heatmaps(heatmaps: Array, flip_order: np.ndarray, shift: bool) -> Array:
    """Brings the heatmaps of mirrored crops back to the frame of the originals.

    Args:
        heatmaps: [B, h, w, K] float32, of mirrored crops.
        flip_order: [K] int32, `Skeleton.flip_order`.
        shift: moves them one column right, column 0 keeping its value, as the release does: without it a mirrored map
            lies 0.75 heatmap pixel off, with it 0.25 the other way.

    Returns:
        [B, h, w, K] float32.
    """
    mirrored = flip_keypoint_order(ops.flip(heatmaps, axis=2), flip_order, axis=-1)
    if shift:
        mirrored = ops.concatenate([mirrored[:, :, :1], mirrored[:, :, :-1]], axis=2)
    return mirrored


def flip_test(
    network: Callable[[Array], Array],
    crops: Array,
    flip_order: np.ndarray,
    shift: bool,
    mirrored: Callable[[Array], Array] | None = None,
) -> Array:
    """The mean of the heatmaps of crops and of their mirror images, in one forward pass of 2B crops.

    Args:
        network: maps [2B, H, W, 3] to [2B, h, w, K].
        crops: [B, H, W, 3].
        flip_order: [K] int32.
        shift: see `unflip_heatmaps`.
        mirrored: mirrors what is no heatmap, keypoints left in their order; None: `unflip_heatmaps` does it all.

    Returns:
        [B, h, w, K] float32.
    """
    both = network(ops.concatenate([crops, ops.flip(crops, axis=2)], axis=0))
    count = ops.shape(crops)[0]
    if mirrored is not None:
        return (both[:count] + flip_keypoint_order(mirrored(both[count:]), flip_order, axis=-1)) / 2
    return (both[:count] + unflip_heatmaps(both[count:], flip_order, shift)) / 2
