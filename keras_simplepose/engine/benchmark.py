"""Measuring speed: named contestants run in turns, medians, ratios within one run."""

import importlib
import json
import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from keras_simplepose.config import BenchmarkConfig
from keras_simplepose.core.errors import UserError

# Suite → its module in this package and its function, which gives rows.
SUITES = {
    "input": ("benchmark_input", "input_benchmark"),
    "training": ("benchmark_training", "training_benchmark"),
    "export": ("benchmarks_export", "export_benchmark"),
    "video": ("benchmarks_video", "video_benchmark"),
}


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        name: suite/contestant.
        value: the median of the rounds.
        unit: "images/s", or "ms" where less is better.
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


def make_rows(figures: Mapping[str, float], unit: str, reference: str = "") -> list[Row]:
    """Rows of figures, each compared with `reference` if that is one of them."""
    rows = []
    for name, value in figures.items():
        compared = reference in figures and name != reference
        # Time is the one unit of which less is better.
        ratio = (figures[reference] / value if unit == "ms" else value / figures[reference]) if compared else None
        rows.append(
            Row(name, round(value, 2), unit, reference if compared else "", None if ratio is None else round(ratio, 3))
        )
    return rows


def run_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Runs the suites in order and yields rows as they are measured.

    Raises:
        UserError: an unknown suite, one whose flags are missing, or one this installation does not have.
    """
    if config.rounds < 1:
        raise UserError(f"--rounds is {config.rounds}; it must be at least 1")
    unknown = [name for name in config.suites if name not in SUITES]
    if unknown or not config.suites:
        raise UserError(f"--suites: {', '.join(unknown) or 'none given'}; there are {', '.join(SUITES)}")
    functions = [_load(name) for name in config.suites]
    for name, function in zip(config.suites, functions, strict=True):
        yield from _export_rows(function, config) if name == "export" else function(config)


def _export_rows(export_benchmark: Callable[..., list[dict[str, Any]]], config: BenchmarkConfig) -> Iterator[Row]:
    """Rows of the export suite, which states times as multiples of PyTorch's: here turned into speeds."""
    for row in export_benchmark(rounds=config.rounds):
        ratio = row["ratio"]
        compared = "" if ratio is None else "export/PyTorch eager"
        speed = None if ratio is None else round(1 / ratio, 3)
        yield Row(f"export/{row['name']}", round(row["milliseconds"], 2), "ms", compared, speed)


def _load(name: str) -> Callable[..., Any]:
    module_name, function = SUITES[name]
    module_name = f"keras_simplepose.engine.{module_name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        what = "this version does not have it" if error.name == module_name else f"it needs the package {error.name}"
        raise UserError(f"--suites={name}: {what}") from error
    return getattr(module, function)
