"""From an export to a trained network, and what the command prints on the way."""

import re
import shlex
import subprocess
import sys

import pytest
from exports import NAMES, pictures, write_yolo

from keras_simplepose import import_data
from keras_simplepose.config import ImportConfig, ImportedSkeletonConfig


def test_the_command_says_what_it_took_left_out_wrote_and_what_comes_next(tmp_path, capsys):
    folder = write_yolo(tmp_path / "an export", {"train": pictures(0), "val": pictures(1)}, names=False)
    (folder / "labels" / "train" / "lost.txt").write_text("0" + " .5" * 22 + "\n")
    import_data.main(ImportConfig(input=str(folder), output=str(tmp_path / "out")), ImportedSkeletonConfig())
    printed = capsys.readouterr()
    assert "train     3 images, 3 persons, " in printed.out
    assert re.search(r"left out: 1 label files of no image that a split names; the first: .+lost\.txt", printed.out)
    assert "note: 3 areas estimated from boxes" in printed.out
    assert f"written   {tmp_path / 'out' / 'train.json'}" in printed.out
    assert "warning: the export has no names of keypoints" in printed.err
    for name in ("check", "prepare", "train"):
        assert f"python -m keras_simplepose.{name} " in printed.out
    words = shlex.split(printed.out.splitlines()[-1])
    assert f"--validation_annotations={tmp_path / 'out' / 'val.json'}" in words
    assert f"--validation_images={folder / 'images' / 'val'}" in words


@pytest.mark.slow
def test_what_is_printed_as_next_examines_prepares_and_trains_the_imported_set(tmp_path):
    folder = write_yolo(tmp_path / "export", {"train": pictures(0, count=2)})

    def run(command):
        words = [sys.executable, *shlex.split(command)[1:]]
        done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0 or ("check" in command and done.returncode == 1), done.stderr
        return done.stdout

    text = run(f"python -m keras_simplepose.import_data --input={folder} --output=imported --skeleton_name=beast")
    commands = re.findall(r"python -m keras_simplepose.*", text)
    assert len(commands) == 3
    run(commands[0])
    run(commands[1] + " --input_size=64,64 --workers=1")
    small = " --input_size=64,64 --backbone=mobilenetv2 --alpha=0.35 --backbone_weights=none --deconv_filters=8,8,8"
    run(commands[2] + small + " --batch_size=2 --epochs=1 --jit_compile=off --picture_count=0")
    import keras

    import keras_simplepose

    spec = keras_simplepose.pose_spec(keras_simplepose.load_model(tmp_path / "run" / "last.keras"))
    assert spec.skeleton.name == "beast" and spec.skeleton.keypoints == NAMES
    assert isinstance(keras.saving.load_model(tmp_path / "run" / "last.keras"), keras.Model)
