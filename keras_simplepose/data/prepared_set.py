"""Prepared sets: person patches in TFRecord shards, and the manifest that vouches for them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core.skeletons import Skeleton, skeleton_from_dict
from keras_simplepose.data.patch_files import EncodedPatch, encode_patch
from keras_simplepose.data.patches import Patch, PatchSettings
from keras_simplepose.data.persons import Person, summary_line, to_int64
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import read_json, write_json

FORMAT_VERSION = 1
LARGEST_NUMBER = 1e9  # Pixels; no patch has a joint so far away.
MOST_FEATURES = 100  # Of an example, which has nine.
MANIFEST = "manifest.json"


def serialize(patch: Patch, person: Person, jpeg_quality: int) -> bytes:
    """A patch and its person as a serialised `tf.train.Example`; `parse` reads it back."""
    return serialize_encoded(encode_patch(patch, person, jpeg_quality))


def serialize_encoded(encoded: EncodedPatch) -> bytes:
    """As `serialize`, of a patch whose pixels are coded already."""

    def floats(values: Any) -> tf.train.Feature:
        return tf.train.Feature(float_list=tf.train.FloatList(value=np.ravel(values)))

    def integer(value: int) -> tf.train.Feature:
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    patch, person = encoded.patch, encoded.person
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded.jpeg])),
        "keypoints": floats(patch.keypoints),
        "visible": floats(patch.visible),
        "center": floats(patch.center),
        "crop_width": floats(patch.crop_width),
        "matrix": floats(patch.matrix),
        "area": floats(person.area),
        "image_id": integer(to_int64(person.image_id)),
        "annotation_id": integer(to_int64(person.annotation_id)),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def parse(serialized: tf.Tensor, keypoint_count: int, largest: int) -> dict[str, tf.Tensor]:
    """Reads one serialised example, as `parse_examples` and `decode_patch` do.

    Args:
        serialized: scalar string.
        keypoint_count: K.
        largest: P, the most pixels of a side.
    """
    examples = parse_examples(tf.reshape(serialized, [1]), keypoint_count, largest)
    return decode_patch({name: value[0] for name, value in examples.items()}, largest)


def parse_examples(serialized: tf.Tensor, keypoint_count: int, largest: int) -> dict[str, tf.Tensor]:
    """Reads N serialised examples; runs inside `tf.data`. What is none of ours ends in `tf.errors.OpError`.

    TensorFlow's parser of examples quotes what it cannot read, in bytes that are no text, and such an error has ended
    the process. These operations quote nothing. For one example they take .1 ms longer, for a group no longer.

    Args:
        serialized: [N] string, N > 0.
        keypoint_count: K.
        largest: P, the most pixels of a side.

    Returns:
        "image" [N] string, a JPEG; "keypoints" [N, K, 2] float32 (x, y) and "visible" [N, K] float32, as
        `Person.visible`; "center" [N, 2] and "crop_width" [N] float32 of the plain crop, all in patch pixels; "index"
        [N] int64, the annotation's id.
    """
    shapes = {"keypoints": (keypoint_count, 2), "visible": (keypoint_count,), "center": (2,), "crop_width": ()}
    lengths, count = [math.prod(shape) for shape in shapes.values()], len(shapes)
    with tf.control_dependencies([_assertion(tf.strings.length(serialized) <= 6 * largest**2 + 2**16)]):
        features, is_whole = _features(tf.identity(serialized), [*shapes, "image", "annotation_id"])
    kinds = _decoded(features, "Feature", float_list=tf.string, bytes_list=tf.string, int64_list=tf.string).values
    floats, strings, integers = (values[..., 0] for values in kinds)
    sizes, (numbers,) = _decoded(floats[:, :count], "FloatList", value=tf.float32)
    string_sizes, (images,) = _decoded(strings[:, count : count + 1], "BytesList", value=tf.string)
    integer_sizes, (indices,) = _decoded(integers[:, count + 1 :], "Int64List", value=tf.int64)
    sizes = tf.concat([sizes, string_sizes, integer_sizes], 1)[..., 0]
    _, _, _, widths = values = [numbers[:, place, :length] for place, length in enumerate(lengths)]
    # Neither NaN nor infinity is less.
    passed = (is_whole, sizes == [*lengths, 1, 1], tf.abs(numbers) < LARGEST_NUMBER, widths > 0)
    with tf.control_dependencies([_assertion(*passed)]):
        examples = {"image": tf.identity(images[:, 0, 0]), "index": indices[:, 0, 0]}
    named = zip(shapes.items(), values, strict=True)
    return examples | {name: tf.reshape(value, (-1, *shape)) for (name, shape), value in named}


def decode_patch(example: Mapping[str, tf.Tensor], largest: int) -> dict[str, tf.Tensor]:
    """One of `parse_examples` with "image" [h, w, 3] uint8 RGB, h and w at most `largest`."""
    # Looked at before it is decoded: it would take all the memory that its header asks for.
    fits = tf.io.extract_jpeg_shape(example["image"])[:2] <= largest
    # The default is the fast transform, which is 14 % further from the pixels (quality 95) and no faster with SIMD.
    with tf.control_dependencies([_assertion(fits)]):
        image = tf.io.decode_jpeg(example["image"], channels=3, dct_method="INTEGER_ACCURATE")
    return {**example, "image": image}


def _features(serialized: tf.Tensor, names: Sequence[str]) -> tuple[tf.Tensor, tf.Tensor]:
    """The features of those F names [N, F], serialised, in N examples; and whether each is there once [N, F]."""
    (features,) = _decoded(serialized, "Example", features=tf.string).values
    counts, (entries,) = _decoded(features[:, 0], "Features", feature=tf.string)
    with tf.control_dependencies([_assertion(counts <= MOST_FEATURES)]):  # They are stored as the most of any N times.
        entries = tf.identity(entries)
    keys, values = _decoded(entries, "Features.FeatureEntry", key=tf.string, value=tf.string).values
    is_named = tf.equal(tf.constant(names)[:, None], keys[:, None, :, 0])
    is_whole = tf.math.count_nonzero(is_named, 2) == 1
    return tf.gather(values[..., 0], tf.argmax(is_named, 2), batch_dims=1), is_whole


def _decoded(messages: tf.Tensor, kind: str, **fields: tf.DType) -> Any:
    """Fields of serialised messages [...]: sizes [..., fields], and values [..., the most of any] of each."""
    return tf.io.decode_proto(messages, f"tensorflow.{kind}", [*fields], [*fields.values()])


def _assertion(*passed: tf.Tensor) -> tf.Operation:
    """A plain operation: those of `tf.debugging` branch, which takes as long as reading an example."""
    holds = tf.reduce_all(tf.stack([tf.reduce_all(each) for each in passed]))
    return tf.raw_ops.Assert(condition=holds, data=["the example is none of a prepared set"])


@dataclass(frozen=True)
class Shard:
    """A TFRecord file: its name in the set's folder, how many persons and how many bytes it holds."""

    name: str
    count: int
    bytes: int


