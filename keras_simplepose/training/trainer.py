"""Training from configurations to a folder of results."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig, TrainingConfig
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.pipeline import ImageSource, PatchSource, training_dataset, validation_dataset
from keras_simplepose.evaluation.evaluator import evaluate_predictor
from keras_simplepose.models.folded_weights import is_folded, load_folded_weights
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.training.callbacks import EpochEvaluation, EpochReport, NonFiniteLossGuard
from keras_simplepose.training.devices import make_strategy
from keras_simplepose.training.jit import choose_jit
from keras_simplepose.training.network import build_network
from keras_simplepose.training.optimizers import PyTorchAdam
from keras_simplepose.training.run_state import WEIGHTS_NAME, first_epoch_of
from keras_simplepose.training.schedule import TrainingSchedule
from keras_simplepose.training.sources import damage_named, training_source, validation_source
from keras_simplepose.training.training_model import TrainingModel

ADAM_BETAS = (0.9, 0.999)  # Paper's release.
STATISTICS_CROPS = 512  # Training crops whose statistics batch normalisation begins with, where a file has none.


@dataclass(frozen=True)
class TrainingResult:
    """What a run leaves.

    Attributes:
        workdir: its folder: best.keras, last.keras, curves.csv, curves.png, evaluations.jsonl, examples.png, …
        model: the best model's file if AP was measured, else the last's.
        rows: the epochs' figures, as in curves.csv.
        skipped: damaged images passed over, with the reason.
        validation: the persons AP was measured on, if any.
        warnings: about images that carry an EXIF orientation.
    """

    workdir: Path
    model: Path
    rows: list[dict[str, float]]
    skipped: dict[str, str]
    validation: PersonSet | None
    warnings: tuple[str, ...] = ()


def train(config: TrainingConfig) -> TrainingResult:
    """Trains a pose network, or goes on with an interrupted run.

    Args:
        config: the run.

    Raises:
        UserError: a mistake in the configuration or the data, or a loss that is not finite.
    """
    workdir = Path(config.run.workdir)
    first_epoch = first_epoch_of(workdir, config.run.resume)
    keras.utils.set_random_seed(config.run.seed)
    strategy = make_strategy(config.run.strategy, config.optimization.batch_size)
    with strategy.scope():
        network = build_network(config)
        trainer = TrainingModel(network, _half_body_minimum(config.augmentation))
    source = training_source(config, trainer.spec)
    validation = validation_source(config.data, trainer.spec)
    print(f"training annotations: {source.summary()}")
    if validation:
        print(f"validation annotations: {validation.summary()}")
    batches, steps = _training_batches(config, source, first_epoch)
    with strategy.scope():
        trainer.compile(optimizer=make_optimizer(config, steps))
        trainer.optimizer.build(network.trainable_variables)
    with damage_named(source):
        jit_compile = choose_jit(config, trainer, batches, steps, strategy)
        examples = _examples(batches, config.run.picture_count)
    if is_folded(config.model.backbone_weights) and not (first_epoch or config.model.initial_model):
        with damage_named(source):
            print(load_folded_weights(network, config.model.backbone_weights, _sample_crops(config, trainer, batches)))
    if first_epoch:
        trainer.load_weights(workdir / WEIGHTS_NAME)
        print(f"going on after epoch {first_epoch} of {config.optimization.epochs}")
    trainer.jit_compile = jit_compile
    report = EpochReport(workdir, config.optimization.epochs, _evaluation(config, network, validation), examples)
    print(
        f"training {network.name} ({network.count_params():,} parameters) on {source.count} persons, "
        f"{steps} steps an epoch, {strategy.num_replicas_in_sync} device(s)",
        flush=True,
    )
    with damage_named(source, validation):
        trainer.fit(
            batches,
            epochs=config.optimization.epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=steps,
            shuffle=False,  # The pipeline does it; Keras warns where it is left at True.
            callbacks=[NonFiniteLossGuard(steps), report],
        )
    return _result(workdir, report, source, validation)


def _training_batches(config: TrainingConfig, source: PatchSource, first_epoch: int) -> tuple[tf.data.Dataset, int]:
    return training_dataset(
        source,
        config.optimization.batch_size,
        config.augmentation,
        config.run.seed,
        config.data.shuffle_buffer,
        first_epoch * -(-source.count // config.optimization.batch_size),
    )


def _sample_crops(config: TrainingConfig, trainer: TrainingModel, batches: tf.data.Dataset) -> list[np.ndarray]:
    """Training crops, in batches, for the statistics of batch normalisation."""
    count = -(-STATISTICS_CROPS // config.optimization.batch_size)
    return [np.asarray(trainer.make_batch(batch)[0]) for batch in batches.take(count)]


def _result(workdir: Path, report: EpochReport, source: PatchSource, validation: ImageSource | None) -> TrainingResult:
    best = workdir / "best.keras"
    model = best if best.exists() else workdir / "last.keras"
    persons = None if validation is None else validation.persons
    warnings = [each.reading.warning() for each in (source, validation) if isinstance(each, ImageSource)]
    return TrainingResult(workdir, model, report.rows, dict(source.skipped), persons, tuple(filter(None, warnings)))


def make_optimizer(config: TrainingConfig, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """The release's Adam with the run's schedule; with loss scaling where float16 needs it."""
    optimization = config.optimization
    optimizer = PyTorchAdam(
        TrainingSchedule.from_config_and_steps(optimization, steps_per_epoch),
        *ADAM_BETAS,
        epsilon=optimization.adam_epsilon,
    )
    if config.run.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


def _evaluation(config: TrainingConfig, network: keras.Model, source: ImageSource | None) -> EpochEvaluation | None:
    if source is None:
        return None
    predictor = PosePredictor.from_model(network, config.evaluation)

    def average_precision() -> dict[str, float]:
        skip = config.data.skip_damaged
        return evaluate_predictor(
            predictor,
            source.persons,
            source.folder,
            config=config.evaluation,
            progress=False,
            skip_damaged=skip,
            orientation=config.data.orientation,
        ).metrics

    batch_size = config.evaluation.evaluation_batch_size
    return EpochEvaluation(validation_dataset(source, batch_size), average_precision, config.run.evaluate_every)


def _half_body_minimum(augmentation: AugmentationConfig) -> int:
    return augmentation.half_body_minimum if augmentation.half_body_probability > 0 else 0


def _examples(batches: tf.data.Dataset, count: int) -> dict[str, Any] | None:
    if not count:
        return None
    batch = next(iter(batches))
    return {name: value[:count] for name, value in batch.items()}
