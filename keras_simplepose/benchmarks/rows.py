"""Measuring speed: named contestants run in turns, medians, ratios within one run."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

# A figure whose rounds differ by more than this share of their median measured the machine's other work: no ratio.
WIDEST_SPREAD = 0.5


@dataclass(frozen=True)
class Figure:
    """What several rounds measured.

    Attributes:
        value: their median.
        spread: their range as a share of it; 0 for one round.
    """

    value: float
    spread: float = 0.0

    @classmethod
    def of(cls, rounds: Sequence[float]) -> "Figure":
        """Of at least one round, all greater than 0."""
        value = statistics.median(rounds)
        return cls(value, (max(rounds) - min(rounds)) / value)


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: suite/contestant.
        value: the median of the rounds.
        unit: "images/s" or "frames/s"; "ms", where less is better; "share" of a whole; "percent"; "switches"; "MB".
        ratio_to: the name of the row it is compared with; "" if with none.
        ratio: this row's speed as a multiple of that row's, so more is better whatever the unit; None if with none, or
            if either spread is above `WIDEST_SPREAD`.
        spread: the range of the rounds as a share of their median; None where there was one.
    """

    name: str
    value: float
    unit: str
    ratio_to: str = ""
    ratio: float | None = None
    spread: float | None = None

    def to_json(self) -> str:
        """The row as one line of JSON."""
        return json.dumps(asdict(self))


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, Figure]:
    """Measures every contestant once a round, so that what else the machine does falls on all of them.

    Args:
        contestants: name → a function that measures once and returns the figure.
        rounds: how often each is measured.

    Returns:
        the figure of each.
    """
    measured: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            measured[name].append(measure())
    return {name: Figure.of(values) for name, values in measured.items()}


def make_rows(figures: Mapping[str, Figure], unit: str, reference: str | Mapping[str, str] = "") -> list[Row]:
    """Rows of figures, each compared with `reference`, or with what that says of its name, if that is a figure."""
    references, rows = reference if isinstance(reference, Mapping) else dict.fromkeys(figures, reference), []
    for name, figure in figures.items():
        reference = references.get(name, "")
        other = figures.get(reference) if reference != name else None
        ratio = None
        if other and max(figure.spread, other.spread) <= WIDEST_SPREAD:
            # Time is the one unit of which less is better.
            ratio = round(other.value / figure.value if unit == "ms" else figure.value / other.value, 3)
        spread = round(figure.spread, 3) if figure.spread else None
        rows.append(Row(name, round(figure.value, 2), unit, reference if other else "", ratio, spread))
    return rows
