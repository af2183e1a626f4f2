"""What happens beside the updates: evaluation, checkpoints, curves, pictures, and the guard against NaN."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.models.files import save_model
from keras_simplepose.models.stages import stages
from keras_simplepose.training.run_state import read_rows, save_state, write_curves
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path
from keras_simplepose.viz.training import draw_examples

SECONDS_BETWEEN_CHECKPOINTS = 30.0  # Of shorter epochs only some are kept, or writing would take longer than training.


class NonFiniteLossGuard(keras.callbacks.Callback):
    """Stops at the first step whose loss is not finite, before any checkpoint could keep spoilt weights."""

    def __init__(self, steps_per_epoch: int):
        """Takes the length of an epoch, to name the step."""
        super().__init__()
        self.steps_per_epoch, self.epoch = steps_per_epoch, 0

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the epoch."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Looks at the running mean, which stays NaN once a loss was."""
        if logs and not math.isfinite(float(logs["loss"])):
            self._stop("the loss is not finite at", batch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Looks at the weights, which the epoch's last update may have spoilt after its loss was computed."""
        if not all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in self.model.network.weights):
            self._stop("weights are not finite after", self.steps_per_epoch - 1)

    def _stop(self, fault: str, batch: int) -> None:
        step = self.epoch * self.steps_per_epoch + batch
        raise UserError(
            f"{fault} step {step} (epoch {self.epoch}); the checkpoints are those before it; "
            "try a smaller learning_rate, warmup_steps, or precision float32"
        )


@dataclass
class EpochEvaluation:
    """What is measured on the validation set, every `every` epochs and at the last.

    Attributes:
        dataset: batches of `data.pipeline.validation_dataset`, for loss and PCK.
        average_precision: gives COCO metrics ("AP", "AP50", …) of the network as it is.
        every: epochs between evaluations.
    """

    dataset: tf.data.Dataset
    average_precision: Callable[[], dict[str, float]]
    every: int


class EpochReport(keras.callbacks.Callback):
    """At the end of each epoch: evaluates, keeps checkpoints and the state to resume from, and writes the curves."""

    def __init__(
        self,
        workdir: Path,
        epochs: int,
        evaluation: EpochEvaluation | None,
        examples: dict[str, Any] | None = None,
    ):
        """Sets up the files.

        Args:
            workdir: folder for best.keras, last.keras, curves.csv, curves.png, evaluations.jsonl and tensorboard/.
            epochs: of the whole run.
            evaluation: what to measure, or None.
            examples: a batch of the validation or training pipeline to draw, or None.
        """
        super().__init__()
        self.workdir, self.epochs, self.evaluation, self.examples = workdir, epochs, evaluation, examples
        self.rows = read_rows(workdir)
        self.best = max((row["AP"] for row in self.rows if math.isfinite(row.get("AP", math.nan))), default=-math.inf)
        self.writer = tf.summary.create_file_writer(str(workdir / "tensorboard"))
        self._run_start, self._epoch_start = time.monotonic(), 0.0
        self._first_epoch: int | None = None
        self._kept = self._run_start  # When the checkpoints were last written.

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Starts the clock."""
        if self._first_epoch is None:
            self._first_epoch = epoch
            # A run killed between writing its curves and its state does their last epoch again.
            self.rows = [row for row in self.rows if row["epoch"] < epoch]
        self._epoch_start = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Does it all, in the order that an interruption harms least."""
        seconds = time.monotonic() - self._epoch_start
        row = {
            "epoch": epoch,
            # Not of the logs: there each replica's ratio counts the same, however many keypoints it saw.
            "loss": float(self.model.loss_metric.result()),
            "pck": float(self.model.pck_metric.result()),
            "learning_rate": float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)),
            "seconds": seconds,
            "data_wait_share": float(self.model.wait_metric.result()) / seconds,
        }
        last = epoch + 1 == self.epochs
        if self.evaluation and ((epoch + 1) % self.evaluation.every == 0 or last):
            row |= self._evaluate(epoch, row, self.evaluation)
        self.rows.append(row)
        waited = time.monotonic() - self._kept
        if last or epoch == self._first_epoch or "AP" in row or waited >= SECONDS_BETWEEN_CHECKPOINTS:
            self._keep(epoch, row)
        self._print(epoch, row)

    def _keep(self, epoch: int, row: dict[str, float]) -> None:
        """Writes checkpoints, curves, summaries and, last, the state that declares them valid."""
        save_model(self.model.network, self.workdir / "last.keras")
        if row.get("AP", -math.inf) > self.best:
            self.best = row["AP"]
            save_model(self.model.network, self.workdir / "best.keras")
        write_curves(self.workdir, self.rows)
        self._write_summaries(epoch, row)
        save_state(self.model, self.workdir, epoch + 1)
        self._kept = time.monotonic()

    def _evaluate(self, epoch: int, row: dict[str, float], evaluation: EpochEvaluation) -> dict[str, float]:
        """What the evaluation measures; an epoch whose evaluation fails is kept before the run ends."""
        try:
            return self._measure(epoch, evaluation)
        except Exception:
            self.rows.append(row)
            self._keep(epoch, row)
            raise

    def _measure(self, epoch: int, evaluation: EpochEvaluation) -> dict[str, float]:
        measured = self.model.evaluate(evaluation.dataset, verbose=0, return_dict=True)
        values = {"validation_loss": float(measured["loss"]), "validation_pck": float(measured["pck"])}
        values |= {name: float(value) for name, value in evaluation.average_precision().items()}
        line = json.dumps({"epoch": epoch} | values)
        with open(self.workdir / "evaluations.jsonl", "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
        return values

    def _write_summaries(self, epoch: int, row: dict[str, float]) -> None:
        with self.writer.as_default(step=epoch):
            for name, value in row.items():
                if name != "epoch":
                    tf.summary.scalar(name, value)
            if self.examples is not None and ("AP" in row or not self.evaluation):
                crops, targets, weights = self.model.make_batch(self.examples)
                heatmaps = stages(self.model.network(crops, training=False))[-1]
                crops, targets, weights, heatmaps = map(np.asarray, (crops, targets, weights, heatmaps))
                picture = draw_examples(crops, targets, weights, heatmaps, self.model.spec)
                tf.summary.image("examples", picture[None])
                with atomic_path(self.workdir / "examples.png") as temporary:
                    tf.io.write_file(str(temporary), tf.io.encode_png(picture))
        self.writer.flush()

    def _print(self, epoch: int, row: dict[str, float]) -> None:
        done = epoch + 1 - (self._first_epoch or 0)
        left = (time.monotonic() - self._run_start) / done * (self.epochs - epoch - 1)
        text = f"epoch {epoch + 1}/{self.epochs}: loss {row['loss']:.2e}, PCK {row['pck']:.3f}"
        if "AP" in row:
            text += f", validation loss {row['validation_loss']:.2e}, AP {row['AP']:.3f} (best {self.best:.3f})"
        minutes = f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"
        print(f"{text}; waited for data {row['data_wait_share']:.0%}; {minutes} left", flush=True)
