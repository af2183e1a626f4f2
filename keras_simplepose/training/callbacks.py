"""What happens at the end of an epoch: evaluation, models, curves, pictures."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_simplepose.models.files import save_model
from keras_simplepose.training.run_state import TIMINGS, RunState, write_curves
from keras_simplepose.utils.files import atomic_path

# Of a row: what is not the evaluation's.
OF_TRAINING = ("loss", "pck", "visibility_loss", "centers", "offsets", "sizes", "learning_rate", *TIMINGS)
SECONDS_BETWEEN_CHECKPOINTS = 30.0  # Of shorter epochs only some are kept, or writing would take longer than training.
EMA = "ema_"  # What is measured with averaged weights.


def best_precision(row: dict[str, float]) -> float:
    """An epoch's AP, or that of its averaged weights if it is higher; −∞ where none was measured."""
    values = (row.get("AP", math.nan), row.get(EMA + "AP", math.nan))
    return max(filter(math.isfinite, values), default=-math.inf)


@dataclass
class EpochEvaluation:
    """What is measured on the validation set, every `every` epochs and at the last.

    Attributes:
        dataset: batches of `data.pipeline.validation_dataset`, for the loss and what is shown beside it, or None.
        average_precision: gives COCO metrics ("AP", "AP50", …) of the network as it is.
        every: epochs between evaluations.
    """

    dataset: tf.data.Dataset | None
    average_precision: Callable[[], dict[str, float]]
    every: int


