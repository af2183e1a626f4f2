"""Several workers, as processes on the loopback address, are one with the same global batch."""

import csv
import json
import time
from pathlib import Path

import numpy as np
import pytest
from small_runs import ending, start_workers, tiny_config

from keras_simplepose.training.checkpoints import CheckpointFolder
from keras_simplepose.training.devices import is_chief
from keras_simplepose.utils.errors import UserError

RUN = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_runs import in_folder, tiny_config
from keras_simplepose.training.trainer import train
config = in_folder(tiny_config(Path(sys.argv[2])), sys.argv[3], strategy=sys.argv[4], checkpoint_every="1")
train(dataclasses.replace(config, model=dataclasses.replace(config.model, frozen_layers=("norm",))))
"""


def end(processes):
    for process in processes:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-3000:]


def start_training(folder, workdir, strategy, count):
    return start_workers(count, "-c", RUN, Path(__file__).parents[1], folder, workdir, strategy)


def kill_one(processes, folder):
    """Kills a worker in the middle of the run; the others must end by themselves, not wait for ever."""
    while not folder.paths():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.01)
    processes[1].kill()
    for process in processes:
        process.communicate(timeout=300)
        assert process.returncode != 0
    return int(folder.paths()[0].stem.split("-")[1])


def losses(workdir):
    with open(workdir / "curves.csv", newline="") as stream:
        return np.array([[float(row[name]) for name in ("loss", "validation_loss")] for row in csv.DictReader(stream)])


@pytest.mark.slow
def test_two_workers_give_the_losses_of_one_and_go_on(tmp_path):
    """With frozen batch normalisation, whose statistics are each worker's own, and without dropout."""
    data = tiny_config(tmp_path, dropout=0).data
    end(start_training(tmp_path, tmp_path / "one", "one_device", 1))
    end(start_training(tmp_path, tmp_path / "two", "multi_worker", 2))
    killed = kill_one(
        start_training(tmp_path, tmp_path / "again", "multi_worker", 2), CheckpointFolder(tmp_path / "again")
    )
    end(start_training(tmp_path, tmp_path / "again", "multi_worker", 2))
    one, two, again = (losses(tmp_path / name) for name in ("one", "two", "again"))
    print(f"losses of one and of two workers: {one[:, 0]}, {two[:, 0]}; apart {np.abs(two / one - 1).max():.1e}")
    print(f"a worker killed after step {killed} of {CheckpointFolder(tmp_path / 'two').newest()[0].step}")
    assert one.shape == (3, 2)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    np.testing.assert_array_equal(again, two)
    np.testing.assert_array_equal(ending(tmp_path / "again")[1], ending(tmp_path / "two")[1])
    # Only the chief has written: one lock, and one file for each checkpoint that is kept.
    assert len(CheckpointFolder(tmp_path / "two").paths()) <= 3
    assert (tmp_path / "two" / "evaluations.jsonl").read_text().count("\n") == 3
    # Each has predicted a share of the images.
    files = [f"--annotations={data.validation_annotations}", f"--images={data.validation_images}"]
    for folder, options in (("alone", ["--nomulti_worker"]), ("shared", ["--multi_worker"])):
        command = ["-m", "keras_simplepose.evaluate", f"--model={tmp_path / 'two' / 'best.keras'}", *files, *options]
        end(start_workers(1 + (folder == "shared"), *command, f"--output={tmp_path / folder}"))
    alone, shared = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("alone", "shared"))
    assert shared == alone
    texts = [(tmp_path / name / "results.json").read_text() for name in ("alone", "shared")]
    assert texts[0] == texts[1]


def test_who_the_chief_is(monkeypatch):
    def with_task(kind, index, *jobs):
        cluster = {job: [f"host:{number}" for number in range(2)] for job in jobs}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))
        return is_chief("multi_worker")

    assert with_task("worker", 0, "worker") and not with_task("worker", 1, "worker")
    assert with_task("chief", 0, "chief", "worker") and not with_task("worker", 0, "chief", "worker")
    monkeypatch.setenv("TF_CONFIG", "{")
    assert is_chief("one_device")
    with pytest.raises(UserError, match="TF_CONFIG is damaged"):
        is_chief("multi_worker")
