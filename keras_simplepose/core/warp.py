"""The bilinear sampler that cuts crops out of images: in the train step, the predictor and every exported file.

It is made of gathers, so it has an XLA kernel and TFLite built-ins; `ImageProjectiveTransformV3`, which
tensorflow-addons' `image.transform` used, has neither.
"""

from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.geometry import invert


def warp(images: Tensor, matrices: Tensor, output_size: tuple[int, int], image_indices: Tensor = None) -> Tensor:
    """Warps images by affines with bilinear interpolation; outside the image lies black.

    Args:
        images: [B, H, W, C] uint8 or float; height and width may be dynamic. Only the pixels needed are read.
        matrices: [N, 2, 3] float32, image pixels → output pixels, as `geometry.crop_matrix` makes them. One that is
            singular or not finite gives a black output.
        output_size: (height, width) of the outputs.
        image_indices: [N] int32, which image each matrix reads; None means N = B, in order.

    Returns:
        [N, height, width, C] float32, same range as the images.
    """
    batch, height, width, channels = ops.shape(images)
    pixels = ops.reshape(images, (-1, channels))
    to_source = invert(ops.cast(matrices, "float32"))
    finite = ops.all(ops.isfinite(to_source), axis=(1, 2), keepdims=True)
    to_source = ops.where(finite, to_source, -2.0)  # Every point of such an output reads from outside.
    if image_indices is None:
        image_indices = ops.arange(batch, dtype="int32")
    first_pixel = ops.reshape(ops.cast(image_indices, "int32") * (height * width), (-1, 1, 1))

    column = ops.reshape(ops.arange(output_size[1], dtype="float32"), (1, 1, -1))
    row = ops.reshape(ops.arange(output_size[0], dtype="float32"), (1, -1, 1))

    def taps(coefficients: Tensor, size: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Along one axis: (indices, weights) of the pixel before each point, and of the one after."""
        a, b, c = (coefficients[:, i, None, None] for i in range(3))
        # Two pixels outside is as black as a million, and converts to an integer safely.
        position = ops.clip(a * column + b * row + c, -2.0, ops.cast(size, "float32") + 1.0)
        before = ops.floor(position)
        fraction = position - before
        before = ops.cast(before, "int32")

        def tap(index: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
            inside = ops.logical_and(index >= 0, index < size)
            return ops.clip(index, 0, size - 1), ops.where(inside, weight, 0.0)

        return tap(before, 1.0 - fraction), tap(before + 1, fraction)

    output = 0.0
    x_taps, y_taps = taps(to_source[:, 0], width), taps(to_source[:, 1], height)
    for y, y_weight in y_taps:
        for x, x_weight in x_taps:
            values = ops.cast(ops.take(pixels, first_pixel + y * width + x, axis=0), "float32")
            output += values * (y_weight * x_weight)[..., None]
    return output


def warp_rounded(
    images: Tensor, matrices: Tensor, output_size: tuple[int, int], image_indices: Tensor = None
) -> Tensor:
    """As `warp`, in whole grey levels: what `cv2.warpAffine` makes of bytes, halves to the even level as it does.

    Every crop that a network sees comes from here. The release's networks were trained and measured on bytes, and the
    fractions moved 4.5 % of the keypoints by more than a pixel. It has no gradient.
    """
    return ops.round(warp(images, matrices, output_size, image_indices))
