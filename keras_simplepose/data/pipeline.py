"""tf.data from prepared shards, or from the images themselves, to batches of patches with drawn transformations."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core.arrays import Tensor
from keras_simplepose.data.appearance import draw_appearance
from keras_simplepose.data.augment import draw_transformation, identity_transformation
from keras_simplepose.data.patches import PatchSettings, make_patch
from keras_simplepose.data.persons import PersonSet, to_int64
from keras_simplepose.data.prepared_set import Manifest, decode_patch, parse_examples
from keras_simplepose.data.service import served
from keras_simplepose.media.images import read_image
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.utils.errors import UserError

SHUFFLE_BYTES = 256 * 2**20  # Most memory the shuffling of decoded patches may take.
READERS = 4  # Shards read side by side.
GROUP = 16  # Records read by one operation.


class PatchSource(Protocol):
    """Where patches come from.

    Attributes:
        folder: of the files behind them.
        skipped: damaged images passed over, by file name, with the reason.
        error: the fault that ended a pass; a graph cannot raise it as itself.
    """

    folder: Path
    skipped: dict[str, str]
    error: UserError | None

    @property
    def count(self) -> int:
        """The number of persons."""
        ...

    @property
    def settings(self) -> PatchSettings:
        """Of the patches, whose size is P."""
        ...

    @property
    def tells_occlusion(self) -> bool:
        """As `PersonSet.tells_occlusion`."""
        ...

    def summary(self) -> str:
        """One line on the persons and on what was left out, as `PersonSet.summary`."""

    def serial(self, seed: Tensor | int, shuffle_buffer: int) -> tf.data.Dataset:
        """One pass over all persons, perhaps undecoded: in the order of the seed, or as stored if the buffer is 0."""
        ...

    def fingerprint(self) -> str:
        """Of what the persons are, for a run that goes on to know them again."""
        ...

    def decode(self, element: Any) -> dict[str, tf.Tensor]:
        """An element of `serial` decoded: image [≤ P, ≤ P, 3] uint8; keypoints, visible, center, crop_width, index."""
        ...


@dataclass
class PreparedSource:
    """The shards that `prepare` wrote.

    Attributes:
        folder: where they are.
        manifest: what they hold.
        skipped: nothing; `prepare` has passed over what was damaged.
        error: none that TensorFlow does not raise itself.
    """

    folder: Path
    manifest: Manifest
    skipped: dict[str, str] = field(default_factory=dict)
    error: UserError | None = None

    @property
    def count(self) -> int:
        """The number of persons."""
        return self.manifest.count

    @property
    def settings(self) -> PatchSettings:
        """Of the patches."""
        return self.manifest.settings

    @property
    def tells_occlusion(self) -> bool:
        """What the manifest says of the keypoints' flags."""
        return self.manifest.tells_occlusion

    def summary(self) -> str:
        """What the manifest says of the annotations."""
        return self.manifest.summary()

    def serial(self, seed: Tensor | int, shuffle_buffer: int) -> tf.data.Dataset:
        """Undecoded patches; shards in shuffled order, and patches within a buffer."""
        # Whole paths: a server of data has another working directory.
        names = [str(self.folder.absolute() / shard.name) for shard in self.manifest.shards]
        shards = _shuffled(tf.data.Dataset.from_tensor_slices(names), len(names) if shuffle_buffer else 0, seed)
        records = shards.interleave(tf.data.TFRecordDataset, cycle_length=READERS, block_length=16)
        groups = _shuffled(records, shuffle_buffer, seed).batch(GROUP)
        count, size = len(self.manifest.skeleton["keypoints"]), self.settings.size
        # One group after the other: side by side, within `flat_map`, servers of data on two cores stood still.
        return groups.map(lambda group: parse_examples(group, count, size)).unbatch()

    def fingerprint(self) -> str:
        """Of the manifest."""
        return hashlib.sha256(json.dumps(self.manifest.to_dict(), sort_keys=True).encode()).hexdigest()

    def decode(self, element: Any) -> dict[str, tf.Tensor]:
        """Decodes the picture."""
        return decode_patch(element, self.settings.size)


