import collections
import contextlib
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig, ModelConfig, PrepareConfig
from keras_simplepose.core.geometry import box_to_crop
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.augment import draw_transformation
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.pipeline import ImageSource, PreparedSource, training_dataset, validation_dataset
from keras_simplepose.data.preparation import prepare
from keras_simplepose.data.service import DataServer, check_services
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.training.sources import damage_named
from keras_simplepose.utils.errors import UserError

SIZE, BATCH = (64, 64), 4
AUGMENTATION = AugmentationConfig()
SETTINGS = PatchSettings.for_training(SIZE, AUGMENTATION)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A rendered data set of 8 images in set/, and the same prepared in shards of 3 persons."""
    folder = tmp_path_factory.mktemp("data")
    annotations, images = make_synthetic_dataset(folder / "set", 8, seed=1, workers=1)
    config = PrepareConfig(str(annotations), str(images), str(folder / "prepared"), persons_per_shard=3, workers=1)
    prepare(config, ModelConfig(input_size=SIZE), AUGMENTATION, progress=False)
    return folder


def persons_of(folder):
    return load_persons(folder / "set" / "person_keypoints.json", COCO17)


def image_source(folder, **options):
    return ImageSource(persons_of(folder), folder / "set" / "images", SETTINGS, **options)


def prepared_source(folder):
    from keras_simplepose.data.prepared_set import read_manifest

    return PreparedSource(folder / "prepared", read_manifest(folder / "prepared"))


@pytest.fixture(params=[image_source, prepared_source], ids=["images", "prepared"])
def source(request, folder):
    return request.param(folder)


def training(source, seed=0, first_step=0, shuffle_buffer=100):
    return training_dataset(source, BATCH, AUGMENTATION, seed, shuffle_buffer, first_step)


def values(batches):
    return [{name: np.asarray(value) for name, value in batch.items() if name != "data_wait"} for batch in batches]


def indices(batches):
    return [int(index) for batch in batches for index in batch["index"]]


def test_servers_of_data_give_the_same_batches(folder):
    """Of two in turns, from the middle of an epoch on; one of two workers gives another order, and is told so."""
    source, servers = prepared_source(folder), [DataServer("localhost") for _ in range(2)]
    addresses = [server.address for server in servers]
    check_services(addresses)
    for services in (addresses, addresses[:1]):
        batches, _ = training_dataset(source, BATCH, AUGMENTATION, 5, 100, 1, services)
        for one, other in zip(values(batches.take(5)), values(training(source, 5, 1)[0].take(5)), strict=True):
            assert one.keys() == other.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
    config = tf.data.experimental.service.WorkerConfig(servers[0].address.removeprefix("grpc://"))
    second = tf.data.experimental.service.WorkerServer(config)
    batches, _ = training_dataset(source, BATCH, AUGMENTATION, 5, 100, 0, addresses[:1])
    with pytest.raises(UserError, match="of other steps than asked for"), damage_named(source, is_served=True):
        for _ in range(100):  # The dispatcher hears of a worker some time after it was made.
            list(batches.take(20))
            time.sleep(0.1)
    del second


def test_servers_of_data_that_do_not_answer_are_named():
    with socket.create_server(("localhost", 0)) as taken:
        port = taken.getsockname()[1]
    for addresses, fault in (
        ([f"grpc://localhost:{port}"], "does not answer"),
        (["localhost:1"], "an address is grpc://HOST:PORT"),
        (["grpc://localhost:x"], "an address is grpc://HOST:PORT"),
    ):
        with pytest.raises(UserError, match=fault):
            check_services(addresses)


def test_every_pass_holds_every_person_once(source, folder):
    everybody = sorted(person.annotation_id for person in persons_of(folder).persons)
    count = len(everybody)
    assert source.count == count and count % BATCH, "the data set must leave a batch to be filled"
    dataset, steps = training(source)
    assert steps == -(-count // BATCH)
    drawn = indices(dataset.take(3 * steps))
    passes = [drawn[start : start + steps * BATCH] for start in range(0, len(drawn), steps * BATCH)]
    for one in passes:
        assert len(one) == steps * BATCH
        assert sorted(one[:count]) == everybody
        assert set(one[count:]) <= set(everybody)
        assert max(collections.Counter(one).values()) <= 2
    assert passes[0] != passes[1] != passes[2] != passes[0]


@contextlib.contextmanager
def global_seed(seed):
    """TensorFlow's, which must not matter."""
    tf.random.set_seed(seed)
    try:
        yield
    finally:
        tf.random.set_seed(None)


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])


