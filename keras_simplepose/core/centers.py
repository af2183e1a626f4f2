"""Persons as points: boxes ↔ maps of centres, offsets and sizes ("Objects as Points", Zhou et al. 2019).

Cell i of a map lies on input pixel i · stride. A person is the cell nearest its box's centre. The maps of a network
have five channels: the logit of a centre, the offset (x, y) from the cell to the centre in cells, and the logarithms of
width and height in cells. Two things are TTFNet's (Liu et al. 2020): Gaussians have the box's shape, and the cells
around a centre learn offset and size as well, which few training steps need. All functions work in graphs and in XLA.
"""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from keras import ops

from keras_simplepose.config.prediction import DETECTOR_THRESHOLD
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.utils.errors import UserError

CHANNELS = 5
EXTENT = 0.54  # Share of a box that its Gaussian's three deviations cover [TTFNet].
LEAST_GAUSSIAN = 0.3  # Cells of at least this learn a person's offset and size.
LEAST_SIDE = 8.0  # Input pixels: persons whose longer side is less are too small to learn, and ignored.
LARGEST_LOGARITHM = 8.0  # Of a side in cells, against overflow: no input has 3000.


@dataclass(frozen=True)
class DetectorSpec:
    """The frame a person detector works in.

    Attributes:
        input_size: (H, W) of its input, into which images are letterboxed.
        map_size: (h, w) of its output.
        threshold: least score of a person where the user states none; training sets it to one false box a photograph.
    """

    input_size: tuple[int, int]
    map_size: tuple[int, int]
    threshold: float = DETECTOR_THRESHOLD

    def __post_init__(self):
        """Checks that the sizes belong together.

        Raises:
            UserError: the output's aspect ratio differs from the input's, or the threshold is no score.
        """
        if not 0 <= self.threshold <= 1:
            raise UserError(f"threshold {self.threshold} is not within 0 and 1")
        if self.input_size[0] * self.map_size[1] != self.input_size[1] * self.map_size[0]:
            raise UserError(f"map size {self.map_size} has not the aspect ratio of the input {self.input_size}")

    @property
    def stride(self) -> float:
        """Input pixels per cell."""
        return self.input_size[0] / self.map_size[0]

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON-serialisable values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Any) -> "DetectorSpec":
        """Reads what `to_dict` wrote.

        Raises:
            UserError: a value is missing or wrong.
        """
        try:
            (height, width), (rows, columns) = values["input_size"], values["map_size"]
            threshold = float(values.get("threshold", DETECTOR_THRESHOLD))  # Earlier files have none.
            return cls((int(height), int(width)), (int(rows), int(columns)), threshold)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"the detector's specification is damaged: {error!r}") from error


class CenterTargets(NamedTuple):
    """What a detector is to learn of a batch.

    Attributes:
        heat: [B, h, w] float32, 1 at centres, Gaussians around them, else 0.
        counted: [B, h, w] float32, 0 where no person is to be denied, else 1; centres count everywhere.
        values: [B, h, w, 4] float32, offset and logarithms of the size, of the person whose Gaussian is the largest.
        weights: [B, h, w] float32, how much `values` count; they add up to 1 for every person.
        persons: [B] float32, the number of persons.
    """

    heat: Tensor
    counted: Tensor
    values: Tensor
    weights: Tensor
    persons: Tensor


def encode_centers(boxes: Tensor, persons: Tensor, ignored: Tensor, spec: DetectorSpec) -> CenterTargets:
    """The targets of boxes.

    Args:
        boxes: [B, M, 4] float32 (x, y, width, height) in input pixels.
        persons: [B, M] float32, 1 for a person, else 0. One whose centre lies outside the input is none.
        ignored: [B, M] float32, 1 for a region in which no person is to be denied, else 0.
        spec: of the network.
    """
    h, w = spec.map_size
    boxes = ops.cast(boxes, "float32") / spec.stride
    center, size = boxes[..., :2] + boxes[..., 2:] / 2, ops.maximum(boxes[..., 2:], 1e-3)
    cell = ops.floor(center + 0.5)  # Halves go to the next cell, on every backend.
    inside = ops.logical_and(cell >= 0, cell <= ops.convert_to_tensor([w - 1, h - 1], "float32"))
    persons = persons * ops.cast(ops.all(inside, axis=-1), "float32")
    column, row = ops.arange(w, dtype="float32"), ops.arange(h, dtype="float32")

    def gaussian(axis: int, places: Tensor) -> Tensor:
        deviation = (EXTENT * size[..., axis, None] + 1) / 6
        return ops.exp(-0.5 * ops.square((places - cell[..., axis, None]) / deviation))

    def within(axis: int, places: Tensor) -> Tensor:
        first = boxes[..., axis, None]
        return ops.cast(ops.logical_and(places >= first, places <= first + boxes[..., axis + 2, None]), "float32")

    gaussians = gaussian(1, row)[..., :, None] * gaussian(0, column)[..., None, :] * persons[..., None, None]
    covered = within(1, row)[..., :, None] * within(0, column)[..., None, :] * ignored[..., None, None]
    owner = ops.argmax(gaussians, axis=1)
    own = ops.cast(ops.arange(ops.shape(boxes)[1])[:, None, None] == ops.cast(owner, "int32")[:, None], "float32")
    shares = own * gaussians * ops.cast(gaussians >= LEAST_GAUSSIAN, "float32")
    total = ops.sum(shares, axis=(2, 3), keepdims=True)
    weights = ops.sum(shares / ops.where(total > 0, total, 1.0), axis=1)
    # Of each cell the owner's centre and size; a sum over persons, for gathers by batch are slow on accelerators.
    table = ops.concatenate([center, ops.log(size)], axis=-1)
    owned = ops.einsum("bmhw,bmc->bhwc", own, table)
    places = ops.stack([ops.broadcast_to(column[None], (h, w)), ops.broadcast_to(row[:, None], (h, w))], axis=-1)
    values = ops.concatenate([owned[..., :2] - places, owned[..., 2:]], axis=-1)
    return CenterTargets(
        ops.max(gaussians, axis=1), 1 - ops.max(covered, axis=1), values, weights, ops.sum(persons, axis=1)
    )


def decode_centers(maps: Tensor, spec: DetectorSpec, count: int) -> tuple[Tensor, Tensor]:
    """The boxes at the best peaks: cells that no cell of their 3×3 neighbourhood exceeds.

    Args:
        maps: [B, h, w, 5] float32, a network's output.
        spec: of the network.
        count: N, of boxes wanted; at most h · w.

    Returns:
        boxes [B, N, 4] float32 (x, y, width, height) in input pixels; scores [B, N] float32 in [0, 1], best first, 0
        beyond the last peak.
    """
    h, w = spec.map_size
    scores = ops.sigmoid(maps[..., :1])
    highest = ops.max_pool(scores, 3, 1, padding="same")
    peaks = ops.reshape(ops.where(scores >= highest, scores, 0.0), (-1, h * w))
    best, index = ops.top_k(peaks, min(count, h * w))
    values = ops.take_along_axis(ops.reshape(maps[..., 1:], (-1, h * w, CHANNELS - 1)), index[..., None], axis=1)
    cell = ops.cast(ops.stack([index % w, index // w], axis=-1), "float32")
    size = ops.exp(ops.minimum(values[..., 2:], LARGEST_LOGARITHM))
    corner = cell + values[..., :2] - size / 2
    return ops.concatenate([corner, size], axis=-1) * spec.stride, best
