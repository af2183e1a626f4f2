"""OKS sigmas as a set's own labels tell them: from persons that were labelled twice."""

import math
from collections.abc import Hashable, Sequence
from itertools import combinations

import numpy as np

COMMON = 3  # Keypoints that two annotations must share to be told to be of one person.
SAME_PERSON = 0.1  # Of the person's size: the median distance of two annotations of one person is below it.
FEWEST = 20  # Pairs of a keypoint below which nothing is estimated.


def repeated_sigmas(
    points: np.ndarray, areas: Sequence[float], images: Sequence[Hashable]
) -> tuple[np.ndarray, np.ndarray]:
    """Each keypoint's standard deviation in units of the person's size, from pairs of annotations of one person.

    COCO's sigma is the root of E[d²/s²], d being a label's distance from where the keypoint is and s² the person's
    area. The difference of two labels has twice that variance, and the median of its square is 2 ln 2 times one
    label's, were the errors normal; the median so that an exchanged limb does not count. Annotations with the same
    places are copies and tell nothing.

    Args:
        points: [P, K, 3] (x, y, visibility).
        areas: P areas in square pixels.
        images: P images' ids.

    Returns:
        sigmas [K], NaN where there are fewer than `FEWEST` pairs, and the numbers of pairs [K].
    """
    by_image: dict[Hashable, list[int]] = {}
    for place, image in enumerate(images):
        by_image.setdefault(image, []).append(place)
    squares: list[list[float]] = [[] for _ in range(points.shape[1])]
    for places in by_image.values():
        for one, other in combinations(places, 2):
            common = (points[one, :, 2] > 0) & (points[other, :, 2] > 0)
            scale = (areas[one] + areas[other]) / 2
            if common.sum() < COMMON or not scale > 0:
                continue
            square = ((points[one, :, :2] - points[other, :, :2]) ** 2).sum(-1) / scale
            if not square[common].any() or np.median(square[common]) > SAME_PERSON**2:
                continue
            for keypoint in np.flatnonzero(common):
                squares[keypoint].append(float(square[keypoint]))
    counts = np.array([len(each) for each in squares])
    sigmas = np.array(
        [math.sqrt(np.median(each) / (2 * math.log(2))) if len(each) >= FEWEST else math.nan for each in squares]
    )
    return sigmas, counts
