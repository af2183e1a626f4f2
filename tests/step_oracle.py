"""How far a decoded point is from moving, by differences: the slow version of the codecs' `decision_margins`."""

import numpy as np

CHANGE = 1e-7
REACH = 7  # Pixels from the maximum that a step at σ 2 hangs on.


def change_that_moves(point, heatmap, pixels):
    """The change of all values of a heatmap [h, w], at its worst, that moves a point so many crop pixels.

    Args:
        point: gives (x, y) in crop pixels of a heatmap.
        heatmap: its values; only those near its maximum are tried.
        pixels: to be moved by.
    """
    row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
    moved = np.zeros(2)
    for place in np.ndindex(heatmap.shape):
        if max(abs(place[0] - row), abs(place[1] - column)) <= REACH:
            nudge = np.zeros_like(heatmap)
            nudge[place] = CHANGE
            moved += np.abs(point(heatmap + nudge) - point(heatmap - nudge)) / (2 * CHANGE)
    return pixels / max(np.hypot(*moved), np.finfo(float).tiny)


def assert_margins_are_the_slow_ones(margins, maps, point, jump):
    """Never above, and near below where nothing is cut off at a border.

    Args:
        margins: [K] of one example.
        maps: [h, w, K] of it, noise from the third keypoint on.
        point: as `change_that_moves`.
        jump: in crop pixels.
    """
    near = 0
    for joint in range(2, maps.shape[-1]):
        heatmap = maps[..., joint].astype(np.float64)
        highest, second = np.sort(heatmap, axis=None)[:-3:-1]
        expected = min(change_that_moves(point, heatmap, jump), highest - second)
        assert margins[joint] <= 1.001 * expected
        near += margins[joint] > 0.9 * expected
    assert near > 0.4 * (maps.shape[-1] - 2)