@dataclass(frozen=True)
class Skipped:
    """An image that was left out because it could not be read: its file name, why, and how many persons it cost."""

    file_name: str
    fault: str
    persons: int


@dataclass(frozen=True)
class Manifest:
    """What a prepared set holds and what it was made of; its last file to be written.

    Attributes:
        count: persons in all shards.
        shards: the files.
        skipped: images left out on request.
        left_out: annotations left out by the reader's rules, by reason.
        skeleton: of the keypoints, as `Skeleton.to_dict` gives it.
        settings: of the patches.
        augmentation: what they were made wide enough for: the fields of `AugmentationConfig`.
        annotations: name of the annotation file.
        annotations_sha256: hash of that file.
        jpeg_quality: of the patches.
        seed: of the order.
        notes: values of annotations that were estimated or put right, by what was done.
        remarks: what was done about the keypoints' order, if anything.
        tells_occlusion: as `PersonSet.tells_occlusion`; sets of earlier versions do not.
        format_version: of this manifest and the examples.
    """

    count: int
    shards: tuple[Shard, ...]
    skipped: tuple[Skipped, ...]
    left_out: Mapping[str, int]
    skeleton: Mapping[str, Any]
    settings: PatchSettings
    augmentation: Mapping[str, Any]
    annotations: str
    annotations_sha256: str
    jpeg_quality: int
    seed: int
    notes: Mapping[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    tells_occlusion: bool = False
    format_version: int = FORMAT_VERSION

    @property
    def bytes(self) -> int:
        """Size of all shards."""
        return sum(shard.bytes for shard in self.shards)

    def to_dict(self) -> dict[str, Any]:
        """The manifest as JSON-serialisable values."""
        values = asdict(self) | {"settings": self.settings.to_dict()}
        if not self.tells_occlusion:  # As in earlier versions, so that their sets keep their fingerprints.
            del values["tells_occlusion"]
        return values

    def summary(self) -> str:
        """One line, as `PersonSet.summary`."""
        return summary_line(self.count, self.left_out, self.notes, self.remarks)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Manifest":
        """Reads what `to_dict` wrote.

        Raises:
            KeyError, TypeError, ValueError or UserError: a value is missing or wrong.
        """
        nested = {
            "shards": tuple(Shard(**shard) for shard in values["shards"]),
            "skipped": tuple(Skipped(**skipped) for skipped in values["skipped"]),
            "remarks": tuple(values.get("remarks", ())),
            "settings": PatchSettings.from_dict(values["settings"]),
        }
        skeleton_from_dict(values["skeleton"])  # Only to check it.
        return cls(**(dict(values) | nested))


class ShardWriter:
    """Writes examples to one TFRecord file after the other, `persons_per_shard` to each."""

    def __init__(self, folder: Path, persons_per_shard: int):
        """Begins with no file; `folder` must exist."""
        self.shards: list[Shard] = []
        self._folder, self._limit = folder, persons_per_shard
        self._writer: tf.io.TFRecordWriter | None = None
        self._name, self._count = "", 0

    def __enter__(self) -> "ShardWriter":
        """Enters the context that closes the last file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the last file; when an error is under way, that one is the one to hear of."""
        try:
            self._finish()
        except OSError:
            if error is None:
                raise

    def write(self, example: bytes) -> None:
        """Appends one serialised example.

        Raises:
            OSError: it cannot be written.
        """
        try:
            if self._writer is None:
                self._name, self._count = f"shard-{len(self.shards):05d}.tfrecord", 0
                self._writer = tf.io.TFRecordWriter(str(self._folder / self._name))
            self._writer.write(example)
        except tf.errors.OpError as error:
            raise OSError(error.message) from error
        self._count += 1
        if self._count == self._limit:
            self._finish()

    def _finish(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            writer.close()
        except tf.errors.OpError as error:
            raise OSError(error.message) from error
        self.shards.append(Shard(self._name, self._count, (self._folder / self._name).stat().st_size))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest into the set's folder."""
    write_json(folder / MANIFEST, manifest.to_dict())


def read_manifest(folder: str | Path) -> Manifest:
    """Reads a prepared set's manifest and checks that every shard is there, with the size it was written with.

    Raises:
        UserError: there is no set, it is of another version of this library, or a file is missing or damaged.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: no prepared set ({MANIFEST} is missing); make one with keras_simplepose.prepare")
    values = read_json(path)
    version = values.get("format_version") if isinstance(values, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: has format {shown(version)}; this version reads {FORMAT_VERSION}; prepare the set anew"
        )
    try:
        manifest = Manifest.from_dict(values)
        _check_types(manifest)
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, UserError) as error:
        raise UserError(f"{path}: is damaged ({str(error)[:150]}); prepare the set anew") from error
    names = [shard.name for shard in manifest.shards]
    for name in names:
        if names.count(name) > 1 or Path(name).name != name or len(name) > 200 or "\0" in name:
            fault = "twice" if names.count(name) > 1 else "as a file elsewhere"
            raise UserError(f"{path}: lists shard {shown(name)} {fault}; prepare the set anew")
    for shard in manifest.shards:
        size = (folder / shard.name).stat().st_size if (folder / shard.name).is_file() else None
        if size != shard.bytes:
            fault = "is missing" if size is None else f"has {size} bytes instead of {shown(shard.bytes)}"
            raise UserError(f"{folder / shard.name}: {fault}; prepare the set anew")
    if manifest.count != sum(shard.count for shard in manifest.shards) or manifest.count < 1:
        raise UserError(f"{path}: is damaged (its counts disagree); prepare the set anew")
    for shard in manifest.shards:
        count = record_count(folder / shard.name)
        if count != shard.count:
            fault = "is damaged" if count is None else f"holds {count} persons, its manifest says {shown(shard.count)}"
            raise UserError(f"{folder / shard.name}: {fault}; prepare the set anew")
    return manifest


def _check_types(manifest: Manifest) -> None:
    """Checks what is worked with before it is.

    Raises:
        TypeError: naming the value.
    """
    for shard in manifest.shards:
        for value, kind in ((shard.name, str), (shard.count, int), (shard.bytes, int)):
            if type(value) is not kind:
                raise TypeError(f"a shard has {shown(value)}")
    if type(manifest.count) is not int or type(manifest.seed) is not int:
        raise TypeError(f"its count is {shown(manifest.count)}, its seed {shown(manifest.seed)}")
    if type(manifest.tells_occlusion) is not bool:
        raise TypeError(f"its tells_occlusion is {shown(manifest.tells_occlusion)}")
    for table in (manifest.left_out, manifest.notes):
        if not isinstance(table, Mapping) or not all(type(number) is int for number in table.values()):
            raise TypeError(f"it counts {shown(table)}")


def record_count(path: Path) -> int | None:
    """How many records a TFRecord file has, by their lengths alone; None if these do not lead to its end.

    A record is its length in 8 bytes, 4 of a checksum, the data, and 4 of another checksum.
    """
    size, place, count = path.stat().st_size, 0, 0
    with open(path, "rb") as file:
        while place < size:
            file.seek(place)
            place += 16 + int.from_bytes(file.read(8), "little")
            count += 1
    return count if place == size else None


def damaged_shard(folder: Path, manifest: Manifest) -> str:
    """Which shard has a record with a wrong checksum or content, and in which place; "" if none has."""
    keypoints, largest = len(manifest.skeleton["keypoints"]), manifest.settings.size
    for shard in manifest.shards:
        records, count = tf.data.TFRecordDataset(str(folder / shard.name)), 0
        try:
            for _ in records.map(
                lambda record: parse(record, keypoints, largest), tf.data.AUTOTUNE, deterministic=True
            ):
                count += 1
        except tf.errors.OpError:
            return f"{folder / shard.name}: record {count + 1} of {shard.count} is damaged"
    return ""


def check_manifest(
    manifest: Manifest, skeleton: Skeleton, input_size: tuple[int, int], augmentation: AugmentationConfig
) -> None:
    """Checks that a prepared set serves a training run.

    Raises:
        UserError: it is of another skeleton or input size, or its patches are too small for the augmentation.
    """
    if tuple(manifest.skeleton["keypoints"]) != skeleton.keypoints:
        raise UserError(
            f"the prepared set has the keypoints of skeleton {manifest.skeleton['name']}, the model those of "
            f"{skeleton.name}; prepare another set or change skeleton"
        )
    there, wanted = manifest.settings, PatchSettings.for_training(input_size, augmentation, skeleton.upper_body)
    if there.input_size != wanted.input_size:
        raise UserError(
            f"the prepared set is for inputs of {there.input_size[0]},{there.input_size[1]}, the model takes "
            f"{wanted.input_size[0]},{wanted.input_size[1]}; prepare another set or change input_size"
        )
    if not there.covers(wanted):
        fault = "half-body crops" if there.reach >= wanted.reach - 1e-6 else "scale, rotation and shift"
        raise UserError(
            f"the prepared set's patches are too small for the augmentation's {fault} "
            f"(they reach {there.reach:.2f} crop widths, {wanted.reach:.2f} are asked for); "
            "prepare it anew with the same options"
        )
