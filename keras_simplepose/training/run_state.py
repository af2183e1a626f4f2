"""What a run leaves in its folder to go on from: the state, and the figures of its epochs."""

import csv
from collections.abc import Sequence
from pathlib import Path

import keras

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, read_json, write_json
from keras_simplepose.viz.training import draw_curves

STATE_NAME, WEIGHTS_NAME, CURVES_NAME = "state.json", "state.weights.h5", "curves.csv"


def first_epoch_of(workdir: Path, resume: bool) -> int:
    """The epoch to begin with.

    Raises:
        UserError: the folder holds a run, and it is not to be gone on with.
    """
    if not resume and (workdir / STATE_NAME).exists():
        raise UserError(f"workdir {workdir} holds another run; choose a new folder, or turn resume on")
    return epochs_done(workdir)


def epochs_done(workdir: Path) -> int:
    """How many epochs the run in a folder has finished; 0 for a new folder."""
    state = workdir / STATE_NAME
    return int(read_json(state)["epochs_done"]) if state.exists() else 0


def save_state(model: keras.Model, workdir: Path, epochs_done: int) -> None:
    """Keeps what resuming needs: weights and optimiser, then the count that declares them valid."""
    with atomic_path(workdir / WEIGHTS_NAME) as temporary:
        model.save_weights(temporary)
    write_json(workdir / STATE_NAME, {"epochs_done": epochs_done})


def read_rows(workdir: Path) -> list[dict[str, float]]:
    """The epochs of the curves in a folder, empty cells left out; none if it has none."""
    path = workdir / CURVES_NAME
    if not path.exists():
        return []
    with open(path, newline="") as stream:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(stream)]
    return [row | {"epoch": int(row["epoch"])} for row in rows]


def write_curves(workdir: Path, rows: Sequence[dict[str, float]]) -> None:
    """Writes the epochs' figures as a table and as a picture."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_path(workdir / CURVES_NAME) as temporary, open(temporary, "w", newline="") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    with atomic_path(workdir / "curves.png") as temporary:
        draw_curves(list(rows), temporary)
