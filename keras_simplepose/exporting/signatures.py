"""The signatures of exported files: the predictor's own text, and a defined answer to every box there can be."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.geometry import box_to_crop
from keras_simplepose.core.oks import pose_scores
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.exporting.image_bytes import decode_photograph
from keras_simplepose.prediction.exported_model import ArtefactMetadata
from keras_simplepose.prediction.graph import predict_boxes, predict_crops

# A function of tensors that returns a dictionary, and the tensors it takes.
Endpoint = tuple[Callable[..., dict[str, Any]], list[tf.TensorSpec]]
_ANY_BOX = (0.0, 0.0, 1.0, 1.0)  # Stands for one that cannot be cropped, whose answer is thrown away.


def usable_boxes(boxes: Tensor, image_size: tuple[Tensor, Tensor], spec: PoseSpec) -> Tensor:
    """Which boxes [N, 4] are finite, have an area, and have a crop that touches an image of (height, width): [N]."""
    center, crop_width = box_to_crop(boxes, spec.input_size, spec.box_padding)
    input_height, input_width = spec.input_size
    good = ops.logical_and(ops.all(ops.isfinite(boxes), axis=-1), ops.all(boxes[:, 2:] > 0, axis=-1))
    for axis, share in ((0, 0.5), (1, 0.5 * input_height / input_width)):
        size = ops.cast(image_size[1 - axis], "float32")
        low, high = center[:, axis] - crop_width * share, center[:, axis] + crop_width * share
        good = ops.logical_and(good, ops.logical_and(high > 0, low < size))
    return good


def _answer(keypoints: Tensor, maxima: Tensor, threshold: float, usable: Tensor = None) -> dict[str, Any]:
    """Results by name; a person that was not usable, or whose numbers are not finite, is all zeros."""
    keypoints = ops.concatenate([keypoints, maxima[..., None]], axis=-1)
    finite = ops.all(ops.isfinite(keypoints), axis=(1, 2))
    if usable is not None:
        finite = ops.logical_and(finite, usable)
    keypoints = ops.where(finite[:, None, None], keypoints, 0.0)
    scores = pose_scores(1.0, keypoints[..., 2], threshold)
    return {"keypoints": keypoints, "scores": scores}


def crops_endpoint(
    network: Callable[[Tensor], Tensor], metadata: ArtefactMetadata, batch: int | None = None, dtype: str = "float32"
) -> Endpoint:
    """Signature `crops`: [B, H, W, 3] RGB of 0–255 → keypoints [B, K, 3] in crop pixels, scores [B]."""

    def crops(crops: Tensor) -> dict[str, Any]:
        keypoints, maxima = predict_crops(
            network, ops.cast(crops, "float32"), metadata.spec, metadata.protocol, metadata.gather_free
        )
        return _answer(keypoints, maxima, metadata.protocol.keypoint_threshold)

    return crops, [tf.TensorSpec((batch, *metadata.spec.input_size, 3), dtype, name="crops")]


def image_endpoint(
    network: Callable[[Tensor], Tensor], metadata: ArtefactMetadata, boxes: int | None = None
) -> Endpoint:
    """Signature `image`: [H, W, 3] uint8 RGB and boxes [N, 4] → keypoints [N, K, 3] in its pixels, scores [N].

    A box that is not finite, has no area or lies off the image gives zeros, and does not touch the others.
    """
    spec = metadata.spec

    def image(image: Tensor, boxes: Tensor) -> dict[str, Any]:
        usable = usable_boxes(boxes, ops.shape(image)[:2], spec)
        boxes = ops.where(usable[:, None], boxes, ops.convert_to_tensor(_ANY_BOX, "float32"))
        keypoints, maxima = predict_boxes(network, image, boxes, spec, metadata.protocol, metadata.gather_free)
        return _answer(keypoints, maxima, metadata.protocol.keypoint_threshold, usable)

    return image, [
        tf.TensorSpec((None, None, 3), tf.uint8, name="image"),
        tf.TensorSpec((boxes, 4), tf.float32, name="boxes"),
    ]


def serving_endpoint(image: Callable[..., dict[str, Any]], honour_orientation: bool) -> Endpoint:
    """Signature `serving_default`: the same from one encoded photograph, `image` being the function above."""

    def serving_default(image_bytes: Tensor, boxes: Tensor) -> dict[str, Any]:
        return image(decode_photograph(image_bytes, honour_orientation), boxes)

    return serving_default, [
        tf.TensorSpec((), tf.string, name="image_bytes"),
        tf.TensorSpec((None, 4), tf.float32, name="boxes"),
    ]


def persons_endpoint(
    find: Callable[[Tensor], tuple[Tensor, Tensor]], poses_in: Callable[..., dict[str, Any]]
) -> Endpoint:
    """Signature `persons_image`: [H, W, 3] uint8 RGB → everybody in it.

    Args:
        find: gives boxes [N, 4] and their scores [N] of a photograph; a box of zeros stands for nobody.
        poses_in: the function of `image_endpoint`.

    Returns:
        the endpoint. Its results: boxes [N, 4] float32 (x, y, width, height) in the photograph's pixels, box_scores
        [N], keypoints [N, K, 3], and scores [N], each the box's times the pose's as in prediction.
    """

    def persons_image(image: Tensor) -> dict[str, Any]:
        boxes, box_scores = find(image)
        poses = poses_in(image, boxes)
        scores = box_scores * poses["scores"]
        return {"boxes": boxes, "box_scores": box_scores, "keypoints": poses["keypoints"], "scores": scores}

    return persons_image, [tf.TensorSpec((None, None, 3), tf.uint8, name="image")]


def persons_bytes_endpoint(persons_image: Callable[..., dict[str, Any]], honour_orientation: bool) -> Endpoint:
    """Signature `persons`: the same from one encoded photograph alone."""

    def persons(image_bytes: Tensor) -> dict[str, Any]:
        return persons_image(decode_photograph(image_bytes, honour_orientation))

    return persons, [tf.TensorSpec((), tf.string, name="image_bytes")]


def heatmaps_endpoint(network: Callable[[Tensor], Tensor], spec: PoseSpec, batch: int | None = None) -> Endpoint:
    """Signature `heatmaps`, the raw network: crops [B, H, W, 3] → heatmaps [B, h, w, K] float32."""

    def heatmaps(crops: Tensor) -> dict[str, Any]:
        return {"heatmaps": network(crops)}

    return heatmaps, [tf.TensorSpec((batch, *spec.input_size, 3), tf.float32, name="crops")]
