"""Files and values of strangers: whatever they hold, the answer is a result or one short line, never a traceback.

Fast with some cases for each kind, with thousands by `pytest -m slow tests/test_fuzz.py`.
"""

import json
import math

import cv2
import numpy as np
import pytest
import tensorflow as tf
from exports import coco_tables, cvat_xml, label_studio_tasks, pictures, write_yolo
from fuzzing import COUNTS, fuzz, huge_jpeg, jpeg
from hypothesis import strategies as st

from keras_simplepose import config
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.skeletons import COCO17, load_skeleton
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.data.coco import read_detections
from keras_simplepose.data.imports.importing import Imported, import_data
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.pipeline import PreparedSource
from keras_simplepose.data.prepared_set import MANIFEST, Manifest, Shard, damaged_shard, read_manifest
from keras_simplepose.flags import CommandLine
from keras_simplepose.media.images import decode_image
from keras_simplepose.utils.errors import UserError

LONGEST = 300  # Characters of a message, whatever a file holds; its path, which the user chose, is not counted.
# What exporters and attackers write where something else is expected.
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.text(max_size=8),
    st.sampled_from(["\0", "\ud800", "x" * 5000, "../a.jpg", "1", ""]),
    st.integers(-3, 3),
    st.sampled_from([2**31, 2**63, 2**64, -(2**64), 10**400]),
    st.sampled_from([0.5, -1.0, 1e60, 1e308, math.inf, -math.inf, math.nan]),
    st.lists(st.none() | st.integers() | st.floats() | st.text(max_size=3), max_size=6),
    st.sampled_from([[[]], {}, {"a": {}}, [[1, 2, 3]] * 17, [0] * 51, [1e30] * 4, "[" * 50]),
)


def answers(work, kind, path=""):
    """Calls what is to answer with a result of some kind, or in one short line."""
    try:
        assert isinstance(work(), kind)
    except UserError as error:
        text = str(error).replace(str(path), "") if str(path) else str(error)
        assert "\n" not in text and 0 < len(text) < LONGEST, text


