"""The network.

Sources: [paper] is Simple Baselines (ECCV 2018) and its official release.
"""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.options import option

SIZE = {"lengths": (2,), "multiple_of": 32, "minimum": 32}  # 32: STRIDE of the backbones.
NEW_NETWORK = {"initial_model": False}
NEW_SIMPLE = NEW_NETWORK | {"architecture": "simple"}
WITH_BACKBONE = NEW_NETWORK | {"architecture": ("simple", "cpn")}
NEW_FRAME = (NEW_NETWORK, {"synthetic_images": True})  # Rendered people are prepared for it.


@dataclass(frozen=True)
class ModelConfig:
    """The network."""

    architecture: str = option(
        "simple",
        "network family: simple (Simple Baselines), hourglass (Stacked Hourglass) or cpn (Cascaded Pyramid Network)",
        only_with=NEW_NETWORK,
    )
    stacks: int = option(
        8,
        "number of stacks, each trained by heatmaps of its own [Newell et al., ECCV 2016]",
        minimum=1,
        maximum=8,
        only_with=NEW_NETWORK | {"architecture": "hourglass"},
    )
    backbone: str = option(
        "resnet50",
        "feature extractor, such as resnet50 (keras.applications) or resnet50_pytorch",
        only_with=WITH_BACKBONE,
    )
    backbone_weights: str = option(
        "imagenet",
        "imagenet, none, a name that presets lists, or a file of weights for the backbone: PyTorch's, Keras's, or an "
        ".npz of folded convolutions",
        only_with=WITH_BACKBONE,
    )
    alpha: float = option(
        1.0, "width multiplier of the MobileNets and of our own ResNets", above=0, only_with=WITH_BACKBONE
    )
    input_size: tuple[int, int] = option(
        (256, 192), "height,width of the crop in pixels [paper]", **SIZE, only_with=NEW_FRAME
    )
    deconv_filters: tuple[int, ...] = option(
        (256, 256, 256),
        "channels of each transposed convolution [paper]",
        minimum=1,
        lengths=range(6),
        only_with=NEW_SIMPLE,
    )
    deconv_kernels: tuple[int, ...] = option(
        (4, 4, 4),
        "kernel size of each transposed convolution [paper]",
        choices=(2, 3, 4),
        lengths=range(6),
        only_with=NEW_SIMPLE,
    )
    skeleton: str = option(
        "coco17",
        "coco17, mpii16, posetrack15, posetrack18, jhmdb15, crowdpose14, aic14, ochuman17, or a .toml or .json file",
        only_with=NEW_FRAME,
    )
    sigma: float = option(
        2.0,
        "Gaussian of the targets in heatmap pixels; 3 for 384-class inputs [paper]",
        above=0,
        only_with=NEW_NETWORK,
    )
    codec: str = option(
        "quarter_offset",
        "how heatmaps are drawn and read: quarter_offset [paper], dark [Zhang et al., CVPR 2020], udp [Huang et al., "
        "CVPR 2020], or simcc: rows of probabilities instead [Li et al., ECCV 2022; architecture simple]",
        only_with=NEW_NETWORK,
    )
    skip_connections: bool = option(
        False,
        "add the backbone's finer features to each transposed convolution's output, as U-Net [paper: no]",
        only_with=NEW_SIMPLE,
    )
    visibility_head: Literal["none", "labelled", "visible"] = option(
        "none",
        "a head that learns for each keypoint the probability that it is labelled (v > 0) [mmpose's VisPredictHead] or "
        "visible (v = 2), by which its map, and so its score, is multiplied; none: none, or the initial model's",
    )
    frozen_layers: tuple[str, ...] = option(
        (),
        "layers whose names begin with one of these are not trained, batch norm too; * stands for anything, and a - in "
        "front excepts: *,-visibility trains the visibility head alone",
    )
    initial_layers: str = option(
        "",
        "a .keras model, or a name that presets lists, whose layers set those of the same names and shapes in the new "
        "network; the others begin anew",
        only_with=NEW_NETWORK,
    )
    initial_model: str = option(
        "", "a .keras model, or a name that presets lists, to go on from, with its own architecture, frame and weights"
    )
    new_skeleton: str = option(
        "",
        "change the initial model to this skeleton, a name or a file: heatmaps of joints that it has, by name, stay, "
        "the others begin anew",
        only_with={"initial_model": True},
    )
