"""A detector's training images out of letterboxed ones, inside the train step."""

from typing import Any

from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.centers import LEAST_SIDE, CenterTargets, DetectorSpec, encode_centers
from keras_simplepose.core.warp import warp_rounded
from keras_simplepose.media.letterbox import LETTERBOX_GREY

LEAST_VISIBLE = 0.25  # Of a person's box: with less of it left in the input, a person need be neither seen nor missed.


def augmented_images(batch: dict[str, Any], spec: DetectorSpec) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images and boxes under what was drawn for them.

    Args:
        batch: as `letterboxed.detector_batches` makes it.
        spec: of the network.

    Returns:
        images [B, H, W, 3] float32 RGB of 0–255, grey outside the letterboxed ones; boxes [B, M, 4] float32, clipped
        to the input; persons and ignored [B, M] float32. Persons of whom little is left, or too small, are ignored.
    """
    height, width = spec.input_size
    factor, shift, flip = batch["factor"], batch["shift"], batch["flip"]
    # Boxes lie between pixels, the affine's points in their middle: half a pixel before and after.
    along_x = factor * (1 - 2 * flip)
    offset = shift + ops.stack([flip * factor * width, ops.zeros_like(flip)], axis=-1)
    x_offset, y_offset = offset[:, 0] + along_x / 2 - 0.5, offset[:, 1] + factor / 2 - 0.5
    zeros = ops.zeros_like(factor)
    matrices = ops.stack(
        [ops.stack([along_x, zeros, x_offset], axis=-1), ops.stack([zeros, factor, y_offset], axis=-1)], axis=1
    )
    # Outside of an image the warp gives 0.
    images = warp_rounded(ops.cast(batch["image"], "float32") - LETTERBOX_GREY, matrices, spec.input_size)
    images = ops.clip((images + LETTERBOX_GREY) * batch["tint"][:, None, None, :], 0, 255)
    boxes = batch["boxes"]
    size = boxes[..., 2:] * factor[:, None, None]
    x = ops.where(flip[:, None] > 0, width - boxes[..., 0] - boxes[..., 2], boxes[..., 0])
    first = ops.stack([x, boxes[..., 1]], axis=-1) * factor[:, None, None] + shift[:, None]
    limit = ops.convert_to_tensor([width, height], "float32")
    low, high = ops.clip(first, 0.0, limit), ops.clip(first + size, 0.0, limit)
    seen = (high - low)[..., 0] * (high - low)[..., 1] / ops.maximum(size[..., 0] * size[..., 1], 1e-6)
    large = ops.max(high - low, axis=-1) >= LEAST_SIDE
    usable = ops.cast(ops.logical_and(seen >= LEAST_VISIBLE, large), "float32")
    persons = batch["persons"] * usable
    ignored = ops.maximum(batch["ignored"], batch["persons"] - persons)
    return images, ops.concatenate([low, high - low], axis=-1), persons, ignored


def detector_batch(batch: dict[str, Any], spec: DetectorSpec) -> tuple[Tensor, CenterTargets]:
    """Images [B, H, W, 3] and targets of a batch; as `augmented_images` and `centers.encode_centers`."""
    images, boxes, persons, ignored = augmented_images(batch, spec)
    return images, encode_centers(boxes, persons, ignored, spec)
