"""The persons a run trains on and is measured on."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from keras_simplepose.config import OptimizationConfig, TrainingConfig, TrainingDataConfig
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.pipeline import ImageSource, PatchSource, PreparedSource
from keras_simplepose.data.prepared_set import check_manifest, damaged_shard, read_manifest
from keras_simplepose.data.service import check_services, service_fault
from keras_simplepose.media.images import check_image_folder
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.visibility import VisibilityScaling
from keras_simplepose.utils.errors import UserError

# What a wrong checksum, and wrong content, are answered with.
DAMAGE = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)
# What a server of data that is gone, or is none, is answered with; InvalidArgumentError: batches out of order.
SERVICE_ERRORS = (
    *(tf.errors.UnavailableError, tf.errors.NotFoundError, tf.errors.FailedPreconditionError, tf.errors.AbortedError),
    *(tf.errors.DeadlineExceededError, tf.errors.InvalidArgumentError, tf.errors.CancelledError),
)


def training_source(config: TrainingConfig, spec: PoseSpec) -> PatchSource:
    """The prepared shards, or the images themselves.

    Raises:
        UserError: they do not fit the model, or hold fewer persons than a batch.
    """
    source, batch_size = _patch_source(config, spec), config.optimization.batch_size
    if batch_size > source.count:
        raise UserError(f"batch_size is {batch_size}, but there are only {source.count} persons to train on")
    return source


def check_flags(source: PatchSource, config: TrainingConfig, head: VisibilityScaling | None = None) -> None:
    """Checks that the keypoints' flags tell occluded ones from visible ones where an option needs that.

    Args:
        source: of the persons.
        config: the options.
        head: of the network.

    Raises:
        UserError: naming the option and what to do.
    """
    needing = {
        "occluded_weight": config.optimization.occluded_weight != OptimizationConfig.occluded_weight,
        "visibility_head=visible": head is not None and head.needs_occlusion,
    }
    option = next((name for name, needs in needing.items() if needs), "")
    if not option or source.tells_occlusion:
        return
    what = f"{option} needs keypoints that are told to be visible (v = 2), and {source.folder}"
    if isinstance(source, PreparedSource):
        raise UserError(
            f"{what} holds none: it was prepared by an earlier version, or from annotations without; prepare it anew "
            "from annotations that have v = 2"
        )
    raise UserError(f"{what} has none in its annotations; leave the option out, or take annotations that have v = 2")


def _patch_source(config: TrainingConfig, spec: PoseSpec) -> PatchSource:
    data = config.data
    if data.prepared:
        folder = Path(data.prepared)
        manifest = read_manifest(folder)
        check_manifest(manifest, spec.skeleton, spec.input_size, config.augmentation)
        check_services(data.data_service)
        return PreparedSource(folder, manifest)
    persons = _annotations(data, data.annotations, data.images, spec)
    if data.maximum_persons:
        persons = persons.limited(data.maximum_persons)
    if not persons.persons:
        raise UserError(f"{data.annotations}: no person with a labelled keypoint ({persons.summary()})")
    if not data.skip_damaged:
        _check_presence(persons, data.images)
    settings = PatchSettings.for_training(spec.input_size, config.augmentation, spec.skeleton.upper_body)
    return ImageSource(persons, Path(data.images), settings, data.skip_damaged, ImageReading(data.orientation))


def _annotations(data: TrainingDataConfig, annotations: str, images: str, spec: PoseSpec) -> PersonSet:
    check_image_folder(images)
    return load_annotations(
        annotations,
        images,
        spec.skeleton,
        trust_keypoint_order=data.trust_keypoint_order,
        boxes_from_keypoints=data.boxes_from_keypoints,
        follow_paths=data.follow_paths,
    )


def _check_presence(persons: PersonSet, folder: str) -> None:
    """Refuses a set whose images are not all there, now rather than after hours."""
    names = [persons.images[identifier].file_name for identifier in persons.by_image()]
    missing = [name for name in names if not os.path.exists(os.path.join(folder, name))]
    if missing:
        others = f", nor are {len(missing) - 1:,} others of {len(names):,}" if len(missing) > 1 else ""
        raise UserError(f"{os.path.join(folder, missing[0])}: there is no such image{others}")


def validation_source(data: TrainingDataConfig, spec: PoseSpec) -> ImageSource | None:
    """The images of the validation set, None if there is none.

    Raises:
        UserError: it does not fit the model, or holds no labelled person.
    """
    if not data.validation_annotations:
        return None
    persons = _annotations(data, data.validation_annotations, data.validation_images, spec)
    if not persons.persons:
        raise UserError(f"{persons.path}: no person with a labelled keypoint ({persons.summary()})")
    if not data.skip_damaged:
        _check_presence(persons, data.validation_images)
    settings = PatchSettings.for_validation(spec.input_size)
    return ImageSource(
        persons, Path(data.validation_images), settings, data.skip_damaged, ImageReading(data.orientation)
    )


@contextlib.contextmanager
def damage_named(*sources: PatchSource | None, is_served: bool = False) -> Iterator[None]:
    """Raises the UserError behind an error of TensorFlow's: a graph cannot raise it as itself.

    Args:
        *sources: of the data.
        is_served: they come through the data service.
    """
    try:
        yield
    except tf.errors.OpError as error:
        for source in sources:
            if isinstance(source, PreparedSource) and isinstance(error, DAMAGE):
                fault = damaged_shard(source.folder, source.manifest)  # TensorFlow names a place, but no file.
                source.error = UserError(f"{fault}; prepare the set anew") if fault else None
            if source is not None and source.error:
                # A new one: TensorFlow keeps the source for good, and its error would keep the frames it is raised in.
                raise UserError(str(source.error)) from error
        if is_served and isinstance(error, SERVICE_ERRORS):
            raise UserError(service_fault(error)) from error
        raise