def test_the_seed_decides(source):
    first = values(training(source, seed=1)[0].take(2 * (steps := training(source)[1])))
    with global_seed(0):
        again = values(training(source, seed=1)[0].take(2 * steps))
    other = values(training(source, seed=2)[0].take(2 * steps))
    assert_same(first, again)
    assert indices(first) != indices(other)
    assert any((batch["degrees"] != same["degrees"]).any() for batch, same in zip(first, other, strict=True))


def test_who_looks_at_the_batches_changes_none(source):
    dataset, steps = training(source)
    alone = values(dataset.take(2 * steps))
    watched, looking = [], iter(dataset)
    for batch in dataset.take(2 * steps):
        watched.append(batch)
        next(looking)
        next(iter(dataset))
    assert_same(alone, values(watched))


def test_batches_go_on_at_any_step_as_if_never_stopped(source):
    dataset, steps = training(source)
    whole = values(dataset.take(3 * steps))
    for step in (1, steps - 1, steps, steps + 2):
        assert_same(whole[step:], values(training(source, first_step=step)[0].take(3 * steps - step)))
    expected = draw_transformation(0, steps, BATCH, AUGMENTATION)
    np.testing.assert_allclose(whole[steps]["scale"], expected.scale, rtol=1e-6)


def test_a_source_is_known_by_its_persons(folder):
    source = image_source(folder)
    fewer = ImageSource(source.persons.limited(source.count - 1), source.folder, SETTINGS)
    assert source.fingerprint() == image_source(folder).fingerprint() != fewer.fingerprint()
    assert prepared_source(folder).fingerprint() == prepared_source(folder).fingerprint()


def test_nothing_but_damaged_images_end_the_pass(folder, tmp_path):
    source = ImageSource(persons_of(folder), tmp_path, SETTINGS, skip_damaged=True)
    with pytest.raises(tf.errors.OpError):
        next(iter(training(source)[0]))
    assert "none of the 8 images can be read" in str(source.error)


def test_the_elements_of_training(source):
    batch = next(iter(training(source)[0]))
    side = SETTINGS.size
    shapes = {name: (value.shape[1:], value.dtype) for name, value in batch.items()}
    assert shapes == {
        "image": ((side, side, 3), tf.uint8),
        "keypoints": ((17, 2), tf.float32),
        "visible": ((17,), tf.float32),
        "center": ((2,), tf.float32),
        "crop_width": ((), tf.float32),
        "index": ((), tf.int64),
        "scale": ((), tf.float32),
        "degrees": ((), tf.float32),
        "flip": ((), tf.float32),
        "shift": ((2,), tf.float32),
        "half": ((), tf.float32),
        "data_wait": ((), tf.float32),
    }
    assert all(value.shape[0] == BATCH for value in batch.values())
    waits = [float(batch["data_wait"][0]) for batch in training(source)[0].take(3)]
    assert all(0 <= wait < 60 for wait in waits) and waits[0] > 0


def test_both_sources_give_the_same_patches(folder):
    plain = [
        {
            int(batch["index"][place]): {name: value[place] for name, value in batch.items()}
            for batch in validation_dataset(source, BATCH)
            for place in range(BATCH)
            if batch["example_weight"][place]
        }
        for source in (image_source(folder), prepared_source(folder))
    ]
    assert plain[0].keys() == plain[1].keys()
    for index, patch in plain[0].items():
        other = plain[1][index]
        for name in ("keypoints", "visible", "center", "crop_width"):
            np.testing.assert_array_equal(patch[name], other[name])
        difference = np.abs(np.asarray(patch["image"], int) - np.asarray(other["image"], int))
        assert difference.mean() < 4  # The shards' are JPEG.


