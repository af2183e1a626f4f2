"""The suites of measurements by name, and running them."""

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from keras_simplepose.benchmarks.rows import Row
from keras_simplepose.config import BenchmarkConfig
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.names import look_up

# Suite → its module in this package and its function, which gives rows.
SUITES = {
    "input": ("input", "input_benchmark"),
    "training": ("training", "training_benchmark"),
    "decoding": ("decoding", "decoding_benchmark"),
    "export": ("exported", "export_benchmark"),
    "video": ("video", "video_benchmark"),
    "tracking": ("tracking", "tracking_benchmark"),
    "memory": ("memory", "memory_benchmark"),
}


def run_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Runs the suites in order and yields rows as they are measured.

    Args:
        config: what to measure.

    Raises:
        UserError: an unknown suite, its data do not fit, or this installation does not have it.
    """
    functions = [_load(name) for name in config.suites]
    for function in functions:
        yield from function(config)


def _load(name: str) -> Callable[..., Any]:
    module_name, function = look_up("suite", name, SUITES)
    module_name = f"keras_simplepose.benchmarks.{module_name}"
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        what = "this version does not have it" if error.name == module_name else f"it needs the package {error.name}"
        raise UserError(f"suite {name}: {what}") from error
    return getattr(module, function)
