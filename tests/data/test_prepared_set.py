import dataclasses
import json

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig, OptimizationConfig, TrainingConfig
from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.data.patches import PatchSettings, make_patch
from keras_simplepose.data.persons import Person
from keras_simplepose.data.pipeline import PreparedSource
from keras_simplepose.data.prepared_set import (
    Manifest,
    Shard,
    ShardWriter,
    Skipped,
    check_manifest,
    damaged_shard,
    parse,
    read_manifest,
    serialize,
    write_manifest,
)
from keras_simplepose.training.sources import check_flags, damage_named
from keras_simplepose.utils.errors import UserError

SETTINGS = PatchSettings.for_training((128, 96), AugmentationConfig())


def example(identifier=2**40 + 7):
    random = np.random.default_rng(identifier % 1000)
    image = cv2.GaussianBlur(random.integers(0, 256, (150, 180, 3), np.uint8), (0, 0), 3)
    person = Person(
        3,
        identifier,
        (100.5, 60.0, 40.0, 90.0),
        random.uniform(0, 150, (17, 2)).astype(np.float32),
        random.integers(0, 3, 17).astype(np.float32),
        812.5,
    )
    return make_patch(image, person, SETTINGS), person


def test_an_example_comes_back_as_it_was_written():
    patch, person = example()
    parsed = {key: value.numpy() for key, value in parse(serialize(patch, person, 98), 17, 1000).items()}
    assert set(parsed) == {"image", "keypoints", "visible", "center", "crop_width", "index"}
    assert parsed["image"].shape == patch.image.shape and parsed["image"].dtype == np.uint8
    assert np.abs(parsed["image"].astype(int) - patch.image).mean() < 2
    np.testing.assert_array_equal(parsed["keypoints"], patch.keypoints)
    np.testing.assert_array_equal(parsed["visible"], patch.visible)
    np.testing.assert_array_equal(parsed["center"], patch.center)
    assert parsed["crop_width"] == np.float32(patch.crop_width)
    assert parsed["index"] == person.annotation_id and parsed["index"].dtype == np.int64


def test_numbers_beyond_64_bits_are_folded():
    patch, person = example()
    person = dataclasses.replace(person, image_id=2**63 + 1, annotation_id=2**64 + 9)
    features = tf.train.Example.FromString(serialize(patch, person, 90)).features.feature
    assert list(features["image_id"].int64_list.value) == [-(2**63) + 1]
    assert parse(serialize(patch, person, 90), 17, 1000)["index"] == 9


def test_the_example_names_image_annotation_area_and_matrix():
    patch, person = example()
    features = tf.train.Example.FromString(serialize(patch, person, 90)).features.feature
    assert list(features["image_id"].int64_list.value) == [3]
    assert list(features["area"].float_list.value) == [812.5]
    np.testing.assert_array_equal(features["matrix"].float_list.value, patch.matrix.ravel())


def test_parsing_runs_in_tf_data():
    examples = [serialize(*example(identifier), 90) for identifier in (1, 2, 3)]
    dataset = tf.data.Dataset.from_tensor_slices(examples).map(lambda text: parse(text, 17, 1000)).batch(3)
    assert dataset.element_spec["image"].shape.as_list() == [None, None, None, 3]
    assert dataset.element_spec["keypoints"].shape.as_list() == [None, 17, 2]
    (batch,) = dataset
    assert batch["index"].numpy().tolist() == [1, 2, 3]


@pytest.fixture
def folder(tmp_path):
    """A prepared set of five persons in three shards."""
    with ShardWriter(tmp_path, 2) as writer:
        for identifier in range(1, 6):
            writer.write(serialize(*example(identifier), 90))
    manifest = Manifest(
        count=5,
        shards=tuple(writer.shards),
        skipped=(Skipped("bad.jpg", "bad.jpg: truncated", 2),),
        left_out={"crowd": 4},
        skeleton=COCO17.to_dict(),
        settings=SETTINGS,
        augmentation=dataclasses.asdict(AugmentationConfig()),
        annotations="annotations.json",
        annotations_sha256="0" * 64,
        jpeg_quality=90,
        seed=0,
    )
    write_manifest(tmp_path, manifest)
    return tmp_path, manifest


def test_shards_hold_what_was_written(folder):
    path, manifest = folder
    assert [shard.count for shard in manifest.shards] == [2, 2, 1]
    files = [str(path / shard.name) for shard in manifest.shards]
    indices = [int(parse(text, 17, 1000)["index"]) for text in tf.data.TFRecordDataset(files)]
    assert indices == [1, 2, 3, 4, 5]


def test_the_manifest_comes_back(folder):
    path, manifest = folder
    assert read_manifest(path) == manifest
    assert manifest.bytes == sum((path / shard.name).stat().st_size for shard in manifest.shards)


def test_a_set_of_an_earlier_version_is_read_and_keeps_its_fingerprint(folder):
    """Its manifest does not say whether its flags tell occluded keypoints from visible ones: they do not."""
    path, manifest = folder
    assert "tells_occlusion" not in json.loads((path / "manifest.json").read_text())
    old = PreparedSource(path, read_manifest(path))
    assert not old.tells_occlusion
    telling = dataclasses.replace(manifest, tells_occlusion=True)
    write_manifest(path, telling)
    new = PreparedSource(path, read_manifest(path))
    assert new.tells_occlusion and new.manifest == telling and new.fingerprint() != old.fingerprint()


