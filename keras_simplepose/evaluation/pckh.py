"""PCKh, the measure of MPII: the share of joints found within half a head of the truth."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.fields import entry_id
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

HEAD_SIZE_FACTOR = 0.6  # MPII's evaluation code: head size = 0.6 · diagonal of the head box.
LEFT_OUT_OF_MEAN = ("pelvis", "thorax")  # By MPII's evaluation code.
THRESHOLD, FINE_THRESHOLD = 0.5, 0.1  # In head sizes.


def head_sizes(head_boxes: np.ndarray) -> np.ndarray:
    """Head sizes [N] in pixels from head boxes [N, 4] (x1, y1, x2, y2): 0.6 of the diagonal."""
    return HEAD_SIZE_FACTOR * np.linalg.norm(head_boxes[:, 2:] - head_boxes[:, :2], axis=1)


def pckh(
    predictions: np.ndarray,
    ground_truth: np.ndarray,
    visible: np.ndarray,
    head_boxes: np.ndarray,
    skeleton: Skeleton,
) -> dict[str, float]:
    """The share of labelled joints that are found within half a head size of the truth.

    The mean weights every joint type by its number of labelled joints and leaves out pelvis and thorax. MPII's own
    code prints as "Mean@0.1" what it finds at 0.11; PCKh@0.1 here is at 0.1.

    Args:
        predictions: [N, K, 2] (x, y) in pixels.
        ground_truth: [N, K, 2] likewise, in the same frame.
        visible: [N, K], > 0 where the joint is labelled; the others do not count.
        head_boxes: [N, 4] (x1, y1, x2, y2) in pixels.
        skeleton: of the keypoints.

    Returns:
        "PCKh" and "PCKh@0.1", the means, and PCKh of each keypoint by name, all in per cent. Keypoints that nobody
        has labelled are absent.

    Raises:
        UserError: no joint is labelled.
    """
    labelled = np.asarray(visible) > 0
    distance = np.linalg.norm(np.asarray(predictions) - ground_truth, axis=-1) / head_sizes(head_boxes)[:, None]
    counted = labelled & ~np.isin(skeleton.keypoints, LEFT_OUT_OF_MEAN)
    if not counted.any():
        raise UserError("PCKh: no joint is labelled")
    near = distance <= THRESHOLD
    metrics = {"PCKh": near[counted].mean(), "PCKh@0.1": (distance <= FINE_THRESHOLD)[counted].mean()}
    for index, name in enumerate(skeleton.keypoints):
        if labelled[:, index].any():
            metrics[name] = near[labelled[:, index], index].mean()
    return {name: 100 * float(value) for name, value in metrics.items()}


def read_head_boxes(source: str | Path, annotation_ids: Sequence[int]) -> np.ndarray:
    """Reads the head boxes of annotations.

    Args:
        source: COCO keypoint JSON with "head_box": [x1, y1, x2, y2] in pixels beside "bbox"; or a .mat file of MPII's
            evaluation (gt_valid.mat), whose "headboxes_src" [2, 2, N] are in the order of its JSON file, so that
            annotation ids are places in it, from 1.
        annotation_ids: whose.

    Returns:
        [N, 4] float64.

    Raises:
        UserError: the file cannot be read, or an annotation has no such box, or one of no size.
    """
    path = Path(source)
    read = _matlab_head_boxes if path.suffix == ".mat" else _annotated_head_boxes
    by_id = read(path)
    boxes = []
    for annotation_id in annotation_ids:
        try:
            box = np.asarray(by_id.get(annotation_id), np.float64)
            fits = box.shape == (4,) and np.isfinite(box).all() and (box[2:] > box[:2]).all()
        except (TypeError, ValueError):
            fits = False
        if not fits:
            raise UserError(
                f"{path}: annotation {annotation_id} lacks head_box [x1, y1, x2, y2], which PCKh is measured by"
            )
        boxes.append(box)
    return np.array(boxes).reshape(-1, 4)


def _annotated_head_boxes(path: Path) -> dict[int, Any]:
    tables = read_json(path)
    if isinstance(tables, list):
        raise UserError(f"{path}: MPII's annotations have no head boxes; give those of its evaluation, gt_valid.mat")
    entries = tables.get("annotations") if isinstance(tables, dict) else None
    if not isinstance(entries, list):
        raise UserError(f"{path}: has no list 'annotations', whose entries have a head_box")
    return {entry_id(entry, "annotation", path): entry.get("head_box") for entry in entries}


def _matlab_head_boxes(path: Path) -> dict[int, np.ndarray]:
    try:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    except ModuleNotFoundError as error:
        raise UserError(f"{path}: MATLAB files are read by SciPy: pip install 'keras_simplepose[mpii]'") from error
    try:
        corners = np.asarray(loadmat(path)["headboxes_src"], np.float64)  # (first and last corner, x and y, person)
    except KeyError as error:
        raise UserError(f"{path}: holds no {error}; MPII's gt_valid.mat does") from error
    except (OSError, ValueError, TypeError, NotImplementedError, MatReadError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    if corners.ndim != 3 or corners.shape[:2] != (2, 2):
        raise UserError(f"{path}: headboxes_src is {corners.shape}; it must be [2, 2, persons]")
    boxes = corners.reshape(4, -1).T
    return dict(enumerate(boxes, start=1))
