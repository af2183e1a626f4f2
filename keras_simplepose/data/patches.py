"""Person patches: of a photograph, the part that any augmented crop of one person can reach.

A patch is all that training needs of an image, so it is cut once, by `prepare` or on the fly, and cropped anew in each
epoch. Small persons keep their pixels as they are; large ones are resampled once, to the resolution of the network's
input, bilinearly and without prefilter: the same sampling with which the release cuts its crops out of the image.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core.geometry import BOX_PADDING, box_to_crop, points_to_crop, transform_points
from keras_simplepose.data.persons import Person
from keras_simplepose.utils.errors import UserError

_BLOCK = 16  # A JPEG with colour at half resolution is coded in blocks of 16×16 pixels.
_TAPS = 2  # Pixels a window needs beyond its extent: bilinear neighbours on either side of whole-pixel borders.


@dataclass(frozen=True)
class PatchSettings:
    """How much of an image a patch holds, and at which resolution.

    Attributes:
        input_size: (H, W) of the network's input.
        padding: factor by which boxes are widened before cropping.
        reach: how far from its centre an augmented crop goes, as a multiple of the crop's width.
        size: side P of the square patch in pixels.
        upper_body: keypoint indices of the upper body, if crops may be cut to the upper or lower half; else ().
        half_body_minimum: least labelled keypoints of a person whose crop may be cut so.
    """

    input_size: tuple[int, int]
    padding: float
    reach: float
    size: int
    upper_body: tuple[int, ...] = ()
    half_body_minimum: int = 0

    @classmethod
    def for_training(
        cls, input_size: Sequence[int], augmentation: AugmentationConfig, upper_body: Sequence[int] = ()
    ) -> "PatchSettings":
        """Settings that hold every crop the augmentation may ask for.

        The largest crop is 1 + scale times the plain one, turned by any angle and shifted by `shift` of its enlarged
        size along each axis. At 256×192 with scale 0.3 that is a circle of 208 pixels, so P = 416.

        Args:
            input_size: (H, W) of the network's input.
            augmentation: what training will do.
            upper_body: `Skeleton.upper_body`; without it there are no half-body crops.
        """
        height, width = input_size
        rotates = augmentation.rotation > 0 and augmentation.rotation_probability > 0
        extent = math.hypot(height, width) if rotates else max(height, width)
        shift = 2 * augmentation.shift if augmentation.shift_probability > 0 else 0.0
        reach = (1 + augmentation.scale) * (extent + shift * math.hypot(height, width)) / 2 / width
        half_body = augmentation.half_body_probability > 0
        return cls(
            (int(height), int(width)),
            BOX_PADDING,
            reach,
            _whole_blocks(2 * reach * width),
            tuple(upper_body) if half_body else (),
            augmentation.half_body_minimum if half_body else 0,
        )

    @classmethod
    def for_validation(cls, input_size: Sequence[int]) -> "PatchSettings":
        """Settings for plain crops: no scale, rotation or shift."""
        height, width = input_size
        reach = max(height, width) / 2 / width
        # With room for the taps, so that the crop's pixels are the patch's, not resampled a second time.
        return cls((int(height), int(width)), BOX_PADDING, reach, _whole_blocks(2 * reach * width + _TAPS))

    def covers(self, other: "PatchSettings") -> bool:
        """Whether patches of these settings serve where `other` is asked for."""
        half_body = not other.upper_body or (
            set(self.upper_body) == set(other.upper_body) and self.half_body_minimum <= other.half_body_minimum
        )
        same = self.input_size == other.input_size and self.padding == other.padding
        return same and half_body and self.reach >= other.reach - 1e-6

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-serialisable values."""
        return asdict(self) | {"input_size": list(self.input_size), "upper_body": list(self.upper_body)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PatchSettings":
        """Reads what `to_dict` wrote.

        Raises:
            UserError: a value is missing or wrong.
        """
        try:
            height, width = (int(size) for size in values["input_size"])
            return cls(
                (height, width),
                float(values["padding"]),
                float(values["reach"]),
                int(values["size"]),
                tuple(int(index) for index in values["upper_body"]),
                int(values["half_body_minimum"]),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise UserError(f"the patch settings are damaged: {error!r}") from error


@dataclass(frozen=True, eq=False)
class Patch:
    """A person's part of a photograph; points are in patch pixels, (0, 0) the middle of the first.

    Attributes:
        image: [h, w, 3] uint8 RGB, h and w ≤ P. What the P×P square holds beyond it, right and below, is black.
        matrix: [2, 3] float32, image pixels → patch pixels.
        keypoints: [K, 2] float32 (x, y).
        visible: [K] float32, as `Person.visible`.
        center: [2] float32 (x, y) of the plain crop.
        crop_width: of the plain crop, padding included.
    """

    image: np.ndarray
    matrix: np.ndarray
    keypoints: np.ndarray
    visible: np.ndarray
    center: np.ndarray
    crop_width: float


def half_body_crops(
    keypoints: np.ndarray, visible: np.ndarray, settings: PatchSettings
) -> list[tuple[np.ndarray, float]]:
    """The crops half-body augmentation may choose for a person: (centre [2], crop width) each, none to two."""
    labelled = visible > 0
    if not settings.upper_body or labelled.sum() < settings.half_body_minimum:
        return []
    upper = np.isin(np.arange(len(labelled)), settings.upper_body)
    crops = []
    for half in (upper, ~upper):
        selected = labelled & half
        if selected.any():
            center, crop_width = points_to_crop(keypoints, selected, settings.input_size)
            crops.append((center, float(crop_width)))
    return crops


def make_patch(image: np.ndarray, person: Person, settings: PatchSettings) -> Patch:
    """Cuts the patch of a person out of an image.

    At native resolution, pixel for pixel, if the crop is no larger than the network's input; else downsampled so that
    it has the input's size (up to 0.5 % less where P leaves no room for the pixels at its border, and less still where
    a half-body crop reaches further than P).

    Args:
        image: [H, W, 3] uint8 RGB.
        person: in pixels of that image.
        settings: of the patch.
    """
    center, crop_width = box_to_crop(np.asarray(person.box, np.float64), settings.input_size, settings.padding)
    crops = [(center, crop_width), *half_body_crops(person.keypoints, person.visible, settings)]
    first = np.min([middle - settings.reach * width for middle, width in crops], axis=0)
    last = np.max([middle + settings.reach * width for middle, width in crops], axis=0)
    scale = min(settings.input_size[1] / crop_width, (settings.size - _TAPS) / (last - first).max())
    if scale >= 1:
        pixels, matrix = _cut(image, first, last)
    else:
        pixels, matrix = _shrink(image, (first + last) / 2, scale, settings.size)
    return Patch(
        image=pixels,
        matrix=matrix.astype(np.float32),
        keypoints=transform_points(matrix, person.keypoints.astype(np.float64)).astype(np.float32),
        visible=person.visible,
        center=transform_points(matrix, center[None])[0].astype(np.float32),
        crop_width=float(crop_width * matrix[0, 0]),
    )


def _cut(image: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The image's own pixels from `first` to `last` (x, y), and the matrix to them."""
    limit = np.array([image.shape[1] - 1, image.shape[0] - 1])
    x1, y1 = np.clip(np.floor(first), 0, limit).astype(int)
    x2, y2 = np.clip(np.ceil(last), 0, limit).astype(int)
    return image[y1 : y2 + 1, x1 : x2 + 1], np.array([[1.0, 0.0, -x1], [0.0, 1.0, -y1]])


def _shrink(image: np.ndarray, middle: np.ndarray, scale: float, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The image resampled around `middle` (x, y), cut to where it has content, and the matrix to it."""
    offset = size / 2 - scale * middle
    extent = np.array([image.shape[1] - 1, image.shape[0] - 1])
    first = np.clip(np.floor(offset), 0, size - 1)
    last = np.clip(np.ceil(offset + scale * extent), first, size - 1)
    matrix = np.array([[scale, 0.0, offset[0] - first[0]], [0.0, scale, offset[1] - first[1]]])
    width, height = (last - first + 1).astype(int).tolist()
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR), matrix


def _whole_blocks(length: float) -> int:
    """The least multiple of the JPEG block that is no less than `length`, give or take rounding errors."""
    return math.ceil((length - 1e-6) / _BLOCK) * _BLOCK
