"""Training from configurations to a folder of results."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig, TrainingConfig, TrainingDataConfig
from keras_simplepose.conversion.converter import load_backbone_weights
from keras_simplepose.conversion.torch_files import is_checkpoint
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.pipeline import (
    ImageSource,
    PatchSource,
    PreparedSource,
    training_dataset,
    validation_dataset,
)
from keras_simplepose.data.prepared_set import check_manifest, read_manifest
from keras_simplepose.evaluation.evaluator import evaluate_predictor
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.simple_baselines import build_pose_model, load_model, pose_spec
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.training.callbacks import (
    STATE_NAME,
    WEIGHTS_NAME,
    EpochEvaluation,
    EpochReport,
    NonFiniteLossGuard,
)
from keras_simplepose.training.devices import choose_jit_compile, make_strategy
from keras_simplepose.training.optimizers import PyTorchAdam
from keras_simplepose.training.schedule import TrainingSchedule
from keras_simplepose.training.training_model import TrainingModel
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

ADAM_BETAS = (0.9, 0.999)  # Paper's release.


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
    first_epoch = epochs_done(workdir) if config.run.resume else 0
    if not config.run.resume and (workdir / STATE_NAME).exists():
        raise UserError(f"workdir {workdir} holds another run; choose a new folder, or turn resume on")
    keras.utils.set_random_seed(config.run.seed)
    strategy = make_strategy(config.run.strategy, config.optimization.batch_size)
    with strategy.scope():
        network = build_network(config)
        trainer = TrainingModel(network, _half_body_minimum(config.augmentation))
    spec = pose_spec(network)
    source = training_source(config, spec)
    validation = _validation_source(config.data, spec)
    print(f"training annotations: {source.summary()}")
    if validation:
        print(f"validation annotations: {validation.summary()}")
    batches, steps = training_dataset(
        source,
        config.optimization.batch_size,
        config.augmentation,
        config.run.seed,
        config.data.shuffle_buffer,
        first_epoch,
    )
    with strategy.scope():
        trainer.compile(optimizer=make_optimizer(config, steps))
        trainer.optimizer.build(network.trainable_variables)
    with _damage_named(source):
        jit_compile = _choose_jit(config, trainer, batches, steps, strategy)
        examples = _examples(batches, config.run.picture_count)
    if first_epoch:
        trainer.load_weights(workdir / WEIGHTS_NAME)
        print(f"going on after epoch {first_epoch} of {config.optimization.epochs}")
    trainer.jit_compile = jit_compile
    report = EpochReport(
        workdir,
        config.optimization.epochs,
        _evaluation(config, network, validation),
        examples,
    )
    print(
        f"training {network.name} ({network.count_params():,} parameters) on {source.count} persons, "
        f"{steps} steps an epoch, {strategy.num_replicas_in_sync} device(s)",
        flush=True,
    )
    with _damage_named(source, validation):
        trainer.fit(
            batches,
            epochs=config.optimization.epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=steps,
            shuffle=False,  # The pipeline does it; Keras warns where it is left at True.
            callbacks=[NonFiniteLossGuard(steps), report],
        )
    best = workdir / "best.keras"
    model = best if best.exists() else workdir / "last.keras"
    persons = None if validation is None else validation.persons
    warnings = [each.reading.warning() for each in (source, validation) if isinstance(each, ImageSource)]
    return TrainingResult(workdir, model, report.rows, dict(source.skipped), persons, tuple(filter(None, warnings)))


@contextlib.contextmanager
def _damage_named(*sources: PatchSource | None) -> Iterator[None]:
    """Raises the UserError behind an error of TensorFlow's: a graph cannot raise it as itself."""
    try:
        yield
    except tf.errors.OpError as error:
        for source in sources:
            if source is not None and source.error:
                # A new one: TensorFlow keeps the source for good, and its error would keep the frames it is raised in.
                raise UserError(str(source.error)) from error
        raise


def epochs_done(workdir: Path) -> int:
    """How many epochs the run in a folder has finished; 0 for a new folder."""
    state = workdir / STATE_NAME
    return int(read_json(state)["epochs_done"]) if state.exists() else 0


