"""Tensor names ↔ Keras variables.

A layer of `models.resnet`, `models.mobilenet` or the head has the name its tensors have in PyTorch, so that
`layer1.0.conv1` holds `layer1.0.conv1.weight`. Other releases' names are brought to these first.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_simplepose.models.backbones.mobilenet import BLOCKS
from keras_simplepose.utils.errors import UserError

HEAD_PREFIXES = ("deconv_layers.", "skip_layers.", "final_layer.")
CLASSIFIER_PREFIXES = ("fc.", "classifier.")  # Of torchvision's ImageNet networks; a pose network has no use for them.
BETWEEN_STACKS = "inters."  # Of mmpose's Hourglass; with one stack the block is there, but nothing goes through it.
_LISTED = 20  # Names in an error message; the rest are counted.
_CONVOLUTION_AXES = (2, 3, 1, 0)  # (O, I, h, w) → (h, w, I, O), and transposed (I, O, h, w) → (h, w, O, I).
_DEPTHWISE_AXES = (2, 3, 0, 1)  # (C, 1, h, w) → (h, w, C, 1).


@dataclass(frozen=True)
class Slot:
    """Where a tensor goes: a Keras variable, and the order of PyTorch's axes in it (None: as they are)."""

    variable: Any
    axes: tuple[int, ...] | None = None

    @property
    def torch_shape(self) -> tuple[int, ...]:
        """The shape the tensor has in PyTorch."""
        shape = tuple(self.variable.shape)
        return tuple(np.array(shape)[np.argsort(self.axes)].tolist()) if self.axes else shape

    def read(self) -> np.ndarray:
        """The variable's value in PyTorch's axis order, float32."""
        value = np.asarray(self.variable, np.float32)
        return value.transpose(np.argsort(self.axes)) if self.axes else value

    def write(self, tensor: np.ndarray) -> None:
        """Sets the variable from a tensor in PyTorch's axis order."""
        self.variable.assign(tensor.transpose(self.axes) if self.axes else tensor)


def tensor_slots(model: keras.Model) -> dict[str, Slot]:
    """The tensors a model consists of: their PyTorch names and where each goes.

    Raises:
        UserError: a layer has weights of a kind that has no counterpart.
    """
    slots: dict[str, Slot] = {}
    for layer in model.layers:
        if not layer.weights:
            continue
        if isinstance(layer, layers.BatchNormalization):
            variables = (layer.gamma, layer.beta, layer.moving_mean, layer.moving_variance)
            names = ("weight", "bias", "running_mean", "running_var")
            slots |= {f"{layer.name}.{name}": Slot(each) for name, each in zip(names, variables, strict=True)}
        elif isinstance(layer, layers.Conv2D | layers.Conv2DTranspose | layers.DepthwiseConv2D):
            axes = _DEPTHWISE_AXES if isinstance(layer, layers.DepthwiseConv2D) else _CONVOLUTION_AXES
            slots[f"{layer.name}.weight"] = Slot(layer.kernel, axes)
            if layer.bias is not None:
                slots[f"{layer.name}.bias"] = Slot(layer.bias)
        else:
            raise UserError(f"layer {layer.name!r} ({type(layer).__name__}) has weights without a PyTorch counterpart")
    return slots


def release_names(tensors: Mapping[str, np.ndarray], where: str) -> dict[str, np.ndarray]:
    """Renames mmpose's tensors, and those of older MobileNetV2 files, to the official release's and torchvision's.

    mmpose 0.x says `keypoint_head.`, 1.x `head.` for the head, both `backbone.` for the rest. Its ResNets have the
    release's names, its MobileNetV2 names of its own, its Hourglass a head of several stages, of which one is there.

    Raises:
        UserError: two tensors would have the same name; `where` is what the message calls the source.
    """
    flat = any(re.match(r"features\.\d+\.conv\.4\.running_mean$", name) for name in tensors)
    staged = any(re.match(r"(backbone\.)?layer\d+\.\d+\.conv\.\d+\.conv\.weight$", name) for name in tensors)
    renamed = {}
    for name, value in tensors.items():
        new = re.sub(r"^(backbone|keypoint_head|head)\.(multi_final_layers\.0\.)?", _head_name, name)
        new = _nested_mobilenet_name(new) if flat else _staged_mobilenet_name(new) if staged else new
        if new in renamed:
            raise UserError(f"{where}: two of its tensors are {new}, so it holds more than one network")
        renamed[new] = value
    return renamed


