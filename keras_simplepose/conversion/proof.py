"""The proof of a conversion: the Keras network beside its PyTorch twin, on the same crops."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from keras_simplepose.conversion.converter import Conversion
from keras_simplepose.conversion.torch_files import import_torch
from keras_simplepose.core import codecs, geometry
from keras_simplepose.core import warp as sampler
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.media.images import read_image
from keras_simplepose.media.source import list_pictures
from keras_simplepose.models.backbones.registry import Normalization
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.utils.errors import UserError

HEATMAP_LIMIT = 1e-4  # Absolute, in float32: what two implementations of one network differ by, with room.
POINT_LIMIT = 0.01  # Crop pixels.
RANDOM_CROPS = 8
MAXIMUM_IMAGES = 32
_BATCH = 4


@dataclass(frozen=True)
class Comparison:
    """Two networks on one set of crops.

    Attributes:
        crops: "random", or what the images were.
        count: of crops.
        heatmap_difference: largest absolute difference.
        heatmap_maximum: largest absolute value of PyTorch's heatmaps, to judge the difference by.
        point_difference: largest distance of decoded points along an axis, in crop pixels, ties left out.
        ties: points whose place hangs on values that differ by less than twice the heatmaps do.
        points: all points.
    """

    crops: str
    count: int
    heatmap_difference: float
    heatmap_maximum: float
    point_difference: float
    ties: int
    points: int

    @property
    def agrees(self) -> bool:
        """Whether both differences are within the limits; a value that is not finite is not."""
        return self.heatmap_difference <= HEATMAP_LIMIT and self.point_difference <= POINT_LIMIT


def random_crops(input_size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Crops [8, H, W, 3] uint8: half of them white noise, half patches of 16 pixels that share a colour."""
    generator = np.random.default_rng(seed)
    fine = generator.integers(0, 256, (RANDOM_CROPS // 2, *input_size, 3), np.uint8)
    coarse = fine[:, ::16, ::16].repeat(16, axis=1).repeat(16, axis=2)
    return np.concatenate([fine, coarse])


def image_crops(path: str | Path, input_size: tuple[int, int]) -> np.ndarray:
    """One crop for each image, the whole image being the box.

    Args:
        path: an image, or a folder whose first 32 images (by name) are read.
        input_size: (H, W).

    Returns:
        [N, H, W, 3] float32, RGB of 0 to 255.

    Raises:
        UserError: there is no image there, or one cannot be read.
    """
    path = Path(path)
    names = list_pictures(path) if path.is_dir() else [path]
    if not names:
        raise UserError(f"{path}: no image there")
    crops = []
    for name in names[:MAXIMUM_IMAGES]:
        image = read_image(name)
        box = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        center, width = geometry.box_to_crop(box, input_size)
        matrix = geometry.crop_matrix(center, width, input_size)
        crops.append(np.asarray(sampler.warp_rounded(image[None], matrix, input_size))[0])
    return np.stack(crops)


def compare(conversion: Conversion, crops: Mapping[str, np.ndarray]) -> list[Comparison]:
    """Runs a converted model and the PyTorch network it came from.

    Args:
        conversion: the model, and the checkpoint's tensors, which PyTorch's network takes as they are.
        crops: name → [N, H, W, 3], RGB of 0 to 255. Normalised for PyTorch here, not by the model's layer.

    Raises:
        UserError: PyTorch is not installed.
    """
    torch = import_torch()
    from keras_simplepose.conversion.torch_networks import build_twin

    spec = pose_spec(conversion.model)
    twin = build_twin(conversion.architecture).eval()
    state = {name: torch.from_numpy(np.array(value)) for name, value in conversion.tensors.items()}
    counters = {name: value for name, value in twin.state_dict().items() if name.endswith("num_batches_tracked")}
    twin.load_state_dict(state | counters)
    comparisons = []
    for name, each in crops.items():
        ours, theirs = [], []
        for first in range(0, len(each), _BATCH):
            batch = each[first : first + _BATCH]
            ours.append(np.asarray(conversion.model(batch, training=False)))
            with torch.no_grad():
                heatmaps = twin(torch.from_numpy(_normalised(batch, conversion.normalization)))
            theirs.append(heatmaps.numpy().transpose(0, 2, 3, 1))
        comparisons.append(compare_heatmaps(np.concatenate(ours), np.concatenate(theirs), spec, name))
    return comparisons


def _normalised(crops: np.ndarray, normalization: Normalization) -> np.ndarray:
    """Crops as PyTorch code prepares them: [N, 3, H, W], worked out in float64."""
    pixels = crops.astype(np.float64)
    if normalization.channel_order == "bgr":
        pixels = pixels[..., ::-1]
    pixels = (pixels - np.array(normalization.mean)) / np.array(normalization.std)
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), np.float32)


def compare_heatmaps(ours: np.ndarray, theirs: np.ndarray, spec: PoseSpec, name: str) -> Comparison:
    """Compares heatmaps [N, h, w, K] and the points decoded from them.

    A point is a tie where what the codec decides by differs by no more than twice what the
    networks do: either answer is then right, and a jump proves nothing.
    """
    if ours.shape != theirs.shape:
        raise UserError(f"the converted network's heatmaps have shape {ours.shape}, PyTorch's {theirs.shape}")
    difference = float(np.max(np.abs(ours - theirs)))
    distance = np.abs(_decode(ours, spec) - _decode(theirs, spec)).max(axis=-1)
    ties = codecs.decision_margins(theirs, spec) <= 2 * difference
    decided = distance[~ties]
    return Comparison(
        crops=name,
        count=len(ours),
        heatmap_difference=difference,
        heatmap_maximum=float(np.max(np.abs(theirs))),
        point_difference=float(decided.max()) if decided.size else float("nan"),
        ties=int(ties.sum()),
        points=ties.size,
    )


def _decode(heatmaps: np.ndarray, spec: PoseSpec) -> np.ndarray:
    points, _ = codecs.decode(keras.ops.convert_to_tensor(heatmaps), spec)
    return np.asarray(points)


def table(comparisons: list[Comparison]) -> str:
    """The comparisons as lines of text, and the limits below them."""
    lines = [
        f"{'crops':<20} {'count':>5} {'heatmaps differ':>16} {'largest value':>14} {'points differ':>14} {'ties':>12}"
    ]
    for row in comparisons:
        ties = f"{row.ties} of {row.points}"
        lines.append(
            f"{row.crops:<20} {row.count:>5} {row.heatmap_difference:>16.2e} {row.heatmap_maximum:>14.3g}"
            f" {row.point_difference:>11.4f} px {ties:>12}"
        )
    lines.append(f"{'limit':<20} {'':>5} {HEATMAP_LIMIT:>16.2e} {'':>14} {POINT_LIMIT:>11.4f} px")
    return "\n".join(lines)
