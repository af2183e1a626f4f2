"""A run of training that takes seconds: rendered people, and a network of two convolutions."""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys

import keras
import numpy as np
from small_training import configuration, rendered

from keras_simplepose.config import EvaluationConfig, ModelConfig, OptimizationConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.models.files import save_model
from keras_simplepose.models.layers import Heatmaps
from keras_simplepose.training import loop
from keras_simplepose.training.checkpoints import CheckpointFolder

BATCH, EPOCHS = 2, 3


def tiny_network(dropout=0.2):
    """With batch statistics and a random layer, whose states a run must find again."""
    keras.utils.set_random_seed(0)
    crops = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 255)(crops)
    x = keras.layers.Conv2D(8, 5, 4, padding="same", name="body")(x)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.Dropout(dropout, seed=1, name="drop")(keras.layers.ReLU(name="relu")(x))
    x = keras.layers.Conv2D(17, 3, padding="same", name="final_layer")(x)
    return keras.Model(crops, Heatmaps(PoseSpec(COCO17, (32, 32), (8, 8), 1.0), name="heatmaps")(x), name="tiny")


def tiny_config(folder, images=4, dropout=0.2, **run):
    """A run in FOLDER/run; its data and initial model are made beside it, once."""
    if not (folder / "tiny.keras").exists():
        save_model(tiny_network(dropout), folder / "tiny.keras")
    data = dataclasses.replace(rendered(folder / "set", images), shuffle_buffer=3)
    model = ModelConfig(initial_model=str(folder / "tiny.keras"))
    return dataclasses.replace(
        configuration(data, model=model, **{"workdir": folder / "run", "picture_count": 0} | run),
        optimization=OptimizationConfig(
            epochs=EPOCHS, batch_size=BATCH, learning_rate=1e-2, drop_epochs=(2,), ema_decay=0.9
        ),
        evaluation=EvaluationConfig(evaluation_batch_size=BATCH, flip_test=False),
    )


def in_folder(config, workdir, **run):
    return dataclasses.replace(config, run=dataclasses.replace(config.run, workdir=str(workdir), **run))


def stop_after(monkeypatch, count, number=signal.SIGTERM):
    """Has a signal come during the step after `count` others."""
    make_step, left = loop.make_step, [count]

    def made(*arguments):
        step = make_step(*arguments)

        def counted(batch, asked):
            left[0] -= 1
            if left[0] == -1:
                signal.raise_signal(number)
            return step(batch, asked)

        return counted

    monkeypatch.setattr(loop, "make_step", made)


def ending(workdir):
    """All that a run must give again to the bit: every variable, the curves and the evaluations."""
    checkpoint, _ = CheckpointFolder(workdir).newest()
    texts = [(workdir / name).read_text() for name in ("curves.csv", "evaluations.jsonl")]
    return checkpoint.step, [array.tobytes() for array in checkpoint.arrays], texts


def assert_same_ending(one, other):
    assert one[0] == other[0] and one[2] == other[2]
    assert len(one[1]) == len(other[1]) and all(map(np.array_equal, one[1], other[1]))


def start_workers(count, *command):
    """Processes that TF_CONFIG makes workers of one run."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for index in range(count):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        environment = dict(os.environ) | ({"TF_CONFIG": json.dumps(task)} if count > 1 else {})
        processes.append(
            subprocess.Popen(
                [sys.executable, *map(str, command)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    return processes
