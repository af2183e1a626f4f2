"""The loop of training: steps, the checkpoints between them, and the end of each epoch. One text for all strategies."""

import contextlib
import math
import signal
import time
from typing import Any

import keras
import tensorflow as tf
from tqdm import tqdm

from keras_simplepose.training.callbacks import EpochReport
from keras_simplepose.training.run_options import Interval
from keras_simplepose.training.run_state import RunState
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.signals import Interrupted, StopRequest
from keras_simplepose.utils.workers import Workers


class TrainingLoop:
    """Runs steps from wherever a run stands to its end."""

    def __init__(
        self,
        trainer: Any,
        strategy: tf.distribute.Strategy,
        state: RunState,
        report: EpochReport,
        stop: StopRequest | None = None,
    ):
        """Takes what takes part.

        Args:
            trainer: a `TrainingModel` or `DetectorTrainingModel`, compiled, its `jit_compile` chosen.
            strategy: it was built in.
            state: where the run stands.
            report: what happens at an epoch's end.
            stop: what hears the signals.
        """
        self.trainer, self.strategy, self.state, self.report = trainer, strategy, state, report
        self.stop = stop or StopRequest()

    def run(self, batches: tf.data.Dataset, steps: int, epochs: int, checkpoint_every: Interval) -> None:
        """Trains to the last epoch.

        Args:
            batches: of the pipeline, from the step at which the run stands.
            steps: of an epoch.
            epochs: of the whole run.
            checkpoint_every: after what a checkpoint is due within an epoch.

        Raises:
            UserError: a loss or weights that are not finite, or a full disk; the checkpoints before stay.
            Interrupted: by SIGINT or SIGTERM, after a checkpoint of the step at which it was.
        """
        progress, step_function = self.state.progress, make_step(self.trainer, self.strategy)
        iterator = iter(self.strategy.experimental_distribute_dataset(batches))
        if progress.step % steps == 0 and not self._is_epoch_to_end(steps):
            self.trainer.reset_metrics()
        with self.stop as stop:
            while True:
                if self._is_epoch_to_end(steps):
                    self._end_epoch(progress.step // steps - 1, steps, epochs, stop)
                if progress.step >= steps * epochs:
                    return
                self._epoch(iterator, step_function, steps, epochs, checkpoint_every, stop)

    def _is_epoch_to_end(self, steps: int) -> bool:
        return len(self.state.progress.rows) < self.state.progress.step // steps

    def _epoch(
        self, iterator: Any, step_function: Any, steps: int, epochs: int, checkpoint_every: Interval, stop: StopRequest
    ) -> None:
        """The rest of the epoch under way."""
        progress = self.state.progress
        epoch, done = divmod(progress.step, steps)
        before, start = progress.seconds, time.monotonic()
        with tqdm(total=steps, initial=done, desc=f"epoch {epoch + 1}/{epochs}", leave=False, disable=None) as bar:
            for _ in range(done, steps):
                late = self.state.seconds_since_save() >= checkpoint_every.seconds
                asked = tf.constant([stop.number is not None, late], tf.float32)
                result, asked = step_function(next(iterator), asked)
                loss, (stops, late) = float(result), asked.numpy().astype(bool).tolist()
                if not math.isfinite(loss):
                    raise not_finite("the loss is not finite at", progress.step, epoch)
                progress.step += 1
                progress.seconds = before + time.monotonic() - start
                bar.set_postfix_str(f"loss {loss:.2e}", refresh=False)
                bar.update()
                if stops:  # Any worker was asked to; all stop at the same step.
                    self._save(epoch)
                    raise self._interrupted(stop.number or signal.SIGTERM, steps * epochs)
                due = late or progress.step - self.state.saved_step >= checkpoint_every.steps
                if progress.step % steps and due:
                    self._save(epoch)

    def _end_epoch(self, epoch: int, steps: int, epochs: int, stop: StopRequest) -> None:
        """What an epoch's end brings; an evaluation that is broken off is done anew by the run that goes on."""
        check_weights(self.trainer.network, self.state.progress.step - 1, epoch)
        metrics = [variable for metric in self.trainer.metrics for variable in metric.variables]
        kept = [keras.ops.convert_to_numpy(variable) for variable in metrics]
        row = self.report.figures(epoch)
        try:
            # Of several workers each breaks off its own share only, and they agree about it.
            with stop.at_once() if Workers(self.strategy).count == 1 else contextlib.nullcontext():
                row |= self.report.evaluate(epoch)
        except BaseException as error:
            for variable, value in zip(metrics, kept, strict=True):
                variable.assign(value)
            self.report.keep_network()
            self.state.save(self.trainer)
            if isinstance(error, Interrupted):
                raise self._interrupted(error.signal, steps * epochs) from None
            raise
        self.trainer.reset_metrics()
        self.report.end(epoch, row)

    def _save(self, epoch: int) -> None:
        check_weights(self.trainer.network, self.state.progress.step - 1, epoch)
        self.state.save(self.trainer)

    def _interrupted(self, number: int, total: int) -> Interrupted:
        done = f"after step {self.state.progress.step} of {total}; the same command goes on from there"
        return Interrupted(number, f"{Interrupted(number)} {done}")


def make_step(trainer: Any, strategy: tf.distribute.Strategy) -> Any:
    """The function that makes one update.

    It takes a distributed batch and what this worker is asked for [N]: to stop, to save; it gives the loss, a mean over
    the replicas, and how many are on workers that are asked for each [N].
    """

    @tf.autograph.experimental.do_not_convert
    def step(batch: Any, asked: Any) -> Any:
        losses = strategy.run(trainer.train_step, args=(batch,))["loss"]
        requests = strategy.run(tf.identity, args=(asked,))
        return (
            strategy.reduce(tf.distribute.ReduceOp.MEAN, losses, axis=None),
            strategy.reduce(tf.distribute.ReduceOp.SUM, requests, axis=None),
        )

    return tf.function(step, jit_compile=bool(trainer.jit_compile), reduce_retracing=True)


def check_weights(network: keras.Model, step: int, epoch: int) -> None:
    """Checks weights that are going to be kept: a step may spoil them after its loss was computed.

    Raises:
        UserError: they are not finite.
    """
    if not all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in network.weights):
        raise not_finite("weights are not finite after", step, epoch)


def not_finite(fault: str, step: int, epoch: int) -> UserError:
    """The error that says at which step a run went astray, and what may help."""
    return UserError(
        f"{fault} step {step} (epoch {epoch}); the checkpoints are those before it; "
        "try a smaller learning_rate, warmup_steps, or precision float32"
    )
