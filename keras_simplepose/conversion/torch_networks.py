"""The same networks in PyTorch, to compare with: `convert --verify` and the tests. Nothing else uses them.

Submodules are named so that `state_dict()` has the official release's names.
"""

from collections import OrderedDict
from typing import Any

import torch
from torch import nn

from keras_simplepose.conversion.architecture import STEM_CHANNELS, Architecture
from keras_simplepose.models.backbones import hourglass52, mobilenet
from keras_simplepose.models.backbones.resnet import BOTTLENECK_DEPTHS, EXPANSION, STAGES

_DECONV_PADDING = {4: (1, 0), 3: (1, 1), 2: (0, 0)}  # kernel → padding, output padding (paper's release)


class Bottleneck(nn.Module):
    """The residual block of ResNet-50 and deeper."""

    def __init__(self, inputs: int, planes: int, stride: int, style: str):
        """`style` "pytorch" strides in conv2, "caffe" in conv1."""
        super().__init__()
        first, middle = (1, stride) if style == "pytorch" else (stride, 1)
        outputs = planes * EXPANSION
        self.conv1 = nn.Conv2d(inputs, planes, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, middle, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, 4 planes, H / stride, W / stride]."""
        y = torch.relu(self.bn1(self.conv1(x)))
        y = torch.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class BasicBlock(nn.Module):
    """The residual block of ResNet-18 and 34."""

    def __init__(self, inputs: int, planes: int, stride: int):
        """Two 3×3 convolutions, the first with the stride."""
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inputs != planes:
            shortcut = nn.Conv2d(inputs, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, planes, H / stride, W / stride]."""
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + (x if self.downsample is None else self.downsample(x)))


def _resnet_layers(depth: int, style: str, alpha: float) -> "OrderedDict[str, nn.Module]":
    """The layers of a ResNet in order."""
    width = round(STEM_CHANNELS * alpha)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(3, width, 7, 2, 3, bias=False)
    layers["bn1"] = nn.BatchNorm2d(width)
    layers["relu"] = nn.ReLU()
    layers["maxpool"] = nn.MaxPool2d(3, 2, 1)
    channels = width
    for stage, count in enumerate(STAGES[depth]):
        planes = width << stage
        blocks: list[nn.Module] = []
        for index in range(count):
            stride = 2 if stage and not index else 1
            if depth in BOTTLENECK_DEPTHS:
                blocks.append(Bottleneck(channels, planes, stride, style))
                channels = planes * EXPANSION
            else:
                blocks.append(BasicBlock(channels, planes, stride))
                channels = planes
        layers[f"layer{stage + 1}"] = nn.Sequential(*blocks)
    return layers


class InvertedResidual(nn.Module):
    """The block of MobileNetV2, with torchvision's nesting."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int):
        """Expands by 1×1 unless `expansion` is 1, filters depthwise, projects."""
        super().__init__()
        hidden = inputs * expansion
        parts = [] if expansion == 1 else [_activated(inputs, hidden, 1)]
        parts += [_activated(hidden, hidden, 3, stride, hidden), nn.Conv2d(hidden, outputs, 1, bias=False)]
        self.conv = nn.Sequential(*parts, nn.BatchNorm2d(outputs))
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to [B, outputs, H / stride, W / stride]."""
        return x + self.conv(x) if self.adds else self.conv(x)


def _activated(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU6())


def _mobilenet_layers(alpha: float) -> "OrderedDict[str, nn.Module]":
    """The layers of MobileNetV2's features in order."""
    channels = mobilenet.scaled_channels(mobilenet.STEM_CHANNELS, alpha)
    features: list[nn.Module] = [_activated(3, channels, 3, 2)]
    for expansion, base, count, stride in mobilenet.BLOCKS:
        outputs = mobilenet.scaled_channels(base, alpha)
        for index in range(count):
            features.append(InvertedResidual(channels, outputs, expansion, 1 if index else stride))
            channels = outputs
    features.append(_activated(channels, mobilenet.scaled_channels(mobilenet.LAST_CHANNELS, max(1.0, alpha)), 1))
    return OrderedDict(features=nn.Sequential(*features))


def _unit(inputs: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=convolution, bn=nn.BatchNorm2d(outputs), activate=nn.ReLU()))


def _blocks(inputs: int, channels: list[int], stride: int = 1) -> nn.Sequential:
    pairs = zip([inputs, *channels], channels, strict=False)
    return nn.Sequential(*(BasicBlock(a, b, 1 if index else stride) for index, (a, b) in enumerate(pairs)))


class HourglassModule(nn.Module):
    """One level of mmpose's hourglass and all below it."""

    def __init__(self, level: int = 0):
        """Level 0 has the resolution of the heatmaps."""
        super().__init__()
        here, below = hourglass52.CHANNELS[level : level + 2]
        count, next_count = hourglass52.BLOCKS[level : level + 2]
        self.up1 = _blocks(here, [here] * count)
        self.low1 = _blocks(here, [below] * count, stride=2)
        deepest = level + 2 == len(hourglass52.CHANNELS)
        self.low2 = _blocks(below, [below] * next_count) if deepest else HourglassModule(level + 1)
        self.low3 = _blocks(below, [below] * (count - 1) + [here])
        self.up2 = nn.Upsample(scale_factor=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] to the same."""
        return self.up1(x) + self.up2(self.low3(self.low2(self.low1(x))))


def _hourglass_layers() -> "OrderedDict[str, nn.Module]":
    """The layers of Hourglass-52 in order."""
    width, stem = hourglass52.CHANNELS[0], hourglass52.STEM_CHANNELS
    return OrderedDict(
        stem=nn.Sequential(_unit(3, stem, 7, 2), _blocks(stem, [width], stride=2)),
        hourglass_modules=nn.Sequential(HourglassModule()),
        out_convs=nn.Sequential(_unit(width, width, 3, 1)),
    )


def build_twin(architecture: Architecture) -> nn.Sequential:
    """The network in PyTorch: normalised pixels [B, 3, H, W] to heatmaps [B, K, h, w], or features without a head."""
    if architecture.backbone == "hourglass52":
        layers, channels = _hourglass_layers(), hourglass52.CHANNELS[0]
    elif architecture.depth:
        layers = _resnet_layers(architecture.depth, architecture.style, architecture.alpha)
        channels = list(layers["layer4"].modules())[-1].num_features
    else:
        layers = _mobilenet_layers(architecture.alpha)
        channels = layers["features"][-1][0].out_channels
    if architecture.keypoints:
        head: list[Any] = []
        for filters, kernel in zip(architecture.deconv_filters, architecture.deconv_kernels, strict=True):
            padding, output_padding = _DECONV_PADDING[kernel]
            deconv = nn.ConvTranspose2d(channels, filters, kernel, 2, padding, output_padding, bias=False)
            head += [deconv, nn.BatchNorm2d(filters), nn.ReLU()]
            channels = filters
        layers["deconv_layers"] = nn.Sequential(*head)
        layers["final_layer"] = nn.Conv2d(channels, architecture.keypoints, 1)
    return nn.Sequential(layers)
