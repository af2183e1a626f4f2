"""The head of the codec simcc: a row of probabilities for each keypoint out of its map."""

from keras import initializers, layers

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.codecs.simcc import BINS, peak_scale

DEVIATION = 0.01  # Standard deviation of the initial weights (paper's release).


def distribution_rows(maps: Tensor, input_size: tuple[int, int], sigma: float) -> Tensor:
    """Rows [B, 1, 2 W + 2 H, K] float32 of maps [B, h, w, K]: one dense layer for x and one for y, of all keypoints."""
    _, h, w, keypoints = maps.shape
    x = layers.Reshape((h * w, keypoints), dtype="float32", name="flat")(maps)
    x = layers.Permute((2, 1), dtype="float32", name="keypoints_first")(x)
    rows = []
    for axis, size in (("x", input_size[1]), ("y", input_size[0])):
        y = layers.Dense(
            BINS * size, kernel_initializer=_initializer(), activation="softmax", dtype="float32", name=f"bins_{axis}"
        )(x)
        rows.append(layers.Rescaling(peak_scale(sigma), dtype="float32", name=f"scale_{axis}")(y))
    joined = layers.Concatenate(dtype="float32", name="rows")(rows)
    joined = layers.Permute((2, 1), dtype="float32", name="keypoints_last")(joined)
    return layers.Reshape((1, joined.shape[1], keypoints), dtype="float32", name="as_map")(joined)


def _initializer() -> initializers.Initializer:
    return initializers.RandomNormal(stddev=DEVIATION)
