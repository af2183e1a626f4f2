"""What network a set of tensors belongs to, told from their names and shapes."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from keras_simplepose.conversion.tensor_names import BETWEEN_STACKS, CLASSIFIER_PREFIXES, HEAD_PREFIXES, listed
from keras_simplepose.models.backbones.mobilenet import BLOCKS
from keras_simplepose.models.backbones.resnet import BOTTLENECK_DEPTHS, STAGES
from keras_simplepose.utils.errors import UserError

STEM_CHANNELS = 64  # Of a ResNet, at width multiplier 1.
_OTHER_ARCHITECTURES = (
    (r"hourglass_modules\.[1-9]|hgs?\.\d+\.", "a stacked Hourglass"),
    (r"cls_[xy]\.|mlp_head_[xy]\.", "a SimCC network (RTMPose or such)"),
    (r"(transition\d|stage\d)\.", "an HRNet"),
    (r"stem\.", "a ResNet with another stem (v1d, ResNeSt or such)"),
    (r"(patch_embed|blocks)\.|layers\.\d+\.attn\.", "a transformer"),
)
# A fully connected layer in a pose head; under `backbone.` or with no prefix it is an ImageNet classifier.
_REGRESSION_HEAD = r"(keypoint_head|head)\.fcs?\."


@dataclass(frozen=True)
class Architecture:
    """A pose network, or a backbone alone.

    Attributes:
        backbone: its name in `models.backbones.BACKBONES`.
        alpha: width multiplier.
        deconv_filters: channels of the transposed convolutions.
        deconv_kernels: their kernel sizes.
        keypoints: K; 0 for a backbone alone.
    """

    backbone: str
    alpha: float = 1.0
    deconv_filters: tuple[int, ...] = ()
    deconv_kernels: tuple[int, ...] = ()
    keypoints: int = 0

    @property
    def depth(self) -> int:
        """Of a ResNet; 0 for others."""
        match = re.match(r"resnet(\d+)_", self.backbone)
        return int(match.group(1)) if match else 0

    @property
    def style(self) -> str:
        """Of a ResNet: "pytorch" or "caffe"."""
        return self.backbone.rpartition("_")[2]


def detect_source(names: Mapping[str, object]) -> str:
    """Whose checkpoint it is: "official", "mmpose" or "torchvision"."""
    if any(name.startswith("backbone.") for name in names):
        return "mmpose"
    return "official" if any(name.startswith(HEAD_PREFIXES) for name in names) else "torchvision"


def check_head(names: Iterable[str], where: str) -> None:
    """Checks that no head regresses coordinates, which the renamed tensors would not show any more.

    Args:
        names: as the checkpoint has them.
        where: what to call the source in errors.

    Raises:
        UserError: one does.
    """
    if found := [name for name in names if re.match(_REGRESSION_HEAD, name)]:
        raise UserError(
            f"{where}: is DeepPose or another regression of coordinates (it has {found[0]}), which makes no heatmaps, "
            "not a Simple Baselines network"
        )


def infer_architecture(tensors: Mapping[str, np.ndarray], style: str, where: str) -> Architecture:
    """Tells the network from its tensors.

    Args:
        tensors: under the official release's names, without a classifier.
        style: of the ResNet, "pytorch" or "caffe", which tensors do not show.
        where: what to call the source in errors.

    Raises:
        UserError: it is another architecture, or a part of one is missing.
    """
    others = _OTHER_ARCHITECTURES[:1] if _is_hourglass52(tensors) else _OTHER_ARCHITECTURES
    for pattern, name in others:
        found = [tensor for tensor in tensors if re.match(pattern, tensor)]
        if found:
            raise UserError(f"{where}: is {name} (it has {found[0]}), not a Simple Baselines network")
    backbone, alpha = _backbone(tensors, style, where)
    kernels: list[int] = []
    filters: list[int] = []
    while (deconv := tensors.get(f"deconv_layers.{3 * len(kernels)}.weight")) is not None:
        if deconv.ndim != 4 or deconv.shape[2] != deconv.shape[3] or deconv.shape[2] not in (2, 3, 4):
            raise UserError(
                f"{where}: deconv_layers.{3 * len(kernels)}.weight has shape {deconv.shape}, not 2×2 to 4×4"
            )
        filters.append(deconv.shape[1])
        kernels.append(deconv.shape[2])
    keypoints = 0
    if any(name.startswith(HEAD_PREFIXES) for name in tensors):
        final = tensors.get("final_layer.weight")
        if final is None:
            raise UserError(f"{where}: tensor final_layer.weight is missing")
        keypoints = final.shape[0]
    return Architecture(backbone, alpha, tuple(filters), tuple(kernels), keypoints)


def _backbone(tensors: Mapping[str, np.ndarray], style: str, where: str) -> tuple[str, float]:
    """Name and width multiplier of the backbone."""
    if _is_hourglass52(tensors):
        return "hourglass52", 1.0
    if "features.0.0.weight" in tensors:
        count = sum(blocks for _, _, blocks, _ in BLOCKS)
        last = next((v for n, v in tensors.items() if re.match(rf"features\.{count}\.conv\.2\.weight", n)), None)
        if last is None:
            raise UserError(f"{where}: features.{count}.conv.2.weight is missing, so this is no whole MobileNetV2")
        return "mobilenetv2_pytorch", last.shape[0] / BLOCKS[-1][1]
    blocks: dict[int, set[int]] = {}
    for name in tensors:
        if match := re.match(r"layer(\d+)\.(\d+)\.", name):
            blocks.setdefault(int(match.group(1)), set()).add(int(match.group(2)))
    if not blocks:
        raise UserError(
            f"{where}: holds neither a ResNet nor a MobileNetV2 with known names, but {listed(tensors) or 'no tensor'}"
        )
    has_bottlenecks = any(re.match(r"layer\d+\.\d+\.conv3\.weight", name) for name in tensors)
    counts = tuple(len(blocks[stage]) for stage in sorted(blocks))
    depths = [d for d, wanted in STAGES.items() if counts == wanted and (d in BOTTLENECK_DEPTHS) == has_bottlenecks]
    if not depths:
        text = ", ".join(map(str, counts))
        kind = "bottleneck" if has_bottlenecks else "basic"
        raise UserError(f"{where}: its stages have {text} {kind} blocks; a ResNet of {_known(has_bottlenecks)} has not")
    if style == "caffe" and not has_bottlenecks:
        raise UserError(f"{where}: is a ResNet-{depths[0]}, which has no caffe style; leave style at auto")
    stem = tensors.get("conv1.weight")
    return f"resnet{depths[0]}_{style}", 1.0 if stem is None else stem.shape[0] / STEM_CHANNELS


def _is_hourglass52(names: Iterable[str]) -> bool:
    """Whether there is an hourglass of mmpose's, whose stem would pass for another's."""
    return any(name.startswith("hourglass_modules.0.") for name in names)


def _known(has_bottlenecks: bool) -> str:
    return " or ".join(str(depth) for depth in STAGES if (depth in BOTTLENECK_DEPTHS) == has_bottlenecks)


def drop_classifier(tensors: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The tensors without those that nothing here uses, and their names: a classifier, what joins stacks of one."""
    unused = (*CLASSIFIER_PREFIXES, BETWEEN_STACKS) if _is_hourglass52(tensors) else CLASSIFIER_PREFIXES
    dropped = [name for name in tensors if name.startswith(unused)]
    return {name: value for name, value in tensors.items() if name not in dropped}, dropped