def test_options_that_need_flags_refuse_a_set_without(folder):
    path, manifest = folder
    weighted = dataclasses.replace(TrainingConfig(), optimization=OptimizationConfig(occluded_weight=0.5))
    old = PreparedSource(path, manifest)
    check_flags(old, TrainingConfig())
    check_flags(PreparedSource(path, dataclasses.replace(manifest, tells_occlusion=True)), weighted)
    with pytest.raises(UserError, match="^occluded_weight needs .* prepare it anew"):
        check_flags(old, weighted)


def change(path, **values):
    there = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(there | values))


def change_shards(path, edit):
    change(path, shards=edit(json.loads((path / "manifest.json").read_text())["shards"]))


def moved(shards):
    return [{**shards[0], "name": "../" + shards[0]["name"]}, *shards[1:]]


def recounted(shards):
    return [{**shards[0], "count": 1}, shards[1], {**shards[2], "count": 2}]


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (lambda path: (path / "manifest.json").unlink(), "no prepared set"),
        (lambda path: (path / "shard-00001.tfrecord").unlink(), "shard-00001.tfrecord: is missing"),
        (lambda path: (path / "shard-00002.tfrecord").write_bytes(b"short"), "shard-00002.tfrecord: has 5 bytes"),
        (lambda path: change(path, format_version=99), "format 99"),
        (lambda path: change(path, count=6), "counts disagree"),
        (lambda path: change(path, shards=[]), "counts disagree"),
        (lambda path: change_shards(path, lambda shards: [shards[0], *shards[:2]]), "'shard-00000.tfrecord' twice"),
        (lambda path: change_shards(path, lambda shards: moved(shards)), "as a file elsewhere"),
        (lambda path: change_shards(path, lambda shards: recounted(shards)), "holds 2 persons, its manifest says 1"),
        (lambda path: flip(path / "shard-00001.tfrecord", 3), "shard-00001.tfrecord: is damaged"),
        (lambda path: change(path, skeleton={}), "damaged"),
        (lambda path: change(path, settings={}), "damaged"),
        (lambda path: change(path, surprise=1), "damaged"),
        (lambda path: (path / "manifest.json").write_text("[]"), "format None"),
        (lambda path: (path / "manifest.json").write_text('{"count": 5'), "not valid JSON"),
    ],
)
def test_a_damaged_set_is_refused(folder, damage, named):
    path, _ = folder
    damage(path)
    with pytest.raises(UserError, match=named) as caught:
        read_manifest(path)
    assert str(path) in str(caught.value)


def test_a_shard_with_a_flipped_byte_is_named_with_the_place(folder):
    path, manifest = folder
    assert damaged_shard(path, manifest) == ""
    flip(path / "shard-00001.tfrecord", manifest.shards[1].bytes - 100)
    assert damaged_shard(path, read_manifest(path)) == f"{path / 'shard-00001.tfrecord'}: record 2 of 2 is damaged"
    source = PreparedSource(path, read_manifest(path))
    with pytest.raises(UserError, match=r"shard-00001\.tfrecord: record 2 of 2 is damaged"), damage_named(source):
        list(source.serial(0, 0))


@pytest.mark.parametrize("part", ["checksum of the length", "data", "checksum of the data"])
def test_the_flipped_byte_of_any_record_is_counted(tmp_path, part):
    path = tmp_path / "shard-00000.tfrecord"
    records = [serialize(*example(identifier), 90) for identifier in range(9)]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    manifest = Manifest(
        *(9, (Shard(path.name, 9, path.stat().st_size),), (), {}, COCO17.to_dict(), SETTINGS, {}, "a.json", "0" * 64),
        *(95, 0),
    )
    whole, place = path.read_bytes(), 0
    for number, record in enumerate(records, start=1):
        inside = {"checksum of the length": 8, "data": 12 + len(record) // 2, "checksum of the data": 12 + len(record)}
        flip(path, place + inside[part])
        assert damaged_shard(tmp_path, manifest) == f"{path}: record {number} of 9 is damaged"
        path.write_bytes(whole)
        place += 16 + len(record)
    assert damaged_shard(tmp_path, manifest) == ""


def test_a_set_is_refused_where_it_does_not_serve(folder):
    _, manifest = folder
    check_manifest(manifest, COCO17, (128, 96), AugmentationConfig())
    check_manifest(manifest, COCO17, (128, 96), AugmentationConfig(scale=0.1, rotation=0.0))
    check_manifest(manifest, dataclasses.replace(COCO17, name="mine"), (128, 96), AugmentationConfig())
    for arguments, named in (
        ((MPII16, (128, 96), AugmentationConfig()), "coco17.*mpii16"),
        ((COCO17, (256, 192), AugmentationConfig()), "128,96.*256,192"),
        ((COCO17, (128, 96), AugmentationConfig(scale=0.5)), "scale.*1.08.*1.25"),
        ((COCO17, (128, 96), AugmentationConfig(shift=0.16)), "shift"),
        ((COCO17, (128, 96), AugmentationConfig(half_body_probability=0.3)), "half-body"),
    ):
        with pytest.raises(UserError, match=named):
            check_manifest(manifest, *arguments)
