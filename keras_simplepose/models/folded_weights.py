"""Backbone weights whose batch normalisation was folded into the convolutions, as inference files have them.

A network cannot be trained well in that form, and statistics cannot be unfolded. They can be measured: the folded
network runs on training crops, and each normalisation gets the mean and variance that its convolution shows there, with
the gamma and beta that undo both. The function stays the file's, in inference exactly and in training up to what
batches differ by.
"""

import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_simplepose.models.layers import PixelNormalization
from keras_simplepose.utils.archives import check_archive
from keras_simplepose.utils.errors import UserError

SUFFIX = ".npz"
PIXEL_SCALE = 127.5  # Such files take pixels / 127.5 − 1.
# The layers that `build_pose_model` and `build_cpn` put after the backbone.
_HEAD_PREFIXES = ("deconv_layers.", "skip_layers.", "final_layer", "lateral.", "merge.", "global.", "refine.")
_TENSOR_NAME = re.compile(r"(\d+)_(conv|depthwise)_(kernel|bias)")


@dataclass(frozen=True)
class FoldedConvolution:
    """One convolution of a file.

    Attributes:
        name: as in the file, such as "07_depthwise".
        kernel: [h, w, in, out], or [h, w, C, 1] of a depthwise one; float32.
        bias: [out] or [C], float32.
    """

    name: str
    kernel: np.ndarray
    bias: np.ndarray


def is_folded(path: str | Path) -> bool:
    """Whether the name is that of a file of folded convolutions."""
    return str(path).lower().endswith(SUFFIX)


def read_folded_weights(path: str | Path) -> list[FoldedConvolution]:
    """Reads the convolutions of a file in network order.

    Args:
        path: an .npz of `NN_conv_kernel` or `NN_depthwise_kernel` and `NN_conv_bias` or `NN_depthwise_bias`, NN
            counting from 00 without gaps.

    Raises:
        UserError: the file is missing or damaged, holds other tensors, or a tensor is missing or not finite.
    """
    check_archive(Path(path))
    try:
        with np.load(path, allow_pickle=False) as content:
            tensors = {name: content[name] for name in content.files}
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file of weights") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError, MemoryError) as error:
        raise UserError(f"{path}: not a whole .npz file of weights ({str(error)[:120]})") from error
    for name, value in tensors.items():
        if not _TENSOR_NAME.fullmatch(name):
            raise UserError(f"{path}: tensor {name} is none of NN_conv_kernel, NN_depthwise_kernel and their biases")
        if value.dtype.kind != "f" or not np.all(np.isfinite(value)):
            raise UserError(f"{path}: tensor {name} is not of finite floating-point numbers")
    names = sorted({name.rpartition("_")[0] for name in tensors}, key=lambda name: int(name.partition("_")[0]))
    convolutions = []
    for index, name in enumerate(names):
        if int(name.partition("_")[0]) != index:
            raise UserError(
                f"{path}: {name} stands where convolution {index:02d} should be; they count from 00, each once"
            )
        for part in ("kernel", "bias"):
            if f"{name}_{part}" not in tensors:
                raise UserError(f"{path}: tensor {name}_{part} is missing")
        kernel, bias = (tensors[f"{name}_{part}"].astype(np.float32) for part in ("kernel", "bias"))
        convolutions.append(FoldedConvolution(name, kernel, bias))
    return convolutions


