import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_simplepose.config import AugmentationConfig, ModelConfig, PatchConfig, PrepareConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data import preparation as preparer
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.patches import make_patch
from keras_simplepose.data.prepared_set import MANIFEST, parse, read_manifest
from keras_simplepose.media.images import encode_jpeg, read_image
from keras_simplepose.media.orientation import ImageReading, restore
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash
from keras_simplepose.utils.processes import bounded_map

MODEL = ModelConfig(input_size=(64, 64))


def make_data(folder, images=7, persons=2, size=(120, 160)):
    """A COCO data set of noise; returns the configuration to prepare it into folder/set, in this process."""
    random = np.random.default_rng(0)
    (folder / "images").mkdir()
    records, annotations = [], []
    for image in range(1, images + 1):
        pixels = random.integers(0, 256, (*size, 3), np.uint8)
        (folder / "images" / f"{image}.jpg").write_bytes(encode_jpeg(pixels, 90))
        records.append({"id": image, "file_name": f"{image}.jpg", "height": size[0], "width": size[1]})
        for _ in range(persons):
            box = [*random.uniform(0, 60, 2), *random.uniform(20, 60, 2)]
            keypoints = np.column_stack([random.uniform(0, 120, (17, 2)), np.full(17, 2)]).ravel().tolist()
            entry = {"id": len(annotations) + 1, "image_id": image, "category_id": 1, "bbox": box, "iscrowd": 0}
            annotations.append(entry | {"area": 500.0, "keypoints": keypoints})
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    values = {"images": records, "annotations": annotations, "categories": [category]}
    (folder / "annotations.json").write_text(json.dumps(values))
    return config_of(folder)


def config_of(folder, **changes):
    names = {"annotations": "annotations.json", "images": "images", "output": "set"}
    paths = {flag: str(folder / name) for flag, name in names.items()}
    return PrepareConfig(**(paths | {"persons_per_shard": 5, "workers": 1} | changes))


def run(config, **options):
    return preparer.prepare(config, MODEL, AugmentationConfig(), progress=False, **options)


def examples_of(folder):
    manifest = read_manifest(folder)
    files = [str(folder / shard.name) for shard in manifest.shards]
    return [parse(text, 17, manifest.settings.size) for text in tf.data.TFRecordDataset(files)]


def test_every_person_is_written_once(tmp_path):
    config = make_data(tmp_path)
    manifest = run(config)
    assert read_manifest(tmp_path / "set") == manifest
    assert manifest.count == 14 and [shard.count for shard in manifest.shards] == [5, 5, 4]
    assert manifest.annotations_sha256 == file_hash(tmp_path / "annotations.json")
    examples = {int(example["index"]): example for example in examples_of(tmp_path / "set")}
    assert sorted(examples) == list(range(1, 15))
    for person in load_persons(config.annotations, COCO17).persons:
        image = read_image(tmp_path / "images" / f"{person.image_id}.jpg")
        patch = make_patch(image, person, manifest.settings)
        example = examples[person.annotation_id]
        np.testing.assert_array_equal(example["keypoints"], patch.keypoints)
        difference = np.abs(example["image"].numpy().astype(int) - patch.image)
        assert difference.mean() < 40  # Noise, coded lossily; another person's noise is some 85 away.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.json", "images", "set"]


def test_processes_and_seeds(tmp_path):
    config = make_data(tmp_path)
    order = {}
    for name, workers, seed in (("one", 1, 0), ("two", 2, 0), ("other", 1, 1)):
        run(config_of(tmp_path, workers=workers), seed=seed)
        order[name] = [int(example["index"]) for example in examples_of(tmp_path / "set")]
    assert order["one"] == order["two"] != order["other"]
    assert order["one"] != sorted(order["one"])
    assert sorted(order["other"]) == sorted(order["one"])
    assert config.output == str(tmp_path / "set")


def damage(tmp_path):
    path = tmp_path / "images" / "3.jpg"
    path.write_bytes(path.read_bytes()[:-100])
    (tmp_path / "images" / "5.jpg").unlink()


def test_damaged_images_stop_it(tmp_path):
    config = make_data(tmp_path)
    damage(tmp_path)
    with pytest.raises(UserError, match=r"images/[35]\.jpg.*skip_damaged"):
        run(config)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.json", "images"]


def test_damaged_images_are_skipped_on_request_and_listed(tmp_path):
    make_data(tmp_path)
    damage(tmp_path)
    manifest = run(config_of(tmp_path, skip_damaged=True))
    assert manifest.count == 10 and read_manifest(tmp_path / "set") == manifest
    faults = {skipped.file_name: skipped for skipped in manifest.skipped}
    assert sorted(faults) == ["3.jpg", "5.jpg"] and faults["3.jpg"].persons == 2
    assert "truncated" in faults["3.jpg"].fault and "no such image" in faults["5.jpg"].fault


def test_an_image_of_another_size_than_its_record_is_damaged(tmp_path):
    config = make_data(tmp_path)
    (tmp_path / "images" / "2.jpg").write_bytes(encode_jpeg(np.zeros((50, 60, 3), np.uint8), 90))
    with pytest.raises(UserError, match=r"2\.jpg: the image is 60×50; its record says 160×120"):
        run(config)


