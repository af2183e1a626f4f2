"""Whether memory stays flat: the commands train and predict as processes of their own, watched from outside."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from keras_simplepose.benchmarks.rows import Row
from keras_simplepose.config import BenchmarkConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.synthetic.scenes import make_synthetic_dataset
from keras_simplepose.media.output import write_picture
from keras_simplepose.prediction.stream import DRAWINGS
from keras_simplepose.utils.errors import UserError
from keras_simplepose.viz.lines import draw_lines

SECONDS_BETWEEN = 0.2
WARM_UP = 0.2  # Share of the work after which memory is to be flat.
TRAINED, MEASURED = 320, 32  # Rendered photographs to train on, and to evaluate and predict on.
BATCH = 8
NETWORK = {
    "backbone": "mobilenetv2",
    "backbone_weights": "none",
    "alpha": 0.35,
    "input_size": "64,64",
    "deconv_filters": 16,
    "deconv_kernels": 4,
}
# What train prints once it steps, and after each epoch.
BEGIN, EPOCH = re.compile(r"^training .* steps an epoch"), re.compile(r"^epoch \d+/")


@dataclass
class Watched:
    """What a process took.

    Attributes:
        times: [N] seconds since it was started.
        bytes: [N] of memory it held then (its resident set).
        done: [N] of its work then.
        lines: what it printed, each with the second.
    """

    times: list[float] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """Work done [M] and bytes [M], from the first piece to the last; what begins and ends a command is left out."""
        done, sizes = np.array(self.done), np.array(self.bytes)
        under_way = (done > 0) & (done < done.max())
        if not under_way.any():  # All of it was done between two looks.
            under_way[np.argmax(done)] = True
        return done[under_way], sizes[under_way]


def memory_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Trains a small network for `memory_steps` steps and predicts `memory_images` photographs with it.

    Yields:
        "memory/training" and "memory/prediction", megabytes: the median of what follows the warm-up; and "…_range", by
        how many percent of that the highest and the lowest there are apart.

    Raises:
        UserError: not on Linux, whose /proc tells a process's memory; or a command fails.
    """
    if not os.path.exists("/proc/self/statm"):
        raise UserError("suite memory: needs Linux's /proc to watch a process from outside")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        annotations, images = make_synthetic_dataset(folder / "training", TRAINED, seed=0, workers=1)
        measured = make_synthetic_dataset(folder / "validation", MEASURED, seed=1, workers=1)
        steps = -(-len(load_persons(annotations, COCO17).persons) // BATCH)
        options = NETWORK | {
            "annotations": annotations,
            "images": images,
            "validation_annotations": measured[0],
            "validation_images": measured[1],
            "workdir": folder / "run",
            "epochs": -(-config.memory_steps // steps),
            "batch_size": BATCH,
        }
        training = watch("train", options, lambda: 0)
        ends = [when for when, line in training.lines if EPOCH.match(line)]
        begin = [when for when, line in training.lines if BEGIN.match(line)]
        training.done = np.interp(training.times, begin + ends, np.arange(len(ends) + 1) * steps).astype(int).tolist()
        out = folder / "out"
        options = {
            "model": folder / "run" / "last.keras",
            "input": _many(measured[1], folder / "many", config.memory_images),
            "output": out,
            "detector": "none",
        }
        prediction = watch("predict", options, lambda: _pictures(out / DRAWINGS))
    curves = {"training": training.curve(), "prediction": prediction.curve()}
    for name, (done, sizes) in curves.items():
        after = sizes[done >= WARM_UP * done[-1]]
        middle = float(np.median(after))
        yield Row(f"memory/{name}", round(middle / 1e6, 1), "MB")
        yield Row(f"memory/{name}_range", round(100 * float(np.ptp(after)) / middle, 2), "percent")
    if config.memory_picture:
        picture, units = Path(config.memory_picture), {"training": "steps", "prediction": "photographs"}
        panels = [(f"{name}: {units[name]}", done, sizes / 1e6) for name, (done, sizes) in curves.items()]
        write_picture(picture.parent, picture.name, draw_lines(panels, "memory in MB"))


def watch(command: str, options: Mapping[str, object], progress: Callable[[], int]) -> Watched:
    """Runs one of the package's commands to its end.

    Args:
        command: its name.
        options: its flags.
        progress: how much is done.

    Raises:
        UserError: it fails.
    """
    start, watched = time.perf_counter(), Watched()
    arguments = [sys.executable, "-m", f"keras_simplepose.{command}"]
    arguments += [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:

        def listen() -> None:
            for line in process.stdout or ():
                watched.lines.append((time.perf_counter() - start, line.rstrip()))

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        while process.poll() is None:
            if resident := resident_bytes(process.pid):
                watched.times.append(time.perf_counter() - start)
                watched.bytes.append(resident)
                watched.done.append(progress())
            time.sleep(SECONDS_BETWEEN)
        listener.join()
    if process.returncode:
        raise UserError(f"suite memory: {command} fails: {watched.lines[-1][1][:200] if watched.lines else ''}")
    return watched


def resident_bytes(process: int) -> int:
    """The memory a process holds now; 0 once it has ended."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _pictures(folder: Path) -> int:
    """How many there are already."""
    return sum(name.endswith(".jpg") for name in os.listdir(folder)) if folder.is_dir() else 0


def _many(images: Path, folder: Path, count: int) -> Path:
    """A folder of so many photographs."""
    folder.mkdir()
    names = sorted(images.iterdir())
    for number in range(count):
        source = names[number % len(names)]
        shutil.copyfile(source, folder / f"{number:05d}{source.suffix}")
    return folder
