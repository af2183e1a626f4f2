"""The layers that frame every network: pixels in, maps with their specification out."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_simplepose.core.arrays import Tensor
from keras_simplepose.core.centers import DetectorSpec
from keras_simplepose.core.spec import PoseSpec

PACKAGE = "keras_simplepose"


@contextlib.contextmanager
def dtype_policy(precision: str) -> Iterator[None]:
    """Builds layers under a policy and puts the caller's back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@keras.saving.register_keras_serializable(PACKAGE)
class PixelNormalization(keras.layers.Layer):
    """Takes RGB pixels of 0 to 255 to what the backbone was trained on: reordered, less the mean, over the deviation.

    Computed in float32 whatever the policy, then cast to the compute dtype.
    """

    def __init__(self, mean: Any, std: Any, channel_order: str = "rgb", **kwargs: Any):
        """Sets the constants.

        Args:
            mean: 3 numbers on the scale of 0 to 255, in `channel_order`.
            std: 3 numbers likewise.
            channel_order: "rgb" or "bgr".
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        if channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', not {channel_order!r}")
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))
        self.channel_order = channel_order

    def call(self, pixels: Tensor) -> Tensor:
        """Normalises pixels [B, H, W, 3], uint8 or float, of 0 to 255."""
        pixels = ops.cast(pixels, "float32")
        if self.channel_order == "bgr":
            pixels = ops.flip(pixels, axis=-1)
        scale = 1 / np.array(self.std, np.float32)
        shift = -np.array(self.mean, np.float32) * scale
        return ops.cast(pixels * scale + shift, self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constants."""
        return super().get_config() | {"mean": self.mean, "std": self.std, "channel_order": self.channel_order}


class _Maps(keras.layers.Layer):
    """The end of a network: float32 maps, and the specification that the saved file carries with them."""

    _spec_type: Any

    def __init__(self, spec: Any, **kwargs: Any):
        """Keeps the specification.

        Args:
            spec: of the network; a dictionary when read from a file.
            **kwargs: of `keras.layers.Layer`; the dtype is always float32.
        """
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.spec = spec if isinstance(spec, self._spec_type) else self._spec_type.from_dict(spec)

    def call(self, maps: Tensor) -> Tensor:
        """Casts [B, h, w, C] to float32."""
        return ops.cast(maps, "float32")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The specification as a dictionary."""
        return super().get_config() | {"spec": self.spec.to_dict()}


@keras.saving.register_keras_serializable(PACKAGE)
class Heatmaps(_Maps):
    """The end of a pose network: heatmaps [B, h, w, K], with its `PoseSpec`."""

    _spec_type = PoseSpec
    spec: PoseSpec


@keras.saving.register_keras_serializable(PACKAGE)
class PersonCenters(_Maps):
    """The end of a person detector: maps [B, h, w, 5] as `core.centers` describes them, with its `DetectorSpec`."""

    _spec_type = DetectorSpec
    spec: DetectorSpec