def test_an_interrupted_run_leaves_nothing_and_spares_what_was_there(tmp_path, monkeypatch):
    config = make_data(tmp_path)
    before = run(config)
    written = []

    def interrupt(encoded):
        written.append(encoded)
        if len(written) == 8:
            raise KeyboardInterrupt
        return b"example"

    monkeypatch.setattr(preparer, "serialize_encoded", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run(config)
    assert read_manifest(tmp_path / "set") == before
    with pytest.raises(KeyboardInterrupt):
        written.clear()
        run(dataclasses.replace(config, output=str(tmp_path / "other")))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.json", "images", "set"]


def test_nothing_to_write_is_an_error(tmp_path):
    config = make_data(tmp_path, persons=0)
    with pytest.raises(UserError, match="no person to prepare"):
        run(config)
    assert not (tmp_path / "set").exists()


def test_other_folders_are_not_overwritten(tmp_path):
    config = make_data(tmp_path)
    (tmp_path / "set").mkdir()
    run(config)
    (tmp_path / "set" / MANIFEST).unlink()
    with pytest.raises(UserError, match="something else than a prepared set"):
        run(config)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="absent: no such folder"):
        run(config_of(tmp_path, images=str(tmp_path / "absent")))


class _Now:
    """An executor that works at once and counts."""

    submitted = 0

    def submit(self, function, task):
        self.submitted += 1
        value = function(task)
        return type("Done", (), {"result": lambda self: value})()


def test_work_under_way_is_bounded():
    executor, taken = _Now(), 0
    for result in bounded_map(executor, lambda task: task * 2, iter(range(100)), 6):
        assert result == taken * 2
        taken += 1
        assert executor.submitted - taken < 6
    assert taken == 100


def command(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "keras_simplepose.prepare", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_workers_load_no_tensorflow():
    code = "import keras_simplepose.data.patch_files, sys; print(*{'tensorflow', 'keras', 'absl'} & set(sys.modules))"
    environment = os.environ | {"KERAS_SIMPLEPOSE_WORKER": "1"}
    assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == ""


def test_defaults_have_one_home():
    assert PatchConfig() == PatchConfig(
        **{name: getattr(ModelConfig(), name) for name in ("input_size", "skeleton")},
        **{
            name: getattr(AugmentationConfig(), name)
            for name in ("scale", "rotation", "shift", "half_body_probability", "half_body_minimum")
        },
    )


def test_the_command_reports_and_names_the_next_step(tmp_path):
    make_data(tmp_path)
    flags = [f"--{name}={tmp_path / place}" for name, place in (("annotations", "annotations.json"), ("output", "set"))]
    process = command(*flags, f"--images={tmp_path / 'images'}", "--input_size=64,64", "--workers=2")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "14 persons in 1 shards" in output and "images skipped: 0" in output
    assert f"next: python -m keras_simplepose.train --prepared={tmp_path / 'set'}" in output
    assert "preparing" in errors and read_manifest(tmp_path / "set").settings.input_size == (64, 64)


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    make_data(tmp_path)
    code = f"""
import resource
from keras_simplepose.config import *
from keras_simplepose.data.preparation import prepare
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
config = PrepareConfig("{tmp_path}/annotations.json", "{tmp_path}/images", "{tmp_path}/set", workers=1)
try:
    prepare(config, ModelConfig(input_size=(64, 64)), AugmentationConfig(), progress=False)
except Exception as error:
    print(type(error).__name__, error)
"""
    output = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert output.startswith("UserError cannot write") and str(tmp_path / "set") in output, output
    assert output.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.json", "images"]


@pytest.mark.slow
def test_a_killed_run_leaves_no_set_and_no_process(tmp_path):
    make_data(tmp_path, images=1500, persons=1, size=(480, 640))
    flags = [f"--{name}={tmp_path / place}" for name, place in (("annotations", "annotations.json"), ("output", "set"))]
    process = command(*flags, f"--images={tmp_path / 'images'}", "--workers=2")
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".set-*/set/shard-*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    children = subprocess.check_output(["ps", "--ppid", str(process.pid), "-o", "pid="], text=True).split()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "set").exists()
    with pytest.raises(UserError, match="no prepared set"):
        read_manifest(tmp_path / "set")
    assert children
    while any(os.path.exists(f"/proc/{child}") for child in children):
        assert time.monotonic() < deadline, "workers outlive their parent"
        time.sleep(0.05)


def test_photographs_annotated_as_displayed_are_cut_as_displayed(tmp_path):
    config = make_data(tmp_path, images=2, persons=1)
    run(config)
    upright = examples_of(tmp_path / "set")
    for index in (1, 2):  # The same pictures, stored lying on their sides or upside down.
        path, exif = tmp_path / "images" / f"{index}.jpg", Image.Exif()
        stored, exif[0x0112] = (restore(read_image(path), 6), 6) if index == 1 else (restore(read_image(path), 3), 3)
        Image.fromarray(stored).save(path, format="PNG", exif=exif)
    reading = ImageReading("displayed")
    run(dataclasses.replace(config, output=str(tmp_path / "turned"), orientation="displayed"), reading=reading)
    turned = examples_of(tmp_path / "turned")
    for one, other in zip(upright, turned, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    assert reading.warning().startswith("2 images carry an EXIF orientation: 2 as displayed")
    with pytest.raises(UserError, match="EXIF orientation 6"):
        run(dataclasses.replace(config, output=str(tmp_path / "stored"), orientation="stored"))


def test_a_set_with_files_of_the_user_is_not_replaced(tmp_path):
    config = make_data(tmp_path, images=2, persons=1)
    run(config)
    run(config)
    (tmp_path / "set" / "notes.txt").write_text("a user's")
    with pytest.raises(UserError, match=r"something else than a prepared set \(notes\.txt\)"):
        run(config)
    (tmp_path / "set" / "notes.txt").unlink()
    (tmp_path / "images").rename(tmp_path / "set" / "images")
    with pytest.raises(UserError, match="set: is an input"):
        run(dataclasses.replace(config, images=str(tmp_path / "set" / "images")))
    assert (tmp_path / "set" / "images" / "1.jpg").exists()
