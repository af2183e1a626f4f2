"""Bootstrap confidence intervals over photographs: persons of one photograph share its light, camera and crowd."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from keras_simplepose.reporting.matches import Curves


@dataclass(frozen=True)
class Interval:
    """A figure with its confidence interval.

    Attributes:
        value: as measured.
        low: of the interval; NaN where it cannot be told.
        high: likewise.
    """

    value: float
    low: float
    high: float


def resamples(images: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Yields, `count` times, how often each of the photographs was drawn, with replacement: [I] int."""
    random = np.random.default_rng(seed)
    shares = np.full(images, 1 / images)
    for _ in range(count):
        yield random.multinomial(images, shares)


def intervals(
    curves: Sequence[Curves], images: int, count: int, seed: int, confidence: float = 0.95
) -> list[tuple[Interval, Interval]]:
    """AP and AR of each with percentile intervals, all over the same resamples.

    Args:
        curves: what to measure.
        images: number of photographs.
        count: of resamples.
        seed: of the draws.
        confidence: of the intervals, such as .95.

    Returns:
        an interval of AP and one of AR for each.
    """
    drawn = np.array([[each.ap_ar(weights) for each in curves] for weights in resamples(images, count, seed)])
    measured = [each.ap_ar() for each in curves]
    return [
        tuple(  # type: ignore[misc]  # Two, as measured.
            interval(value, drawn[:, place, which] if len(drawn) else np.zeros(0), confidence)
            for which, value in enumerate(values)
        )
        for place, values in enumerate(measured)
    ]


def interval(value: float, drawn: np.ndarray, confidence: float) -> Interval:
    """A value with the percentile interval of its resampled values [R], of which NaN ones are left out."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return Interval(value, np.nan, np.nan)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))


@dataclass(frozen=True)
class Difference:
    """What a second result has more than a first.

    Attributes:
        interval: of the difference of AP.
        probability: share of the resamples in which the second is not better, or not worse, whichever is rarer, twice:
            a two-sided p-value.
    """

    interval: Interval
    probability: float


def paired_difference(
    first: Curves, second: Curves, images: int, count: int, seed: int, confidence: float = 0.95
) -> Difference:
    """AP of the second less AP of the first, both on the same resampled photographs each time."""
    drawn = np.array([second.ap_ar(weights)[0] - first.ap_ar(weights)[0] for weights in resamples(images, count, seed)])
    value = second.ap_ar()[0] - first.ap_ar()[0]
    drawn = drawn[np.isfinite(drawn)]
    rarer = min((drawn <= 0).mean(), (drawn >= 0).mean()) if len(drawn) else np.nan
    return Difference(interval(value, drawn, confidence), float(min(1.0, 2 * rarer)))
