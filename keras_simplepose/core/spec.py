"""What a model file says about itself: all that prediction needs beside the weights."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from keras_simplepose.core.arrays import Array
from keras_simplepose.core.codecs.registry import CODECS
from keras_simplepose.core.codecs.simcc import BINS, row_length
from keras_simplepose.core.geometry import BOX_PADDING, crop_matrix
from keras_simplepose.core.skeletons import Skeleton, skeleton_from_dict
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up


@dataclass(frozen=True)
class PoseSpec:
    """The frame a pose network works in.

    Attributes:
        skeleton: the keypoints it finds.
        input_size: (H, W) of its crops.
        heatmap_size: (h, w) of its output.
        sigma: of the Gaussian targets, in heatmap pixels.
        codec: how heatmaps are read; a name in `core.codecs.CODECS`; "quarter_offset" is the paper's.
        box_padding: factor by which boxes are widened before cropping.

    Example:
        >>> from keras_simplepose import PoseSpec, load_skeleton
        >>> PoseSpec(load_skeleton("coco17"), input_size=(256, 192), heatmap_size=(64, 48), sigma=2.0).stride
        4.0
    """

    skeleton: Skeleton
    input_size: tuple[int, int]
    heatmap_size: tuple[int, int]
    sigma: float
    codec: str = "quarter_offset"
    box_padding: float = BOX_PADDING

    def __post_init__(self):
        """Checks that the sizes belong together.

        Raises:
            UserError: the heatmap's aspect ratio differs from the input's, the codec is unknown, or boxes would be
                widened to nothing.
        """
        if look_up("codec", self.codec, CODECS).distributions:
            if self.heatmap_size != (1, row_length(self.input_size)):
                raise UserError(
                    f"codec {self.codec} takes a row of {row_length(self.input_size)} values for each keypoint, not "
                    f"heatmaps of {self.heatmap_size}; of the architectures simple alone has the head for it"
                )
        elif self.input_size[0] * self.heatmap_size[1] != self.input_size[1] * self.heatmap_size[0]:
            raise UserError(f"heatmap size {self.heatmap_size} has not the aspect ratio of the input {self.input_size}")
        if not (math.isfinite(self.box_padding) and self.box_padding > 0):
            raise UserError(f"box padding is {self.box_padding}; it must be greater than 0")

    @property
    def stride(self) -> float:
        """Crop pixels per heatmap pixel, along y."""
        if self.distributions:
            return 1 / BINS
        return self.input_size[0] / self.heatmap_size[0]

    @property
    def unit_length(self) -> bool:
        """Whether the codec counts sizes between the first and the last pixel."""
        return CODECS[self.codec].unit_length

    @property
    def has_flip_shift(self) -> bool:
        """Whether mirrored heatmaps may be shifted, which those of unit length and rows need not."""
        return not (self.unit_length or self.distributions)

    @property
    def distributions(self) -> bool:
        """Whether the codec has rows of probabilities, not heatmaps."""
        return CODECS[self.codec].distributions

    @property
    def strides(self) -> tuple[float, float]:
        """Crop pixels per heatmap pixel along x and y."""
        if self.distributions:
            return 1 / BINS, 1 / BINS
        less = int(self.unit_length)
        y, x = (
            (size - less) / max(1, part - less) for size, part in zip(self.input_size, self.heatmap_size, strict=True)
        )
        return x, y

    def decoded_by(self, codec: str) -> "PoseSpec":
        """The specification with another codec, which reads maps that were drawn for this one.

        Args:
            codec: its name; "model" stands for the specification's own.

        Raises:
            UserError: it is unknown, or has another frame: sizes counted otherwise, or rows for maps.
        """
        if codec in ("model", self.codec):
            return self
        wanted, own = look_up("codec", codec, CODECS), CODECS[self.codec]
        if (wanted.unit_length, wanted.distributions) != (own.unit_length, own.distributions):
            raise UserError(f"decoding is {codec}, but the model's codec is {self.codec}, whose frame is another")
        return replace(self, codec=codec)

    def crop_matrix(self, center: Array, crop_width: Array, degrees: Array = None, flip: Array = None) -> Array:
        """The affine [..., 2, 3] from image to crop pixels; arguments as `geometry.crop_matrix`."""
        return crop_matrix(center, crop_width, self.input_size, degrees, flip, self.unit_length)

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON-serialisable values."""
        values = asdict(self) | {"skeleton": self.skeleton.to_dict()}
        return values | {"input_size": list(self.input_size), "heatmap_size": list(self.heatmap_size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PoseSpec":
        """Reads what `to_dict` wrote.

        Raises:
            UserError: a value is missing or wrong.
        """
        try:
            return cls(
                skeleton=skeleton_from_dict(values["skeleton"]),
                input_size=_size(values["input_size"]),
                heatmap_size=_size(values["heatmap_size"]),
                sigma=float(values["sigma"]),
                codec=str(values["codec"]),
                box_padding=float(values["box_padding"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"the model's pose specification is damaged: {error!r}") from error


def _size(values: Any) -> tuple[int, int]:
    """(height, width) of a list of two numbers."""
    height, width = values
    return int(height), int(width)
