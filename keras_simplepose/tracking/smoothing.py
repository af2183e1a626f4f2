"""Smoothing of joints over time, for the eye; figures are measured without it."""

import math
from dataclasses import dataclass, replace

import numpy as np

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.utils.errors import UserError

LONGEST_GAP = 1.0  # Seconds after which a joint that comes back begins anew.
SPEED_CUTOFF = 1.0  # Hz, of the low pass over the speed; the value of the filter's authors.


@dataclass(eq=False)
class _State:
    points: np.ndarray
    speeds: np.ndarray
    times: np.ndarray  # [K] seconds of the last sight, −inf for none.


class OneEuroSmoother:
    """The One-Euro filter (Casiez, Roussel and Vogel 2012) over every joint of every track.

    A low pass whose cut-off rises with speed: still joints do not tremble, fast ones do not lag. Speed is measured in
    the person's own size a second, so that one setting serves near and far persons and every resolution.
    """

    def __init__(self, rate: float, minimum_cutoff: float = 1.0, beta: float = 2.0):
        """Prepares a filter.

        Args:
            rate: frames per second.
            minimum_cutoff: Hz at rest; less smooths more.
            beta: Hz the cut-off rises by at a speed of one person's size a second; more lags less.

        Raises:
            UserError: a value is out of range.
        """
        for name, value in (("rate", rate), ("minimum_cutoff", minimum_cutoff)):
            if not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} of smoothing is {value}; it must be greater than 0")
        if not beta >= 0:
            raise UserError(f"beta of smoothing is {beta}; it must be at least 0")
        self._rate, self._minimum, self._beta = rate, minimum_cutoff, beta
        self._states: dict[int, _State] = {}
        self._frame = -1

    def __call__(self, tracked: TrackedPoses) -> TrackedPoses:
        """The poses of the next frame with their reliable joints smoothed; the others are as they were."""
        self._frame += 1
        now = self._frame / self._rate
        keypoints = tracked.poses.keypoints.copy()
        for row, person in enumerate(tracked.ids.tolist()):
            seen = tracked.poses.reliable[row] & np.isfinite(keypoints[row]).all(-1)
            size = max(float(np.sqrt(tracked.poses.boxes[row, 2:].prod())), 1.0)
            keypoints[row, seen, :2] = self._smooth(person, keypoints[row, :, :2].astype(np.float64), seen, size, now)
        last = {person: float(state.times.max()) for person, state in self._states.items()}
        self._states = {person: self._states[person] for person, time in last.items() if now - time <= LONGEST_GAP}
        return replace(tracked, poses=replace(tracked.poses, keypoints=keypoints))

    def _smooth(self, person: int, points: np.ndarray, seen: np.ndarray, size: float, now: float) -> np.ndarray:
        """The smoothed points [S, 2] of the joints seen."""
        if person not in self._states:
            self._states[person] = _State(points.copy(), np.zeros_like(points), np.full(len(points), -np.inf))
        state = self._states[person]
        passed = now - state.times
        fresh, known = seen & (passed > LONGEST_GAP), seen & (passed <= LONGEST_GAP)
        state.points[fresh], state.speeds[fresh] = points[fresh], 0
        if known.any():
            seconds = passed[known, None]
            speed = (points[known] - state.points[known]) / seconds / size
            weight = _weight(np.full_like(seconds, SPEED_CUTOFF), seconds)
            state.speeds[known] += weight * (speed - state.speeds[known])
            pace = np.linalg.norm(state.speeds[known], axis=-1, keepdims=True)
            weight = _weight(self._minimum + self._beta * pace, seconds)
            state.points[known] += weight * (points[known] - state.points[known])
        state.times[seen] = now
        return state.points[seen]


def _weight(cutoff: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """The share of the new value in a low pass of `cutoff` Hz, `seconds` after the last one."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff * seconds))
