"""Object keypoint similarity, the suppression of duplicates by it, and the score of a pose."""

import numpy as np

from keras_simplepose.core.arrays import Array, namespace


def joint_similarities(
    keypoints_a: np.ndarray, areas_a: np.ndarray, keypoints_b: np.ndarray, areas_b: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """How near each joint of every pose of one set is to that of every pose of another: exp(−d² / (2 area (2σ)²)).

    Args:
        keypoints_a: [N, K, 2] (x, y) in pixels.
        areas_a: [N] in square pixels; a pair's scale is the mean of its two areas.
        keypoints_b: [M, K, 2].
        areas_b: [M].
        sigmas: [K] OKS constants.

    Returns:
        [N, M, K] float64 in [0, 1].
    """
    squared = np.square(keypoints_a[:, None] - keypoints_b[None]).sum(-1, dtype=np.float64)
    area = (areas_a[:, None] + areas_b[None]) / 2 + np.spacing(1.0)
    return np.exp(-squared / (np.square(2 * np.asarray(sigmas)) * area[..., None] * 2))


def distances_at(similarities: np.ndarray, area: float | np.ndarray, sigmas: np.ndarray) -> np.ndarray:
    """How far from its true place a joint is at a similarity, the inverse of `joint_similarities`.

    Args:
        similarities: in (0, 1].
        area: in square pixels.
        sigmas: OKS constants, of a shape that goes with the others'.

    Returns:
        distances in pixels, float64.
    """
    return np.sqrt(-2 * np.log(similarities) * area) * 2 * np.asarray(sigmas, np.float64)


def oks_matrix(
    keypoints_a: np.ndarray, areas_a: np.ndarray, keypoints_b: np.ndarray, areas_b: np.ndarray, sigmas: np.ndarray
) -> np.ndarray:
    """OKS between every pose of one set and every pose of another, over all K keypoints (as the release's NMS).

    Arguments as `joint_similarities`.

    Returns:
        [N, M] float64 in [0, 1].
    """
    return joint_similarities(keypoints_a, areas_a, keypoints_b, areas_b, sigmas).mean(-1)


def nms(
    keypoints: np.ndarray, areas: np.ndarray, scores: np.ndarray, sigmas: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy OKS suppression: from the highest score down, drops every pose with OKS > threshold to a kept one.

    Of poses that score the same the later comes first, as in the release.

    Args:
        keypoints: [N, K, 2] (x, y) in pixels, the poses of one image.
        areas: [N] in square pixels.
        scores: [N].
        sigmas: [K] OKS constants.
        threshold: 0.9 in the release.

    Returns:
        indices of the kept poses, best first, and their scores.
    """
    order = _best_first(scores)
    similarity = oks_matrix(keypoints, areas, keypoints, areas, sigmas)
    kept: list[int] = []
    for index in order:
        if all(similarity[index, other] <= threshold for other in kept):
            kept.append(index)
    return np.array(kept, dtype=np.int64), scores[kept]


def soft_nms(
    keypoints: np.ndarray, areas: np.ndarray, scores: np.ndarray, sigmas: np.ndarray, threshold: float, keep: int
) -> tuple[np.ndarray, np.ndarray]:
    """Soft OKS suppression: each chosen pose multiplies the others' scores by exp(−OKS² / threshold).

    The lowered scores only choose; a kept pose keeps its own, as in the release's later code.
    Arguments as `nms`, and `keep`: how many poses are kept at most (20 in that code).

    Returns:
        indices of the kept poses in the order chosen, and their scores, which need not fall in that order.
    """
    similarity = oks_matrix(keypoints, areas, keypoints, areas, sigmas)
    lowered = np.array(scores, dtype=np.float64)
    left = _best_first(lowered)
    kept: list[int] = []
    while len(left) and len(kept) < keep:
        best, left = left[0], left[1:]
        kept.append(best)
        lowered[left] *= np.exp(-np.square(similarity[best, left]) / threshold)
        left = left[_best_first(lowered[left])]
    return np.array(kept, dtype=np.int64), scores[kept]


def _best_first(scores: np.ndarray) -> np.ndarray:
    """Indices from the highest score down; of equal ones the later first, as the release's reversed sort has them."""
    return np.argsort(scores, kind="stable")[::-1]


def pose_scores(box_scores: Array, maxima: Array, threshold: float) -> Array:
    """The score of each pose: box score × mean of its heatmap maxima that exceed the threshold, 0 if none does.

    Args:
        box_scores: [N] (1 for a ground-truth box).
        maxima: [N, K] heatmap maxima.
        threshold: 0.2 in the release.

    Returns:
        [N], NumPy or a tensor as the arguments are.
    """
    ops = namespace(box_scores, maxima)
    exceeding = ops.where(maxima > threshold, 1.0, 0.0)
    return box_scores * ops.sum(maxima * exceeding, axis=-1) / ops.maximum(ops.sum(exceeding, axis=-1), 1.0)
