"""How alike two persons are, and who is who: IoU, OKS over joints seen in both, suppression, greedy matching."""

import numpy as np

from keras_simplepose.core.oks import joint_similarities


def box_iou(boxes_a: np.ndarray, boxes_b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of one set with every box of another.

    Args:
        boxes_a: [N, 4] (x, y, width, height) in pixels.
        boxes_b: [M, 4].

    Returns:
        [N, M] float64 in [0, 1]; 0 where neither has an area.
    """
    a, b = np.asarray(boxes_a, np.float64)[:, None], np.asarray(boxes_b, np.float64)[None]
    first, last = np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:])
    shared = np.clip(last - first, 0, None).prod(-1)
    union = a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def suppress_boxes(boxes: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Greedy suppression of boxes that stand best first.

    Args:
        boxes: [N, 4] (x, y, width, height) in pixels, best first.
        threshold: IoU with a better box above which one is dropped.

    Returns:
        indices of the kept boxes [M], and for every box the index of the kept one that stands for it [N].
    """
    overlap, keeper = box_iou(boxes, boxes), np.full(len(boxes), -1, np.int64)
    for index in range(len(boxes)):
        if keeper[index] < 0:
            keeper[(keeper < 0) & (overlap[index] > threshold)] = index
            keeper[index] = index  # Also a box without area, whose IoU with itself is 0.
    return np.flatnonzero(keeper == np.arange(len(boxes))), keeper


def joint_boxes(points: np.ndarray, valid: np.ndarray, margin: float) -> np.ndarray:
    """The boxes that persons' joints span, extended about their centres.

    Args:
        points: [N, K, 2] (x, y) in pixels.
        valid: [N, K] bool, the joints that count.
        margin: share of width and height that is added, half of it on either side.

    Returns:
        [N, 4] float64 (x, y, width, height); NaN for a person without a valid joint.
    """
    points, inside = np.asarray(points, np.float64), valid[..., None]
    first = np.where(inside, points, np.inf).min(1) if points.size else np.zeros((len(points), 2))
    last = np.where(inside, points, -np.inf).max(1) if points.size else np.zeros((len(points), 2))
    some = np.any(valid, axis=1, keepdims=True)
    first, last = np.where(some, first, np.nan), np.where(some, last, np.nan)
    size = last - first
    return np.concatenate([first - size * margin / 2, size * (1 + margin)], -1)


def pose_similarity(
    points_a: np.ndarray,
    valid_a: np.ndarray,
    points_b: np.ndarray,
    valid_b: np.ndarray,
    sigmas: np.ndarray,
    margin: float,
    common_joints: int,
) -> np.ndarray:
    """OKS between poses of which not every joint was found.

    The area is that of the joints' extended box, a pair's the mean of two, as in the release's suppression; COCO's area
    of the silhouette is not known here, and the box is what reimplementations take.

    Args:
        points_a: [N, K, 2] (x, y) in pixels; what is not valid may be anything.
        valid_a: [N, K] bool.
        points_b: [M, K, 2].
        valid_b: [M, K] bool.
        sigmas: [K] OKS constants.
        margin: by which the joints' box is extended.
        common_joints: least joints valid in both; with fewer the similarity is 0.

    Returns:
        [N, M] float64 in [0, 1]: the mean over the joints valid in both.
    """
    areas = [
        np.nan_to_num(joint_boxes(points, valid, margin)[:, 2:].prod(-1))
        for points, valid in ((points_a, valid_a), (points_b, valid_b))
    ]
    clean_a, clean_b = np.where(valid_a[..., None], points_a, 0.0), np.where(valid_b[..., None], points_b, 0.0)
    common = valid_a[:, None] & valid_b[None]
    alike = (joint_similarities(clean_a, areas[0], clean_b, areas[1], sigmas) * common).sum(-1)
    count = common.sum(-1)
    return np.where(count >= max(common_joints, 1), alike / np.maximum(count, 1), 0.0)


def greedy_matches(similarity: np.ndarray, minimum: float) -> list[tuple[int, int]]:
    """One-to-one pairs from the most alike down.

    Args:
        similarity: [N, M].
        minimum: pairs below it are not made.

    Returns:
        (row, column) pairs; no row and no column occurs twice. Equals are taken by row, then by column.
    """
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(similarity >= minimum)
    taken_rows, taken_columns = set(), set()
    for index in np.argsort(-similarity[rows, columns], kind="stable"):
        row, column = int(rows[index]), int(columns[index])
        if row not in taken_rows and column not in taken_columns:
            pairs.append((row, column))
            taken_rows.add(row)
            taken_columns.add(column)
    return pairs
