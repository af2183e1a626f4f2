"""Measuring speed: named contestants run in turns, medians, ratios within one run."""

import json
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: suite/contestant.
        value: the median of the rounds.
        unit: "images/s" or "frames/s"; "ms", where less is better; "share" of a whole; "percent"; "switches".
        ratio_to: the name of the row it is compared with; "" if with none.
        ratio: this row's speed as a multiple of that row's, so more is better whatever the unit; None if with none.
    """

    name: str
    value: float
    unit: str
    ratio_to: str = ""
    ratio: float | None = None

    def to_json(self) -> str:
        """The row as one line of JSON."""
        return json.dumps(asdict(self))


def interleaved(contestants: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Measures every contestant once a round, so that what else the machine does falls on all of them.

    Args:
        contestants: name → a function that measures once and returns the figure.
        rounds: how often each is measured.

    Returns:
        the median figure of each.
    """
    figures: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, measure in contestants.items():
            figures[name].append(measure())
    return {name: statistics.median(values) for name, values in figures.items()}


def make_rows(figures: Mapping[str, float], unit: str, reference: str | Mapping[str, str] = "") -> list[Row]:
    """Rows of figures, each compared with `reference`, or with what that says of its name, if that is a figure."""
    references, rows = reference if isinstance(reference, Mapping) else dict.fromkeys(figures, reference), []
    for name, value in figures.items():
        reference = references.get(name, "")
        compared = reference in figures and name != reference
        # Time is the one unit of which less is better.
        ratio = (figures[reference] / value if unit == "ms" else value / figures[reference]) if compared else None
        rows.append(
            Row(name, round(value, 2), unit, reference if compared else "", None if ratio is None else round(ratio, 3))
        )
    return rows
