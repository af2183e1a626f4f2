"""Persons whose left and right are exchanged, told by the other persons of the set."""

import numpy as np

from keras_simplepose.core.skeletons import Skeleton

RIDGE = 0.1  # Of the weights; a crowd of a few dozen already outweighs it.
ROUNDS = 30
FEWEST = 20  # Persons below which there is no crowd to go by.


def mirrored_probability(points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """How probable it is that a person's left and right labels are exchanged, going by all the others.

    A logistic model of the distances x_left − x_right of all pairs, in units of the person: by themselves, and where
    the unpaired keypoints (a nose) are labelled, or the pair's own are visible, since faces are seen from the front.
    It learns to tell persons as annotated from the same persons with exchanged labels, so it needs no other data.

    Args:
        points: [P, K, 3] (x, y, visibility).
        skeleton: whose flip pairs are exchanged.

    Returns:
        [P] in [0, 1]; .5 for persons without a labelled pair, and for all where there are too few persons.
    """
    unknown = np.full(len(points), 0.5)
    if len(points) < FEWEST or not skeleton.flip_pairs:
        return unknown
    left, right = (np.array(side) for side in zip(*_left_first(skeleton), strict=True))
    labelled = points[..., 2] > 0
    low = np.where(labelled[..., None], points[..., :2], np.inf).min(1)
    high = np.where(labelled[..., None], points[..., :2], -np.inf).max(1)
    size = np.maximum(np.nan_to_num((high - low).max(1), posinf=1, neginf=1), 1)[:, None]
    both = labelled[:, left] & labelled[:, right]
    apart = np.clip(np.where(both, points[:, left, 0] - points[:, right, 0], 0) / size, -0.5, 0.5) * 4
    seen = (points[:, left, 2] > 1) & (points[:, right, 2] > 1)
    single = np.setdiff1d(np.arange(points.shape[1]), np.concatenate([left, right]))
    face = labelled[:, single].any(axis=1, keepdims=True)
    features = np.concatenate([apart, apart * seen, apart * face], axis=1)
    weights = np.zeros(features.shape[1])
    for _ in range(ROUNDS):  # Newton's; exchanging labels changes every sign, so one class tells all.
        wrong = 1 / (1 + np.exp(np.clip(features @ weights, -30, 30)))
        curvature = (features * (wrong * (1 - wrong))[:, None]).T @ features + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, features.T @ wrong - RIDGE * weights)
    result = 1 / (1 + np.exp(np.clip(features @ weights, -30, 30)))
    return np.where(both.any(1), result, unknown)


def _left_first(skeleton: Skeleton) -> list[tuple[int, int]]:
    """The flip pairs, each with its left keypoint first where names tell."""
    return [
        (second, first) if skeleton.keypoints[first].lower().startswith("r") else (first, second)
        for first, second in skeleton.flip_pairs
    ]
