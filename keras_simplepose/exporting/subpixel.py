"""Transposed convolutions of stride 2 written as plain convolutions, for runtimes that are slow at the former.

"Real-Time Single Image and Video Super-Resolution Using an Efficient Sub-Pixel Convolutional Neural Network" (Shi et
al., CVPR 2016): each of the 2×2 phases of the output is a convolution of its own over the input, so one convolution
with four times the filters makes them all, and depth-to-space puts them in their places. With the padding of the
release (1 for kernels of 3 and 4) output o = 2q − 1 + a of phase a hears inputs q − 1 and q through taps 2 + a and a.
"""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from keras_simplepose.core.arrays import Tensor


class SubpixelDeconvolution(layers.Layer):
    """A transposed convolution of stride 2 with the batch normalisation after it, as one plain convolution."""

    def __init__(self, kernel: np.ndarray, scale: np.ndarray, bias: np.ndarray, **kwargs: Any):
        """Rearranges the weights.

        Args:
            kernel: [k, k, F, C] of the transposed convolution, k of 2, 3 or 4.
            scale: [F] that its output is multiplied by, as batch normalisation does.
            bias: [F] added afterwards.
            **kwargs: of `keras.layers.Layer`.
        """
        super().__init__(**kwargs)
        size, _, self._filters, channels = kernel.shape
        self._padded = size > 2
        kernel = kernel * scale[:, None]
        reach = 2 if self._padded else 1  # Inputs that an output hears, along one axis.
        taps = np.zeros((2 * reach, 2 * reach, self._filters, channels), np.float32)
        taps[:size, :size] = kernel
        phases = np.empty((reach, reach, channels, 2, 2, self._filters), np.float32)
        for row, column in np.ndindex(reach, reach):
            for a, b in np.ndindex(2, 2):
                tap = taps[2 * (reach - 1 - row) + a, 2 * (reach - 1 - column) + b]
                phases[row, column, :, a, b] = tap.T
        values = phases.reshape(reach, reach, channels, -1), np.tile(bias.astype(np.float32), 4)
        self._kernel, self._bias = (
            self.add_weight(shape=value.shape, initializer=_constant(value), trainable=False, name=name)
            for name, value in zip(("kernel", "bias"), values, strict=True)
        )

    def call(self, x: Tensor) -> Tensor:
        """Maps [B, h, w, C] to [B, 2h, 2w, F]."""
        height, width = x.shape[1:3]
        if self._padded:
            x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        x = ops.conv(x, self._kernel, padding="valid") + self._bias
        x = tf.nn.depth_to_space(x, 2)
        return x[:, 1 : 2 * height + 1, 1 : 2 * width + 1] if self._padded else x

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Twice the height and width, F channels."""
        batch, height, width, _ = input_shape
        return (batch, 2 * height, 2 * width, self._filters)


class _Nothing(layers.Layer):
    """In the place of a layer whose work is done elsewhere; takes whatever arguments that was called with."""

    def call(self, x: Tensor, mask: Tensor = None) -> Tensor:
        return x


def _constant(value: np.ndarray) -> Tensor:
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype)


def in_subpixel_form(model: keras.Model) -> keras.Model:
    """The same function for inference, with `SubpixelDeconvolution` where a deconv block of `build_pose_model` was.

    Transposed convolutions that are not followed as there (crop for kernel 3, batch normalisation) stay as they are.

    Args:
        model: a functional model in float32; untouched.

    Returns:
        a copy with weights of its own, for inference alone.
    """
    blocks = {layer.name: block for layer in model.layers if (block := _block(model, layer))}
    inner = {layer.name for block in blocks.values() for layer in block[1:]}

    def clone(layer: layers.Layer) -> layers.Layer:
        if layer.name in blocks:
            deconvolution, *_, normalization = blocks[layer.name]
            gamma, beta, mean, variance = (np.asarray(value) for value in normalization.get_weights())
            scale = gamma / np.sqrt(variance + normalization.epsilon)
            return SubpixelDeconvolution(
                np.asarray(deconvolution.kernel), scale, beta - mean * scale, name=layer.name.replace(".", "_")
            )
        if layer.name in inner:
            return _Nothing(name=layer.name.replace(".", "_"))
        return layer.__class__.from_config(layer.get_config())

    copy = keras.models.clone_model(model, clone_function=clone)
    by_name = {layer.name: layer for layer in copy.layers}
    for layer in model.layers:
        if layer.weights and layer.name not in blocks and layer.name not in inner:
            by_name[layer.name].set_weights(layer.get_weights())
    return copy


def _block(model: keras.Model, layer: layers.Layer) -> list[layers.Layer] | None:
    """The layers of a deconv block from its first, or None if that begins none."""
    if not isinstance(layer, layers.Conv2DTranspose) or layer.use_bias or layer.strides != (2, 2):
        return None
    if layer.kernel_size[0] != layer.kernel_size[1] or layer.kernel_size[0] not in (2, 3, 4):
        return None
    wanted = [layers.BatchNormalization]
    if layer.kernel_size[0] == 3:
        wanted.insert(0, layers.Cropping2D)
    block = [layer]
    for kind in wanted:
        after = [other for other in model.layers if _hears(other, block[-1])]
        if len(after) != 1 or not isinstance(after[0], kind):
            return None
        block.append(after[0])
    is_cropped = layer.kernel_size[0] != 3 or block[1].cropping == ((1, 0), (1, 0))
    is_padded = layer.padding == ("valid" if layer.kernel_size[0] == 3 else "same")
    return block if is_cropped and is_padded else None


def _hears(layer: layers.Layer, other: layers.Layer) -> bool:
    """Whether a layer takes the output of another."""
    if isinstance(layer, layers.InputLayer):
        return False
    inputs = layer.input if isinstance(layer.input, list | tuple) else [layer.input]
    return any(value is other.output for value in inputs)