def _head_name(match: re.Match) -> str:
    """The last convolution of mmpose's heads of several stages, where there is one stage."""
    return "final_layer." if match[2] else ""


def _nested_mobilenet_name(name: str) -> str:
    """Older files number a block's layers in a row (0, 1, 3, 4, 6, 7: activations count); newer ones nest them."""
    match = re.match(r"(features\.(\d+)\.conv)\.(\d+)\.(\w+)$", name)
    if not match:
        return name
    prefix, block, place, kind = match.group(1), int(match.group(2)), int(match.group(3)), match.group(4)
    units = 1 if block == 1 else 2  # Of convolution, normalisation and activation; the first block does not expand.
    unit, part = divmod(place, 3)
    new = f"{unit}.{part}" if unit < units else f"{units + part}"
    return f"{prefix}.{new}.{kind}"


def _staged_mobilenet_name(name: str) -> str:
    """In mmpose, blocks of MobileNetV2 are numbered by stage, and the parts of a unit are called `conv` and `bn`."""
    counts = [count for _, _, count, _ in BLOCKS]
    if match := re.match(r"(conv1|conv2)\.(conv|bn)\.(\w+)$", name):
        index = 0 if match[1] == "conv1" else sum(counts) + 1
        return f"features.{index}.{int(match[2] == 'bn')}.{match[3]}"
    match = re.match(r"layer(\d+)\.(\d+)\.conv\.(\d+)\.(conv|bn)\.(\w+)$", name)
    if not match or not 1 <= int(match[1]) <= len(counts) or int(match[2]) >= counts[int(match[1]) - 1]:
        return name
    stage, block, unit, part = int(match[1]), int(match[2]), int(match[3]), int(match[4] == "bn")
    last = 1 if stage == 1 else 2  # The first stage does not expand.
    place = f"{unit}.{part}" if unit < last else f"{unit + part}"
    return f"features.{1 + sum(counts[: stage - 1]) + block}.conv.{place}.{match[5]}"


def set_tensors(
    model: keras.Model,
    tensors: Mapping[str, np.ndarray],
    where: str,
    wanted: Callable[[str], bool] = lambda name: True,
) -> None:
    """Sets variables from tensors: every tensor is used once and every variable set once, or nothing is done.

    Args:
        model: has layers named as tensors are.
        tensors: name → float32 array in PyTorch's axis order.
        where: what to call the source in errors.
        wanted: which of the model's tensors are to be set, by name.

    Raises:
        UserError: listing the tensors that are missing, left over, or of another shape.
    """
    slots = {name: slot for name, slot in tensor_slots(model).items() if wanted(name)}
    faults = []
    if missing := [name for name in slots if name not in tensors]:
        faults.append(f"missing: {listed(missing)}")
    if left_over := [name for name in tensors if name not in slots]:
        faults.append(f"left over: {listed(left_over)}")
    for name, slot in slots.items():
        if name in tensors and tensors[name].shape != slot.torch_shape:
            faults.append(f"{name} is {_shape(tensors[name].shape)}, not {_shape(slot.torch_shape)}")
    if faults:
        more = f"; and {len(faults) - _LISTED} more faults" if len(faults) > _LISTED else ""
        raise UserError(f"{where}: its tensors do not fit {model.name}; {'; '.join(faults[:_LISTED])}{more}")
    for name, slot in slots.items():
        slot.write(tensors[name])


def model_tensors(model: keras.Model) -> dict[str, np.ndarray]:
    """A model's variables under their PyTorch names, float32, in PyTorch's axis order.

    Raises:
        UserError: a layer has weights of a kind that has no counterpart.
    """
    return {name: slot.read() for name, slot in tensor_slots(model).items()}


def listed(names: Iterable[str]) -> str:
    """Names with commas, the first twenty of them, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + rest


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a scalar"