def test_patches_are_of_their_persons(folder):
    people = {person.annotation_id: person for person in persons_of(folder).persons}
    for patch in image_source(folder).serial(0, 0):
        person = people[int(patch["index"])]
        np.testing.assert_array_equal(patch["visible"], person.visible)
        # Up to the patch's own scale, keypoints lie in the crop as they lie in the image's.
        center, width = box_to_crop(np.array(person.box), SIZE)
        ours = (np.asarray(patch["keypoints"]) - np.asarray(patch["center"])) / float(patch["crop_width"])
        seen = person.visible > 0
        np.testing.assert_allclose(ours[seen], ((person.keypoints - center) / width)[seen], atol=1e-4)


@pytest.mark.parametrize("batch_size", [4, 64])
def test_validation_holds_every_person_once_in_order_and_marks_the_padding(folder, batch_size):
    source = image_source(folder)
    batches = list(validation_dataset(source, batch_size))
    weights = np.concatenate([batch["example_weight"] for batch in batches])
    drawn = np.array(indices(batches))
    assert len(drawn) % batch_size == 0 and len(drawn) - source.count < batch_size
    np.testing.assert_array_equal(weights, [1] * source.count + [0] * (len(drawn) - source.count))
    order = [person.annotation_id for group in source.persons.by_image().values() for person in group]
    assert drawn[weights > 0].tolist() == order
    for batch in batches:
        assert "data_wait" not in batch
        assert not np.any(batch["degrees"]) and not np.any(batch["flip"]) and np.all(batch["scale"] == 1)
    np.testing.assert_array_equal(indices(validation_dataset(source, batch_size)), drawn)


@pytest.fixture
def damaged(folder, tmp_path):
    """The data set with the file of its second image cut short; returns the folder and the file's name."""
    shutil.copytree(folder / "set", tmp_path / "set")
    persons = persons_of(folder)
    name = persons.images[list(persons.by_image())[1]].file_name
    path = tmp_path / "set" / "images" / name
    path.write_bytes(path.read_bytes()[:200])
    return tmp_path, name


def test_a_damaged_image_stops_the_training(damaged):
    folder, name = damaged
    source = image_source(folder)
    dataset, steps = training(source)
    with pytest.raises(tf.errors.OpError):
        list(dataset.take(steps))
    assert isinstance(source.error, UserError) and name in str(source.error)
    assert not source.skipped


def test_a_damaged_image_is_skipped_and_listed_if_asked_for(damaged):
    folder, name = damaged
    source = image_source(folder, skip_damaged=True)
    groups = list(source.persons.by_image().values())
    left = sorted(person.annotation_id for group in groups[:1] + groups[2:] for person in group)
    assert sorted(int(patch["index"]) for patch in source.serial(0, 100)) == left
    assert list(source.skipped) == [name] and name in source.skipped[name]
    assert source.error is None
    dataset, steps = training(source)
    assert set(indices(dataset.take(2 * steps))) <= set(left)


def test_padding_stays_padding_when_images_are_skipped(damaged):
    folder, _ = damaged
    source = image_source(folder, skip_damaged=True)
    counted = collections.Counter()
    for batch in validation_dataset(source, BATCH):
        counted.update(np.asarray(batch["index"])[np.asarray(batch["example_weight"]) > 0].tolist())
    assert set(counted.values()) == {1}


@pytest.mark.slow
def test_a_damaged_image_ends_the_command_in_one_line(damaged):
    """TensorFlow's threads must have ended before the interpreter does, or the process is aborted."""
    folder, name = damaged
    data = [f"--annotations={folder / 'set' / 'person_keypoints.json'}", f"--images={folder / 'set' / 'images'}"]
    small = ["--backbone=resnet18_pytorch", "--backbone_weights=none", "--alpha=0.25", "--input_size=64,64"]
    flags = [*data, *small, f"--workdir={folder / 'run'}", "--picture_count=0", "--batch_size=4"]
    command = [sys.executable, "-m", "keras_simplepose.train", *flags]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and name in done.stderr and done.stderr.startswith("error: ")
