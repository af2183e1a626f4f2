"""Boxes, crops and the affine between them.

Convention (paper section 3 and its release): points carry no half-pixel terms, so image point `source` lands in the
crop at (W/2, H/2) + (W / crop_width) · R(−θ) · (source − centre). The heatmap's frame is the crop's divided by the
stride, exactly. Every function takes NumPy arrays or tensors and answers in kind.
"""

import math

from keras_simplepose.core.arrays import Array, namespace

BOX_PADDING = 1.25  # The release widens every box by this before cropping.
HALF_BODY_PADDING = 1.5  # mmpose widens the box of half a body's keypoints by this instead.


def box_to_crop(boxes: Array, input_size: tuple[int, int], padding: float = BOX_PADDING) -> tuple[Array, Array]:
    """The crop of a box: same centre, the shorter side widened to the input's aspect ratio, then padded.

    Args:
        boxes: [..., 4] float (x, y, width, height) in image pixels.
        input_size: (height, width) of the network's input.
        padding: factor on both sides.

    Returns:
        centre [..., 2] (x, y) and crop width [...], both in image pixels; the crop's height is width · H / W.
    """
    ops = namespace(boxes)
    height, width = input_size
    center = boxes[..., :2] + boxes[..., 2:] / 2
    crop_width = ops.maximum(boxes[..., 2], boxes[..., 3] * (width / height)) * padding
    return center, crop_width


def points_to_crop(
    points: Array, selected: Array, input_size: tuple[int, int], padding: float = HALF_BODY_PADDING
) -> tuple[Array, Array]:
    """The crop around some of a person's keypoints: that of the box they span.

    Args:
        points: [..., K, 2] float (x, y) in image pixels.
        selected: [..., K] float, > 0 for the points to enclose; without any the crop is not finite.
        input_size: (height, width) of the network's input.
        padding: factor on both sides.

    Returns:
        centre [..., 2] (x, y) and crop width [...], as `box_to_crop`.
    """
    ops = namespace(points, selected)
    inside = selected[..., None] > 0
    first = ops.min(ops.where(inside, points, math.inf), axis=-2)
    last = ops.max(ops.where(inside, points, -math.inf), axis=-2)
    return box_to_crop(ops.concatenate([first, last - first], axis=-1), input_size, padding)


def crop_matrix(
    center: Array,
    crop_width: Array,
    output_size: tuple[int, int],
    degrees: Array = None,
    flip: Array = None,
    unit_length: bool = False,
) -> Array:
    """The affine that takes image pixels to crop pixels.

    Args:
        center: [..., 2] float (x, y), the crop's centre in image pixels.
        crop_width: [...] float, its width in image pixels, > 0.
        output_size: (height, width) of the crop in its own pixels (the network's input, usually).
        degrees: [...] float, rotation of the crop window; None means 0.
        flip: [...] float, 1 mirrors the image in x before everything else (x' = image width − 1 − x, the centre with
            it), 0 does not; None means 0. Only the crop's content depends on it, not on the image's width.
        unit_length: the crop's width and height span its pixels from the first one's middle to the last one's, as in
            UDP: image point `centre` lands at ((W − 1)/2, (H − 1)/2), the scale is (W − 1) / crop_width, along y
            (H − 1) / crop height.

    Returns:
        [..., 2, 3] float: crop point = matrix · (x, y, 1).
    """
    ops = namespace(center, crop_width, degrees if degrees is not None else 0, flip if flip is not None else 0)
    height, width = output_size
    less = int(unit_length)
    scale_x, scale_y = (width - less) / crop_width, (height - less) / height * width / crop_width
    radians = (degrees if degrees is not None else ops.zeros_like(scale_x)) * (math.pi / 180)
    cosine, sine = ops.cos(radians), ops.sin(radians)
    mirror = 1 - 2 * flip if flip is not None else ops.ones_like(scale_x)
    rows = []
    for along_x, along_y, middle in (
        (scale_x * cosine * mirror, scale_x * sine, (width - less) / 2),
        (-scale_y * sine * mirror, scale_y * cosine, (height - less) / 2),
    ):
        offset = middle - along_x * center[..., 0] - along_y * center[..., 1]
        rows.append(ops.stack([along_x, along_y, offset], axis=-1))
    return ops.stack(rows, axis=-2)


def invert(matrix: Array) -> Array:
    """The inverse of affines [..., 2, 3]; a singular one gives infinities or NaN."""
    ops = namespace(matrix)
    a, b, c = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 0, 2]
    d, e, f = matrix[..., 1, 0], matrix[..., 1, 1], matrix[..., 1, 2]
    determinant = a * e - b * d
    first = ops.stack([e, -b, b * f - e * c], axis=-1)
    second = ops.stack([-d, a, d * c - a * f], axis=-1)
    return ops.stack([first, second], axis=-2) / determinant[..., None, None]


def compose(outer: Array, inner: Array) -> Array:
    """The affine [..., 2, 3] that applies `inner` first and `outer` to its result."""
    ops = namespace(outer, inner)
    linear = outer[..., :, :2]
    return ops.concatenate([linear @ inner[..., :, :2], linear @ inner[..., :, 2:] + outer[..., :, 2:]], axis=-1)


def transform_points(matrix: Array, points: Array) -> Array:
    """Applies affines [..., 2, 3] to points [..., P, 2] (x, y)."""
    ops = namespace(matrix, points)
    x, y = points[..., 0], points[..., 1]
    rows = [matrix[..., row, 0, None] * x + matrix[..., row, 1, None] * y + matrix[..., row, 2, None] for row in (0, 1)]
    return ops.stack(rows, axis=-1)