def build_network(config: TrainingConfig) -> keras.Model:
    """The network to train: new, or the initial model's.

    Raises:
        UserError: as `build_pose_model`; or an initial model that does not fit the other options.
    """
    network = load_model(config.model.initial_model) if config.model.initial_model else _new_network(config)
    for prefix in config.model.frozen_layers:
        layers = [layer for layer in network.layers if layer.name.startswith(prefix)]
        if not layers:
            raise UserError(f"frozen_layers: no layer of {network.name} begins with {prefix!r}")
        for layer in layers:
            layer.trainable = False
    return network


def _new_network(config: TrainingConfig) -> keras.Model:
    model = config.model
    weights = None if model.backbone_weights in ("", "none") else model.backbone_weights
    foreign = weights is not None and weights != "imagenet" and is_checkpoint(weights)
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise UserError(f"backbone_weights {weights}: no such file; imagenet and none are the other choices")
    network = build_pose_model(
        model.backbone,
        None if foreign else weights,
        input_size=model.input_size,
        skeleton=model.skeleton,
        deconv_filters=model.deconv_filters,
        deconv_kernels=model.deconv_kernels,
        sigma=model.sigma,
        alpha=model.alpha,
        precision=config.run.precision,
    )
    if foreign and weights:
        print(load_backbone_weights(network, weights))
    return network


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


def training_source(config: TrainingConfig, spec: PoseSpec) -> PatchSource:
    """The prepared shards, or the images themselves.

    Raises:
        UserError: they do not fit the model, or hold fewer persons than a batch.
    """
    source, batch_size = _patch_source(config, spec), config.optimization.batch_size
    if batch_size > source.count:
        raise UserError(f"batch_size is {batch_size}, but there are only {source.count} persons to train on")
    return source


def _patch_source(config: TrainingConfig, spec: PoseSpec) -> PatchSource:
    data = config.data
    if data.prepared:
        folder = Path(data.prepared)
        manifest = read_manifest(folder)
        check_manifest(manifest, spec.skeleton, spec.input_size, config.augmentation)
        return PreparedSource(folder, manifest)
    persons = _annotations(data, data.annotations, data.images, spec)
    if data.maximum_persons:
        persons = persons.limited(data.maximum_persons)
    if not persons.persons:
        raise UserError(f"{data.annotations}: no person with a labelled keypoint ({persons.summary()})")
    settings = PatchSettings.for_training(spec.input_size, config.augmentation, spec.skeleton.upper_body)
    return ImageSource(persons, Path(data.images), settings, data.skip_damaged, ImageReading(data.orientation))


def _annotations(data: TrainingDataConfig, annotations: str, images: str, spec: PoseSpec) -> PersonSet:
    return load_annotations(
        annotations,
        images,
        spec.skeleton,
        trust_keypoint_order=data.trust_keypoint_order,
        boxes_from_keypoints=data.boxes_from_keypoints,
    )


def _half_body_minimum(augmentation: AugmentationConfig) -> int:
    return augmentation.half_body_minimum if augmentation.half_body_probability > 0 else 0


def _validation_source(data: TrainingDataConfig, spec: PoseSpec) -> ImageSource | None:
    if not data.validation_annotations:
        return None
    persons = _annotations(data, data.validation_annotations, data.validation_images, spec)
    if not persons.persons:
        raise UserError(f"{persons.path}: no person with a labelled keypoint ({persons.summary()})")
    settings = PatchSettings.for_validation(spec.input_size)
    return ImageSource(
        persons, Path(data.validation_images), settings, data.skip_damaged, ImageReading(data.orientation)
    )


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


def _examples(batches: tf.data.Dataset, count: int) -> dict[str, Any] | None:
    if not count:
        return None
    batch = next(iter(batches))
    return {name: value[:count] for name, value in batch.items()}


def _choose_jit(
    config: TrainingConfig, trainer: TrainingModel, batches: Any, steps: int, strategy: tf.distribute.Strategy
) -> bool:
    """Times the step if asked to; batch statistics that the timing moved are put back."""

    def step(batch: dict[str, Any]) -> Any:
        loss, gradients, _ = trainer.gradient_step(batch)
        return loss + tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])

    before = [keras.ops.convert_to_numpy(variable) for variable in trainer.network.non_trainable_variables]
    total = config.optimization.epochs * steps
    choice, why = choose_jit_compile(config.run.jit_compile, total, step, batches, strategy)
    for variable, value in zip(trainer.network.non_trainable_variables, before, strict=True):
        variable.assign(value)
    print(f"XLA for the training step: {'on' if choice else 'off'} ({why})")
    return choice
