"""The state of a run: how far it is and every variable; saved, found again, and put back to the bit."""

import contextlib
import csv
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

import filelock
import keras
import numpy as np

from keras_simplepose.config import DetectorTrainingConfig, TrainingConfig
from keras_simplepose.training.checkpoints import Checkpoint, CheckpointFolder
from keras_simplepose.training.run_options import options_of
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, check_writable, remove_leftovers
from keras_simplepose.viz.training import draw_curves

CURVES_NAME, TIMINGS_NAME = "curves.csv", "timings.csv"
LOCK_NAME = ".lock"
WRITTEN_ATOMICALLY = (
    "flags.cfg",
    "best.keras",
    "last.keras",
    "last_ema.keras",
    CURVES_NAME,
    TIMINGS_NAME,
    "evaluations.jsonl",
    "examples.png",
)
# Of a row: what no two runs have in common.
TIMINGS = ("seconds", "data_wait_share")


class Fingerprinted(Protocol):
    """Data that a run which goes on must know again."""

    def fingerprint(self) -> str:
        """Of all that matters in it."""
        ...


@dataclass
class Progress:
    """How far a run is; what of its state is no variable.

    Attributes:
        step: optimiser steps done.
        rows: the figures of the epochs that are over, evaluation included.
        seconds: that the epoch under way has taken.
        best: the highest AP, −∞ before there is one.
        best_step: at which it was.
        jit_compile: what was chosen; timing might choose otherwise next time.
    """

    step: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    best: float = -math.inf
    best_step: int | None = None
    jit_compile: bool | None = None


class RunState:
    """Saves a run's progress and variables, and puts them back.

    Attributes:
        progress: of the run, which goes on in place.
        saved_step: the step of the newest checkpoint.
    """

    def __init__(self, checkpoints: CheckpointFolder, identity: Mapping[str, Any], progress: Progress | None = None):
        """Takes where to save.

        Args:
            checkpoints: of the run.
            identity: what a run must have in common with one that goes on from its checkpoints: "options", "data",
                "steps" (of an epoch).
            progress: to begin with.
        """
        self.progress, self.identity = progress or Progress(), dict(identity)
        self.saved_step = self.progress.step
        self._checkpoints, self._saved_at = checkpoints, time.monotonic()

    def seconds_since_save(self) -> float:
        """Since the newest checkpoint, or since this process has the run."""
        return time.monotonic() - self._saved_at

    def save(self, model: keras.Model) -> None:
        """Writes a checkpoint.

        Raises:
            UserError: it cannot be written; those before it stay.
        """
        arrays = [np.array(keras.ops.convert_to_numpy(variable)) for variable in state_variables(model)]
        record = {"identity": self.identity, "progress": asdict(self.progress)}
        self._checkpoints.save(Checkpoint(self.progress.step, record, arrays), self.progress.best_step)
        self.saved_step, self._saved_at = self.progress.step, time.monotonic()


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
    """Keeps other processes from training in a folder; the lock ends with the process, however that ends.

    Raises:
        UserError: another one does, or the folder cannot be written to.
    """
    check_writable(workdir)
    lock = filelock.FileLock(workdir / LOCK_NAME, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout as error:
        raise UserError(f"workdir {workdir}: another process is training in it") from error
    try:
        remove_leftovers(workdir, WRITTEN_ATOMICALLY)
        yield
    finally:
        lock.release()


def identity_of(
    config: TrainingConfig | DetectorTrainingConfig, steps: int, source: Fingerprinted, validation: Fingerprinted | None
) -> dict[str, Any]:
    """What a run must have in common with the one that goes on from its checkpoints."""
    data = {"training": source.fingerprint(), "validation": validation.fingerprint() if validation else ""}
    return {"options": options_of(config), "data": data, "steps": steps}


def go_on(
    model: keras.Model, checkpoint: Checkpoint, identity: Mapping[str, Any], workdir: Path, resume: str
) -> Progress:
    """Puts a checkpoint's variables back; its options have been checked.

    Where another batch size or data set makes epochs of another length, the epoch under way begins anew.

    Args:
        model: compiled.
        checkpoint: of the run in the folder.
        identity: of the run that goes on; see `identity_of`.
        workdir: the folder.
        resume: "force" takes other data.

    Raises:
        UserError: the data are others, the network is, or the run has more epochs behind it than asked for.
    """
    before, progress = checkpoint.record["identity"], Progress(**checkpoint.record["progress"])
    others = [name for name, value in identity["data"].items() if before["data"][name] != value]
    if others and resume != "force":
        raise UserError(
            f"{workdir} holds a run with other {' and '.join(others)} persons; choose a new folder, or resume=force"
        )
    steps, epochs = identity["steps"], identity["options"]["epochs"]
    _restore(model, checkpoint, workdir)
    if before["steps"] != steps:
        progress.step, progress.seconds = len(progress.rows) * steps, 0.0
        model.reset_metrics()
        model.optimizer.iterations.assign(progress.step)
    if progress.step > steps * epochs:
        raise UserError(
            f"{workdir} holds a run of which {progress.step // steps} epochs are done; epochs is {epochs}: ask for more"
        )
    return progress


def state_variables(model: keras.Model) -> list[Any]:
    """Every variable of training: of the network and its averages, of the random layers, metrics and optimiser."""
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    variables = [*model.variables, *metrics, *model.optimizer.variables]
    return list({id(variable): variable for variable in variables}.values())


def _restore(model: keras.Model, checkpoint: Checkpoint, place: Path) -> None:
    variables = state_variables(model)
    shapes = [tuple(array.shape) for array in checkpoint.arrays]
    if shapes != [tuple(variable.shape) for variable in variables]:
        raise UserError(f"{place}: its checkpoints are of another network or optimiser; choose a new folder")
    for variable, array in zip(variables, checkpoint.arrays, strict=True):
        variable.assign(array)


def write_curves(workdir: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Writes the epochs' figures as a table and as a picture, and what they took as another table."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    tables = {CURVES_NAME: [name for name in names if name not in TIMINGS], TIMINGS_NAME: ["epoch", *TIMINGS]}
    for table, columns in tables.items():
        with atomic_path(workdir / table, durable=True) as temporary, open(temporary, "w", newline="") as stream:
            writer = csv.DictWriter(stream, columns, extrasaction="ignore")
            writer.writeheader()
            writer.writerows(rows)
    with atomic_path(workdir / "curves.png") as temporary:
        draw_curves([dict(row) for row in rows], temporary)