@dataclass
class ImageSource:
    """Photographs, each read once a pass however many persons it holds.

    Attributes:
        persons: the annotations.
        folder: of the images.
        settings: of the patches.
        skip_damaged: go on past images that cannot be read.
        reading: the frame to read images in; counts those with an EXIF orientation.
        skipped: what was passed over, by file name, with the reason.
        error: the first fault, which a graph cannot raise as itself.
    """

    persons: PersonSet
    folder: Path
    settings: PatchSettings
    skip_damaged: bool = False
    reading: ImageReading = field(default_factory=ImageReading)
    skipped: dict[str, str] = field(default_factory=dict)
    error: UserError | None = None

    def __post_init__(self):
        """Groups the persons by image."""
        self._groups = list(self.persons.by_image().items())

    @property
    def count(self) -> int:
        """The number of persons."""
        return len(self.persons.persons)

    @property
    def tells_occlusion(self) -> bool:
        """What the annotations' flags are."""
        return self.persons.tells_occlusion

    def summary(self) -> str:
        """What the annotations hold."""
        return self.persons.summary()

    def serial(self, seed: Tensor | int, shuffle_buffer: int) -> tf.data.Dataset:
        """Patches; images in wholly shuffled order, patches within a buffer of bounded memory."""
        numbers = tf.data.Dataset.range(len(self._groups))
        numbers = _shuffled(numbers, len(self._groups) if shuffle_buffer else 0, seed)
        size, keypoints = self.settings.size, self.persons.persons[0].keypoints.shape[0]
        shapes = {
            "image": (size, size, 3),
            "keypoints": (keypoints, 2),
            "visible": (keypoints,),
            "center": (2,),
            "crop_width": (),
            "index": (),
        }
        types = [tf.uint8, *[tf.float32] * 4, tf.int64]

        def load(number: Any) -> dict[str, tf.Tensor]:
            values = tf.numpy_function(self._patches, [number], types)
            return {
                name: tf.ensure_shape(value, (None, *shape))
                for (name, shape), value in zip(shapes.items(), values, strict=True)
            }

        patches = numbers.map(load, tf.data.AUTOTUNE, deterministic=True).unbatch()
        return _shuffled(patches, min(shuffle_buffer, max(1, SHUFFLE_BYTES // (size * size * 3))), seed)

    def fingerprint(self) -> str:
        """Of the persons' images and numbers."""
        digest = hashlib.sha256()
        for person in self.persons.persons:
            record = self.persons.images[person.image_id]
            text = f"{record.file_name} {record.width} {record.height} {person.annotation_id} {person.area} "
            digest.update(text.encode(errors="surrogateescape"))
            digest.update(np.array(person.box).tobytes() + person.keypoints.tobytes())
        return digest.hexdigest()

    def decode(self, element: Any) -> dict[str, tf.Tensor]:
        """The element itself."""
        return element

    def _patches(self, number: np.ndarray) -> list[np.ndarray]:
        """The patches of one image, stacked, each field an array."""
        image_id, persons = self._groups[int(number)]
        record, size = self.persons.images[image_id], self.settings.size
        try:
            path, stated = self.folder / record.file_name, (record.height, record.width)
            image = read_image(path, stated, self.reading.orientation, self.reading.orientations)
        except UserError as error:
            if not self.skip_damaged:
                self.error = self.error or error
                raise
            self.skipped[record.file_name] = str(error)
            if len(self.skipped) == len({self.persons.images[number].file_name for number, _ in self._groups}):
                self.error = UserError(f"{self.folder}: none of the {len(self.skipped)} images can be read; {error}")
                raise self.error from error
            persons = []
        patches = [make_patch(image, person, self.settings) for person in persons]
        squares = np.zeros((len(patches), size, size, 3), np.uint8)
        for square, patch in zip(squares, patches, strict=True):
            square[: patch.image.shape[0], : patch.image.shape[1]] = patch.image
        count = self.persons.persons[0].keypoints.shape[0]
        return [
            squares,
            np.array([patch.keypoints for patch in patches], np.float32).reshape(-1, count, 2),
            np.array([patch.visible for patch in patches], np.float32).reshape(-1, count),
            np.array([patch.center for patch in patches], np.float32).reshape(-1, 2),
            np.array([patch.crop_width for patch in patches], np.float32),
            np.array([to_int64(person.annotation_id) for person in persons], np.int64),
        ]


def training_dataset(
    source: PatchSource,
    batch_size: int,
    augmentation: AugmentationConfig,
    seed: int,
    shuffle_buffer: int,
    first_step: int = 0,
    services: Sequence[str] = (),
) -> tuple[tf.data.Dataset, int]:
    """Endless batches for training, the same for the same seed, whoever else looks at them and on any devices.

    Every epoch holds every person once; its last batch, which the release leaves partial, is filled up with a
    few persons drawn anew, so that batches have one shape (an XLA program each otherwise). Order and drawings are
    functions of the seed and the step alone.

    Args:
        source: of the patches.
        batch_size: B, over all devices.
        augmentation: what is drawn.
        seed: of shuffling and drawing.
        shuffle_buffer: persons held to be shuffled.
        first_step: to go on from, as an uninterrupted run would.
        services: addresses of `data.service`, which then do all of it, in turns; the batches are the same. Only for
            sources that graphs alone read: `PreparedSource`.

    Returns:
        the dataset and its steps per epoch. Elements are dictionaries: the patch fields with a leading B; the
        fields of `Transformation`; those of `Appearance` that are drawn; data_wait [B] float32, the seconds this batch
        was waited for.
    """
    steps = -(-source.count // batch_size)
    first_epoch, steps_done = divmod(first_step, steps)

    @tf.autograph.experimental.do_not_convert
    def epoch(number: Tensor) -> tf.data.Dataset:
        tf.random.set_seed(1)  # Of this graph alone: whatever the caller's is, the order does not depend on it.
        # Below 0, where no step's key for the drawings is.
        key = tf.stack([tf.cast(seed, tf.int64), -1 - number])
        order, filling = tf.unstack(tf.random.stateless_uniform([2], key, 0, np.iinfo(np.int32).max, tf.int64))
        once = source.serial(order, shuffle_buffer)
        # Endless: where damaged images are passed over, more than a batch is missing.
        return once.concatenate(source.serial(filling, min(shuffle_buffer, batch_size)).repeat()).take(
            steps * batch_size
        )

    epochs = tf.data.Dataset.range(first_epoch, np.iinfo(np.int64).max)

    def with_transformation(batch: dict[str, Any], step: Any) -> dict[str, Any]:
        drawn = draw_transformation(seed, step, batch_size, augmentation).to_dict()
        return batch | drawn | draw_appearance(seed, step, batch_size, augmentation).to_dict()

    def batches_of(part: int, parts: int) -> tf.data.Dataset:
        """Those of every so many steps, with their numbers."""
        patches = epochs.flat_map(epoch).skip(steps_done * batch_size)
        if parts > 1:  # Before what takes time.
            patches = patches.batch(batch_size).shard(parts, part).unbatch()
        patches = patches.map(source.decode, tf.data.AUTOTUNE, deterministic=True)
        numbers = tf.data.Dataset.range(first_step + part, np.iinfo(np.int64).max, parts)
        batches = tf.data.Dataset.zip(_batched(patches, source, batch_size), numbers)
        return batches.map(lambda batch, step: with_transformation(batch, step) | {"step": step})

    if services:
        batches = served(batches_of, services, first_step)
    else:
        batches = batches_of(0, 1).map(lambda batch: {name: batch[name] for name in batch if name != "step"})
    return timed(batches.prefetch(2), batch_size), steps


def _shuffled(dataset: tf.data.Dataset, buffer: int, seed: Tensor | int) -> tf.data.Dataset:
    """In an order that the seed alone decides; as it is for a buffer of 0."""
    # Reshuffling would give each iterator that is opened, by whomever, the next order.
    return dataset.shuffle(buffer, seed, reshuffle_each_iteration=False) if buffer else dataset


def validation_dataset(source: PatchSource, batch_size: int) -> tf.data.Dataset:
    """Plain crops of every person once, in order; the last batch is padded with patches of `example_weight` 0.

    Elements are as those of `training_dataset`, with example_weight [B] float32 in place of data_wait.
    """

    def weighted(weight: float) -> tf.data.Dataset:
        return patches.map(lambda patch: patch | {"example_weight": tf.constant(weight)})

    def plain(batch: dict[str, Any]) -> dict[str, Any]:
        return batch | identity_transformation(batch_size).to_dict()

    patches = source.serial(0, 0).map(source.decode, tf.data.AUTOTUNE)
    # Padding also takes the places of persons whose damaged images are passed over: the number of batches is fixed.
    padded = weighted(1.0).concatenate(weighted(0.0).repeat())
    batches = _batched(padded, source, batch_size).take(-(-source.count // batch_size))
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.map(plain).prefetch(2).with_options(options)


def _batched(patches: tf.data.Dataset, source: PatchSource, batch_size: int) -> tf.data.Dataset:
    """Whole batches of patches, each made a square of P pixels, black right of and below it.

    Padding as they are put together saves a pass over memory: 1.8 times the patches per second of padding each first.
    """
    shapes = {name: spec.shape for name, spec in patches.element_spec.items()}
    shapes["image"] = (source.settings.size, source.settings.size, 3)
    return patches.padded_batch(batch_size, shapes, drop_remainder=True)


def timed(dataset: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
    """Adds data_wait [B] to batches of B: the clock is read before and after each is fetched, zip being in order."""
    clock = tf.data.Dataset.range(np.iinfo(np.int64).max).map(lambda _: tf.timestamp())
    timed = tf.data.Dataset.zip(clock, dataset, clock)

    def add(before: Any, batch: dict[str, Any], after: Any) -> dict[str, Any]:
        return batch | {"data_wait": tf.fill([batch_size], tf.cast(after - before, tf.float32))}

    options = tf.data.Options()
    options.experimental_optimization.inject_prefetch = False  # It would hide the wait in a thread.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return timed.map(add).with_options(options)
