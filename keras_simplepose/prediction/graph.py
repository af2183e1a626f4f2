"""Photograph and boxes in, keypoints out: the one text that evaluation, prediction and every exported file run.

All functions work on tensors, in graphs, and with dynamic numbers of images, persons and image pixels.
"""

from collections.abc import Callable

from keras import ops

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core import codecs, flip
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.codecs import simcc
from keras_simplepose.core.geometry import box_to_crop, invert, transform_points
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.core.warp import warp_rounded


def crop_persons(images: Tensor, boxes: Tensor, spec: PoseSpec, image_indices: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts the network's input crops out of images.

    Args:
        images: [B, H, W, 3] uint8 or float RGB of 0–255, any H and W.
        boxes: [N, 4] float32 (x, y, width, height) in image pixels; they may reach outside the image.
        spec: of the network.
        image_indices: [N] int32, the image of each box.

    Returns:
        crops [N, H, W, 3] float32 of 0–255; matrices [N, 2, 3] float32, image pixels → crop pixels.
    """
    center, crop_width = box_to_crop(boxes, spec.input_size, spec.box_padding)
    matrices = spec.crop_matrix(center, crop_width)
    return warp_rounded(images, matrices, spec.input_size, image_indices), matrices


def predict_heatmaps(
    network: Callable[[Tensor], Tensor], crops: Tensor, spec: PoseSpec, protocol: EvaluationConfig
) -> Tensor:
    """Heatmaps [B, h, w, K] float32 of crops [B, H, W, 3], with the flip test if the protocol says so."""
    if protocol.flip_test:
        shift = protocol.flip_shift and spec.has_flip_shift
        mirrored = (lambda rows: simcc.mirrored(rows, spec)) if spec.distributions else None
        return flip.flip_test(network, crops, spec.skeleton.flip_order, shift, mirrored)
    return network(crops)


def predict_crops(
    network: Callable[[Tensor], Tensor],
    crops: Tensor,
    spec: PoseSpec,
    protocol: EvaluationConfig,
    gather_free: bool = False,
) -> tuple[Tensor, Tensor]:
    """Keypoints of crops.

    Args:
        network: maps crops [B, H, W, 3] to heatmaps [B, h, w, K] float32.
        crops: [B, H, W, 3] float32 RGB of 0–255.
        spec: of the network.
        protocol: its flip test and shift count.
        gather_free: decode without gathers, see `codecs.decode`.

    Returns:
        keypoints [B, K, 2] float32 (x, y) in crop pixels; maxima [B, K] float32, the heatmaps' values there.
    """
    return codecs.decode(predict_heatmaps(network, crops, spec, protocol), spec, gather_free)


def to_image(matrices: Tensor, keypoints: Tensor) -> Tensor:
    """Takes keypoints [N, K, 2] from crop pixels to image pixels, `matrices` [N, 2, 3] being image → crop."""
    return transform_points(invert(matrices), keypoints)


def predict_boxes(
    network: Callable[[Tensor], Tensor],
    image: Tensor,
    boxes: Tensor,
    spec: PoseSpec,
    protocol: EvaluationConfig,
    gather_free: bool = False,
) -> tuple[Tensor, Tensor]:
    """Keypoints of the persons in the boxes of one image.

    Args:
        network: as in `predict_crops`.
        image: [H, W, 3] uint8 or float RGB of 0–255, any size.
        boxes: [N, 4] float32 (x, y, width, height) in image pixels.
        spec: of the network.
        protocol: its flip test and shift count.
        gather_free: decode without gathers, see `codecs.decode`.

    Returns:
        keypoints [N, K, 2] float32 (x, y) in image pixels; maxima [N, K] float32.
    """
    crops, matrices = crop_persons(image[None], boxes, spec, ops.zeros_like(boxes[:, 0], dtype="int32"))
    keypoints, maxima = predict_crops(network, crops, spec, protocol, gather_free)
    return to_image(matrices, keypoints), maxima