def places(value, path=()):
    """The paths to every value in nested tables and lists."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


def changed(value, path, other):
    """A copy in which another value stands in a place; `...` removes what is there."""
    if not path:
        return other
    copy = dict(value) if isinstance(value, dict) else list(value)
    key, *rest = path
    if not rest and other is ...:
        del copy[key]
    else:
        copy[key] = changed(value[key], rest, other)
    return copy


def faulty(document):
    """Documents with one to three odd values in them."""
    everywhere = list(places(document))[1:]
    change = st.tuples(st.sampled_from(everywhere), ODD | st.just(...))

    def apply(changes):
        value = document
        for path, other in changes:
            try:
                value = changed(value, path, other)
            except (KeyError, IndexError, TypeError):
                continue  # An earlier change has taken the place away.
        return value

    return st.lists(change, min_size=1, max_size=3).map(apply)


def text_of(value):
    return json.dumps(value).encode("utf-8", "surrogatepass")


KEYPOINTS = [10, 20, 2] * 17
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "height": 90, "width": 80}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "area": 500.5, "iscrowd": 0}
        | {"keypoints": KEYPOINTS, "num_keypoints": 17},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 40], "area": 400, "iscrowd": 1}
        | {"keypoints": [0] * 51, "num_keypoints": 0},
    ],
    "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints), "skeleton": [[1, 2]]}],
}


@pytest.mark.parametrize("count", COUNTS)
def test_coco_annotations(count, tmp_path):
    path = tmp_path / "a.json"

    def check(value):
        path.write_bytes(text_of(value))
        answers(lambda: load_annotations(path, tmp_path, COCO17), PersonSet, path)

    fuzz(faulty(COCO), check, count)


MPII = [{"image": "a.jpg", "center": [30.0, 40.0], "scale": 0.5, "joints": [[3, 4]] * 16, "joints_vis": [1] * 16}]


@pytest.mark.parametrize("count", COUNTS)
def test_mpii_annotations(count, tmp_path):
    from keras_simplepose.core.skeletons import MPII16

    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((60, 50, 3), np.uint8))
    path = tmp_path / "a.json"

    def check(value):
        path.write_bytes(text_of(value))
        answers(lambda: load_annotations(path, tmp_path, MPII16), PersonSet, path)

    fuzz(faulty(MPII), check, count)


@pytest.mark.parametrize("count", COUNTS)
def test_annotations_that_are_any_bytes(count, tmp_path):
    path, whole = tmp_path / "a.json", text_of(COCO)

    def check(value):
        place, content = value
        path.write_bytes(whole[: place % len(whole)] + content)
        answers(lambda: load_annotations(path, tmp_path, COCO17), PersonSet, path)

    deep = st.sampled_from([b"[" * 100_000, b"1" * 5000, b"\xef\xbb\xbf{", b"\xff\xfe"])
    fuzz(st.tuples(st.integers(0, 10**4), st.binary(max_size=20) | deep), check, count)


EXPORTS = pictures(count=2, visibility=(1, 2))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", ["label_studio", "coco", "cvat", "yolo", "labels"])
def test_exports_of_annotation_tools(kind, count, tmp_path):
    write_yolo(tmp_path / "yolo", {"train": EXPORTS})
    path = tmp_path / {"cvat": "a.xml", "yolo": "yolo/data.yaml", "labels": "yolo/labels/train/p0.txt"}.get(
        kind, "a.json"
    )
    options = config.ImportConfig(str(tmp_path / "yolo" if kind == "labels" else path), str(tmp_path / "out"))

    def check(content):
        path.write_bytes(content)
        answers(lambda: import_data(options, config.ImportedSkeletonConfig()), Imported, tmp_path)

    if kind in ("label_studio", "coco"):
        document = label_studio_tasks(EXPORTS) if kind == "label_studio" else coco_tables(EXPORTS)
        fuzz(faulty(document).map(text_of), check, count // 2)
        return
    whole = cvat_xml(EXPORTS).encode() if kind == "cvat" else path.read_bytes()
    odd = st.sampled_from([b"", b"nan", b"-1", b"1e400", b"<", b"&x;", b'"', b"[", b": ", b"- ", b"\0", b"\xff"])
    places = st.lists(
        st.tuples(st.integers(0, 10**5), st.integers(0, 9), odd | st.binary(max_size=3)), min_size=1, max_size=3
    )

    def apply(edits):
        content = whole
        for start, length, other in edits:
            start %= len(content) + 1
            content = content[:start] + other + content[start + length :]
        return content

    fuzz(places.map(apply), check, count // 2)


RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "score": 0.5}] * 2


@pytest.mark.parametrize("count", COUNTS)
def test_detection_results(count, tmp_path):
    path = tmp_path / "boxes.json"

    def check(value):
        path.write_bytes(text_of(value))
        answers(lambda: read_detections(path, 1), object, path)

    fuzz(faulty(RESULTS), check, count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_image_bytes(count, suffix):
    random = np.random.default_rng(0)
    whole = cv2.imencode(suffix, cv2.resize(random.integers(0, 256, (6, 8, 3), np.uint8), (64, 48)))[1].tobytes()

    def check(value):
        content = bytearray(whole)
        for place, byte in value[1]:
            content[place % len(content)] = byte
        if value[0] % 3 == 0:
            content = content[: value[0] % len(content)]
        answers(lambda: decode_image(bytes(content), "a picture"), np.ndarray)

    flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=12)
    fuzz(st.tuples(st.integers(0, 10**6), flips), check, count // 2)


@pytest.mark.parametrize("count", COUNTS)
def test_manifests(count, tmp_path):
    settings_of_patches = PatchSettings.for_training((64, 64), config.AugmentationConfig())
    (tmp_path / "shard-00000.tfrecord").write_bytes(bytes(16))
    manifest = Manifest(
        *(1, (Shard("shard-00000.tfrecord", 1, 16),), (), {"crowd": 1}, COCO17.to_dict(), settings_of_patches),
        *({"scale": 0.3}, "a.json", "0" * 64, 95, 0),
    )
    document = json.loads(json.dumps(manifest.to_dict()))
    path = tmp_path / MANIFEST
    path.write_bytes(text_of(document))
    assert read_manifest(tmp_path).count == 1

    def check(value):
        path.write_bytes(text_of(value))
        answers(lambda: read_manifest(tmp_path), Manifest, tmp_path)

    fuzz(faulty(document), check, count)


def record(**fields):
    kinds = {bytes: "bytes_list", float: "float_list", int: "int64_list"}
    feature = {}
    for name, values in fields.items():
        kind = kinds[type(values[0])] if values else "float_list"
        feature[name] = tf.train.Feature(**{kind: {"value": values}})
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


@pytest.mark.parametrize("count", COUNTS)
def test_records_of_prepared_sets(count, tmp_path):
    """Records whose checksum is right, whatever they hold: patches, or the one that is none is named."""
    settings_of_patches = PatchSettings.for_training((64, 64), config.AugmentationConfig())
    path, side = tmp_path / "shard-00000.tfrecord", settings_of_patches.size
    manifest = Manifest(
        *(2, (Shard(path.name, 2, 1),), (), {}, COCO17.to_dict(), settings_of_patches, {}, "a.json", "0" * 64, 95, 0)
    )
    source = PreparedSource(tmp_path, manifest)
    patches = source.serial(0, 0).map(source.decode)
    good = {"image": [jpeg(side, 40)], "keypoints": [1.5] * 34, "visible": [1.0] * 17, "center": [2.0, 3.0]}
    good |= {"crop_width": [64.0], "annotation_id": [7]}
    numbers = st.lists(st.floats(width=32), max_size=40) | st.sampled_from([[math.nan] * 34, [1e30] * 17, [-1.0]])
    images = st.binary(max_size=60) | st.sampled_from([huge_jpeg(), jpeg(side + 1, 9), jpeg(2, 2)[:90]])
    field = st.sampled_from([*good, "other", ""])
    odd = numbers | st.lists(st.integers(-(2**63), 2**63 - 1), max_size=3) | images.map(lambda content: [content])
    seen = {"patches": 0, "named": 0}

    def check(value):
        changes, cut, flips, whole = value
        fields = {name: values for name, values in (good | dict(changes)).items() if values is not None}
        content = bytearray(record(**fields) if whole is None else whole)
        for place, byte in flips if content else ():
            content[place % len(content)] = byte
        content = bytes(content[: len(content) - cut % (len(content) + 1)])
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(record(**good))
            writer.write(content)
        try:
            _, patch = patches.as_numpy_iterator()
        except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
            assert str(error).isascii()  # It quotes nothing.
            seen["named"] += 1
            if seen["named"] % 40 == 1:  # It takes much longer.
                assert damaged_shard(tmp_path, manifest) == f"{path}: record 2 of 2 is damaged"
            return
        seen["patches"] += 1
        assert max(patch["image"].shape) <= side and patch["crop_width"] > 0
        assert all(np.isfinite(patch[name]).all() for name in ("keypoints", "visible", "center"))

    flips = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4)
    changes = st.dictionaries(field, odd | st.none(), max_size=2)
    bytes_of_any_kind = st.none() | st.none() | st.binary(max_size=200)
    fuzz(st.tuples(changes, st.just(0) | st.integers(0, 10**6), flips, bytes_of_any_kind), check, count)
    assert all(seen.values())  # Both ends are reached.


@pytest.mark.parametrize("count", COUNTS)
def test_flags(count):
    from keras_simplepose import train

    names = [*CommandLine("train", "", *train.CONFIGS)._values]
    values = st.sampled_from("nan inf -1 0 1e400 1,2 ,, true force x 64,64 9999999999".split()) | st.text(max_size=6)

    def check(value):
        command = CommandLine("train", "", *train.CONFIGS)
        needed = ["--annotations=a.json", "--images=i", "--workdir=w"]
        answers(lambda: command.read([*needed, *(f"--{name}={text}" for name, text in value)]), list)

    some = st.sampled_from([name for name in names if name != "flagfile"])
    fuzz(st.lists(st.tuples(some, values), min_size=1, max_size=3), check, count // 4)


@pytest.mark.parametrize("count", COUNTS)
def test_boxes(count):
    arrays = st.sampled_from([np.zeros((2, 2, 2)), np.zeros((4, 5)), np.full((1, 4), np.nan), np.array(["a"])])
    box = st.lists(st.floats() | st.integers() | ODD, min_size=3, max_size=5)
    fuzz(
        st.tuples(arrays | ODD | st.lists(box | ODD, max_size=3), st.none() | arrays | ODD),
        lambda value: answers(lambda: PersonBoxes.of(*value), PersonBoxes),
        count,
    )


SKELETON = """name = "two"
keypoints = ["left_a", "right_a"]
flip_pairs = [["left_a", "right_a"]]
edges = [["left_a", "right_a"]]
sigmas = [0.1, 0.1]
"""


@pytest.mark.parametrize("count", COUNTS)
def test_skeletons(count, tmp_path):
    path = tmp_path / "two.toml"
    odd = st.sampled_from(['"left_a"', "[]", "0.1", "nan", "[[", "-1", '"', "'", "=", "\0", "99999999999999999999"])

    def check(value):
        text = SKELETON
        for start, length, other in value:
            start %= len(text)
            text = text[:start] + other + text[start + length :]
        path.write_text(text)
        answers(lambda: load_skeleton(str(path)), object, path)

    place = st.tuples(st.integers(0, 10**4), st.integers(0, 9), odd | st.text('abc,[]=\n"0.1', max_size=5))
    fuzz(st.lists(place, min_size=1, max_size=3), check, count)
