"""Conversion between PyTorch's checkpoints and models.

Sources: [paper] is Simple Baselines (ECCV 2018) and its official release.
"""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.network import SIZE
from keras_simplepose.config.options import option

FROM_TORCH = {"to_torch": False}


@dataclass(frozen=True)
class ConvertConfig:
    """What to convert."""

    checkpoint: str = option(
        "",
        "PyTorch checkpoint (.pth.tar, .pth, .pt, .safetensors) or the name of one; with to_torch a .keras model",
        required=True,
    )
    output: str = option(
        "", "file to write: a .keras model; with to_torch a .pth.tar, .pth, .pt or .safetensors", required=True
    )
    source: Literal["auto", "official", "mmpose", "torchvision"] = option(
        "auto",
        "whose conventions hold; auto: told from the tensors' names. torchvision has a backbone only: its head is new",
        only_with=FROM_TORCH,
    )
    style: Literal["auto", "pytorch", "caffe"] = option(
        "auto",
        "where a ResNet strides, which no tensor tells; auto: pytorch, refused if the path speaks of caffe",
        only_with=FROM_TORCH,
    )
    input_size: tuple[int, ...] = option(
        (),
        "height,width of the crop; default: from the file's name, else the source's",
        **SIZE | {"lengths": (0, 2)},
        only_with=FROM_TORCH,
    )
    channel_order: Literal["auto", "rgb", "bgr"] = option(
        "auto", "of the pixels the weights saw; auto: the source's", only_with=FROM_TORCH
    )
    mean: tuple[float, ...] = option(
        (), "on 0 to 255, in the channel order; default: the source's", lengths=(0, 3), only_with=FROM_TORCH
    )
    std: tuple[float, ...] = option(
        (), "on 0 to 255, in the channel order; default: the source's", lengths=(0, 3), above=0, only_with=FROM_TORCH
    )
    sigma: float = option(
        0.0,
        "of the training targets, in heatmap pixels; 0: 3 at 384-class inputs, else 2 [paper]",
        minimum=0,
        only_with=FROM_TORCH,
    )
    skeleton: str = option(
        "",
        "name or file; default: of the data set that the file names; of the official release's coco17 or mpii16",
        only_with=FROM_TORCH,
    )
    codec: str = option(
        "",
        "how its heatmaps are read, such as dark; default: as file and notes say, else quarter_offset",
        only_with=FROM_TORCH,
    )
    weights: Literal["auto", "ema"] = option(
        "auto", "ema: the averaged weights of a file that holds both; auto: the others", only_with=FROM_TORCH
    )
    verify: bool = option(False, "run both networks first; write nothing unless they agree", only_with=FROM_TORCH)
    verify_images: str = option(
        "", "image or folder of images to compare on, beside random crops", only_with={"verify": True}
    )
    to_torch: bool = option(False, "the other way: write a checkpoint in the official layout from a .keras model")
