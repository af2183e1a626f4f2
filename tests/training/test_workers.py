"""Several workers, as processes on the loopback address, are one with the same global batch."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_runs import ending, tiny_config

from keras_simplepose.training.checkpoints import CheckpointFolder
from keras_simplepose.training.devices import is_chief
from keras_simplepose.utils.errors import UserError

RUN = """
import dataclasses, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from small_runs import in_folder, tiny_config
from keras_simplepose.training.trainer import train
config = in_folder(tiny_config(Path(sys.argv[2])), sys.argv[3], strategy=sys.argv[4])
config = dataclasses.replace(
    config,
    model=dataclasses.replace(config.model, frozen_layers=("norm",)),
    optimization=dataclasses.replace(config.optimization, epochs=int(sys.argv[5])),
)
train(config)
"""


def workers(folder, workdir, strategy, count, epochs):
    """The ended processes of a run."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = dict(os.environ) | ({"TF_CONFIG": json.dumps(task)} if count > 1 else {})
        command = [sys.executable, "-c", RUN, *map(str, (Path(__file__).parents[1], folder, workdir, strategy, epochs))]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
    for process in processes:
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-3000:]


def losses(workdir):
    with open(workdir / "curves.csv", newline="") as stream:
        return np.array([[float(row[name]) for name in ("loss", "validation_loss")] for row in csv.DictReader(stream)])


@pytest.mark.slow
def test_two_workers_give_the_losses_of_one_and_go_on(tmp_path):
    """With frozen batch normalisation, whose statistics are each worker's own, and without dropout."""
    tiny_config(tmp_path, dropout=0)
    workers(tmp_path, tmp_path / "one", "one_device", 1, 4)
    workers(tmp_path, tmp_path / "two", "multi_worker", 2, 4)
    workers(tmp_path, tmp_path / "again", "multi_worker", 2, 2)
    workers(tmp_path, tmp_path / "again", "multi_worker", 2, 4)
    one, two, again = (losses(tmp_path / name) for name in ("one", "two", "again"))
    print(f"losses of one and of two workers: {one[:, 0]}, {two[:, 0]}; apart {np.abs(two / one - 1).max():.1e}")
    assert one.shape == (4, 2)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    np.testing.assert_array_equal(again, two)
    np.testing.assert_array_equal(ending(tmp_path / "again")[1], ending(tmp_path / "two")[1])
    # Only the chief has written: one lock, and one file for each checkpoint that is kept.
    assert len(CheckpointFolder(tmp_path / "two").paths()) <= 3
    assert (tmp_path / "two" / "evaluations.jsonl").read_text().count("\n") == 4


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