class EpochReport:
    """At the end of each epoch: evaluates, keeps models and the state to go on from, and writes the curves."""

    def __init__(
        self,
        workdir: Path,
        epochs: int,
        model: Any,
        state: RunState,
        evaluation: EpochEvaluation | None,
        examples: dict[str, Any] | None = None,
    ):
        """Sets up the files.

        Args:
            workdir: folder for best.keras, last.keras, last_ema.keras where weights are averaged, curves.csv,
                curves.png, timings.csv, evaluations.jsonl and tensorboard/.
            epochs: of the whole run.
            model: that is trained, a `TrainingModel` or `DetectorTrainingModel`.
            state: of the run, whose rows this adds to.
            evaluation: what to measure, or None.
            examples: a batch of the validation or training pipeline to draw, or None.
        """
        self.workdir, self.epochs, self.model, self.state = workdir, epochs, model, state
        self.evaluation, self.examples = evaluation, examples
        self.writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._test_step: Any = None
        self._first_epoch = len(state.progress.rows)
        self._run_start = self._kept = time.monotonic()  # The latter: when models were last written.

    @property
    def rows(self) -> list[dict[str, float]]:
        """The epochs' figures."""
        return self.state.progress.rows

    @property
    def best(self) -> float:
        """The highest AP; −∞ before there is one."""
        return self.state.progress.best

    def figures(self, epoch: int) -> dict[str, float]:
        """What training itself has measured of the epoch that is over."""
        seconds = self.state.progress.seconds
        return {
            "epoch": epoch,
            # Not of the step's results: there each replica's ratio counts the same, however many keypoints it saw.
            **{metric.name: float(metric.result()) for metric in self.model.shown_metrics},
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": seconds,
            "data_wait_share": float(self.model.wait_metric.result()) / seconds,
        }

    def evaluate(self, epoch: int) -> dict[str, float]:
        """What the evaluation measures, nothing where none is due."""
        if self.evaluation and ((epoch + 1) % self.evaluation.every == 0 or epoch + 1 == self.epochs):
            return self._measure(self.evaluation)
        return {}

    def end(self, epoch: int, row: dict[str, float]) -> None:
        """Takes an epoch's figures in; writes files in the order that an interruption harms least."""
        self.rows.append(row)
        self.state.progress.seconds = 0.0
        waited = time.monotonic() - self._kept
        first_or_last = epoch in (self._first_epoch, self.epochs - 1)
        # By time only where there is one worker: all must write together, since reading variables takes all.
        waited_enough = waited >= SECONDS_BETWEEN_CHECKPOINTS or "TF_CONFIG" in os.environ
        if first_or_last or "AP" in row or waited_enough:
            self._keep(epoch, row)
        self._print(epoch, row)

    def keep_network(self) -> None:
        """Writes last.keras."""
        save_model(self.model.network, self.workdir / "last.keras")

    def _keep(self, epoch: int, row: dict[str, float]) -> None:
        """Writes models, curves, summaries and, last, the checkpoint: what is older than it is done anew."""
        network, best = self.model.network, best_precision(row)
        is_best = best > self.best
        if is_best:
            self.state.progress.best, self.state.progress.best_step = best, self.state.progress.step
        self.keep_network()
        if is_best and best == row["AP"]:
            save_model(network, self.workdir / "best.keras")
        if self.model.average:
            with self.model.average.swapped_in(self.model.optimizer):
                save_model(network, self.workdir / "last_ema.keras")
                if is_best and best != row["AP"]:
                    save_model(network, self.workdir / "best.keras")
        write_curves(self.workdir, self.rows)
        self._write_evaluations()
        self._write_summaries(epoch, row)
        self.state.save(self.model)
        self._kept = time.monotonic()

    def _write_evaluations(self) -> None:
        """A line for each evaluation; the whole file, so that a run which goes on repeats none."""
        rows = [{name: value for name, value in row.items() if name not in OF_TRAINING} for row in self.rows]
        lines = [json.dumps(row) + "\n" for row in rows if len(row) > 1]
        if lines:
            with atomic_path(self.workdir / "evaluations.jsonl", durable=True) as temporary:
                temporary.write_text("".join(lines), encoding="utf-8")

    def _measure(self, evaluation: EpochEvaluation) -> dict[str, float]:
        values = self._measured(evaluation)
        if self.model.average:
            with self.model.average.swapped_in(self.model.optimizer):
                values |= {EMA + name: value for name, value in self._measured(evaluation).items()}
        return values

    def _measured(self, evaluation: EpochEvaluation) -> dict[str, float]:
        values: dict[str, float] = {}
        if evaluation.dataset is not None:
            self._test(evaluation.dataset)
            values = {f"validation_{metric.name}": float(metric.result()) for metric in self.model.shown_metrics}
        return values | {name: float(value) for name, value in evaluation.average_precision().items()}

    def _test(self, batches: tf.data.Dataset) -> None:
        """Leaves loss and PCK in the model's metrics; Keras's `evaluate` takes no batches of several workers."""
        strategy = self.model.distribute_strategy
        if self._test_step is None:
            self._test_step = tf.function(
                lambda batch: strategy.run(self.model.test_step, args=(batch,)),
                jit_compile=bool(self.model.jit_compile),
            )
        self.model.reset_metrics()
        for batch in strategy.experimental_distribute_dataset(batches):
            self._test_step(batch)

    def _write_summaries(self, epoch: int, row: dict[str, float]) -> None:
        with self.writer.as_default(step=epoch):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
            if self.examples is not None and ("AP" in row or not self.evaluation):
                picture = self.model.draw(self.examples)
                tf.summary.image("examples", picture[None])
                with atomic_path(self.workdir / "examples.png") as temporary:
                    tf.io.write_file(str(temporary), tf.io.encode_png(picture))
        self.writer.flush()

    def _print(self, epoch: int, row: dict[str, float]) -> None:
        done = epoch + 1 - self._first_epoch
        left = (time.monotonic() - self._run_start) / done * (self.epochs - epoch - 1)
        shown = ", ".join(f"{metric.name} {row[metric.name]:.3g}" for metric in self.model.shown_metrics)
        text = f"epoch {epoch + 1}/{self.epochs}: {shown}"
        if "validation_loss" in row:
            text += f", validation loss {row['validation_loss']:.3g}"
        if "AP" in row:
            average = f", of averaged weights {row[EMA + 'AP']:.3f}" if EMA + "AP" in row else ""
            text += f", AP {row['AP']:.3f}{average}"
            text += f" (best {self.best:.3f})"
        minutes = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        print(f"{text}; waited for data {row['data_wait_share']:.0%}; {minutes} left", flush=True)