def load_folded_weights(model: keras.Model, path: str | Path, crops: Iterable[Any]) -> str:
    """Sets the backbone of a pose network from a file of folded convolutions; the head stays.

    Args:
        model: a pose network whose backbone has the file's convolutions in layer order, each with a batch normalisation
            after it, "same" padding and pixels of −1 to 1: `mobilenetv2` and what is cut from it.
        path: of the file; convolutions after the backbone's last are not used.
        crops: batches [B, H, W, 3] of RGB 0–255, all of one B: what the statistics are measured on.

    Returns:
        a line that says what was done.

    Raises:
        UserError: the file is damaged, or does not fit the backbone.
    """
    convolutions = read_folded_weights(path)
    pairs = _backbone_pairs(model, path)
    for (layer, _), folded in zip(pairs, convolutions, strict=False):
        _check_fit(layer, folded, path)
    if len(convolutions) < len(pairs):
        raise UserError(
            f"{path}: holds {len(convolutions)} convolutions, the backbone of {model.name} has {len(pairs)}: "
            f"{len(convolutions):02d}, {pairs[len(convolutions)][0].name}, is missing"
        )
    for (layer, normalization), folded in zip(pairs, convolutions, strict=False):
        layer.set_weights([folded.kernel])
        # Nothing but the bias is left of it, so that what is measured is the folded network.
        ones, zeros = np.ones_like(folded.bias), np.zeros_like(folded.bias)
        normalization.set_weights([ones, folded.bias, zeros, ones - normalization.epsilon])
    outputs = [layer.output for layer, _ in pairs]
    moments, count = _measure(keras.Model(model.inputs[0], outputs), crops)
    for (_, normalization), folded, (mean, variance) in zip(pairs, convolutions, moments, strict=False):
        gamma = np.sqrt(variance + normalization.epsilon)
        normalization.set_weights([gamma, mean + folded.bias, mean, variance])
    unused = [folded.name for folded in convolutions[len(pairs) :]]
    rest = f"; not used: {', '.join(unused)}" if unused else ""
    return f"{path}: {len(pairs)} convolutions set in the backbone of {model.name}, statistics of {count} crops{rest}"


def _backbone_pairs(model: keras.Model, path: str | Path) -> list[tuple[layers.Layer, layers.Layer]]:
    """The backbone's convolutions in order, each with the batch normalisation that alone hears it."""
    pixels = next((layer for layer in model.layers if isinstance(layer, PixelNormalization)), None)
    if pixels is None or {*pixels.mean, *pixels.std} != {PIXEL_SCALE} or pixels.channel_order != "rgb":
        raise UserError(
            f"{path}: its weights take pixels of −1 to 1, {model.name} others; use the backbone mobilenetv2"
        )
    pairs = []
    for layer in model.layers:
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D) or layer.name.startswith(_HEAD_PREFIXES):
            continue
        after = [node.operation for node in layer._outbound_nodes]
        if layer.use_bias or len(after) != 1 or not isinstance(after[0], layers.BatchNormalization):
            raise UserError(f"{path}: {layer.name} of {model.name} has no batch normalisation alone after it")
        pairs.append((layer, after[0]))
    return pairs


def _check_fit(layer: layers.Layer, folded: FoldedConvolution, path: str | Path) -> None:
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    if depthwise != folded.name.endswith("depthwise"):
        raise UserError(
            f"{path}: {folded.name} stands where the backbone has {layer.name}, another kind of convolution"
        )
    wanted = tuple(layer.kernel.shape)
    channels = (wanted[2] if depthwise else wanted[3],)
    for part, value, shape in (("kernel", folded.kernel, wanted), ("bias", folded.bias, channels)):
        if value.shape != shape:
            raise UserError(
                f"{path}: tensor {folded.name}_{part} is {_times(value.shape)}, {layer.name} takes {_times(shape)}; "
                "does alpha fit?"
            )


def _times(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _measure(network: keras.Model, crops: Iterable[Any]) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """Mean and variance per channel of each output over all crops, float32, and how many crops those were."""
    sums, crop_count, batch_count = None, 0, 0
    for batch in crops:
        values = []
        for output in network(batch, training=False):
            mean, variance = ops.moments(ops.cast(output, "float32"), axes=(0, 1, 2))
            mean, variance = (np.asarray(value, np.float64) for value in (mean, variance))
            values.append(np.stack([mean, variance + mean**2]))
        sums = values if sums is None else [total + value for total, value in zip(sums, values, strict=True)]
        crop_count += len(batch)
        batch_count += 1
    moments = []
    for total in sums or ():
        mean, square = total / batch_count
        moments.append((mean.astype(np.float32), np.maximum(square - mean**2, 0).astype(np.float32)))
    return moments, crop_count
