"""How fast training data come: from prepared patches, with warp and targets, and straight from JPEG files."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_simplepose.benchmarks.rows import Row, interleaved, make_rows
from keras_simplepose.config import AugmentationConfig, BenchmarkConfig, ModelConfig, PrepareConfig
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.augment import Transformation, training_batch
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.pipeline import ImageSource, PatchSource, PreparedSource, training_dataset
from keras_simplepose.data.preparation import prepare
from keras_simplepose.data.prepared_set import check_manifest, read_manifest
from keras_simplepose.training.training_model import PATCH_FIELDS, TRANSFORMATION_FIELDS
from keras_simplepose.utils.errors import UserError

BATCH_SIZE = 32  # As the reference's; the least number of persons in the configuration.
WARM_UP = 3  # Batches before the clock starts: compilation, and the pipeline's first fill.
SHUFFLE_BUFFER = 64  # Small, so that filling it does not count.
REFERENCE = "input/reference"


def input_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Images per second of the input pipeline at 256×192, each as a multiple of the reference loader's.

    Raises:
        UserError: data do not fit, or the reference script fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        prepared = config.prepared or _prepare(config, f"{temporary}/prepared")
        contestants = input_contestants(config, prepared)
        figures = interleaved(contestants, config.rounds)
    yield from make_rows(figures, "images/s", REFERENCE)


def input_contestants(config: BenchmarkConfig, prepared: str) -> dict[str, Callable[[], float]]:
    """The measurements by name; each returns images per second."""
    model, augmentation = ModelConfig(), AugmentationConfig()
    skeleton = load_skeleton(model.skeleton)
    manifest = read_manifest(prepared)
    check_manifest(manifest, skeleton, model.input_size, augmentation)
    patches = PreparedSource(Path(prepared), manifest)
    settings = PatchSettings.for_training(model.input_size, augmentation)
    photographs = ImageSource(load_persons(config.annotations, skeleton), Path(config.images), settings)
    height, width = model.input_size
    spec = PoseSpec(skeleton, (height, width), (height // 4, width // 4), model.sigma)
    make_batch = _batch_maker(spec)
    contestants = {}
    if config.reference_loader:
        contestants[REFERENCE] = lambda: run_reference(config)
    contestants["input/prepared_decoded"] = _measurement(patches, augmentation, config.persons, None)
    contestants["input/prepared_with_targets"] = _measurement(patches, augmentation, config.persons, make_batch)
    contestants["input/jpeg_with_targets"] = _measurement(photographs, augmentation, config.persons, make_batch)
    return contestants


def run_reference(config: BenchmarkConfig) -> float:
    """Images per second of the reference script, with the best of its numbers of workers.

    Raises:
        UserError: the script fails or prints something else.
    """
    command = [sys.executable, config.reference_loader, "--annotations", config.annotations, "--images", config.images]
    command += ["--limit", str(config.persons), "--workers", *map(str, config.reference_workers)]
    run = subprocess.run(command, capture_output=True, text=True)
    try:
        rows = [json.loads(line) for line in run.stdout.splitlines() if line.strip()]
        return max(float(row["images_per_second"]) for row in rows)
    except (ValueError, KeyError, TypeError) as error:
        reason = (run.stderr.strip().splitlines() or [f"it printed {run.stdout[:100]!r}"])[-1]
        raise UserError(f"reference_loader {config.reference_loader}: {reason}") from error


def _prepare(config: BenchmarkConfig, folder: str) -> str:
    sources = PrepareConfig(annotations=config.annotations, images=config.images, output=folder)
    prepare(sources, ModelConfig(), AugmentationConfig())
    return folder


def _batch_maker(spec: PoseSpec) -> Callable[[dict[str, Any]], Any]:
    """Warp and targets as the train step computes them."""

    @tf.function(jit_compile=True)
    def make(patches: dict[str, Any], drawn: dict[str, Any]) -> Any:
        return training_batch(patches, Transformation(**drawn), spec)

    return lambda batch: make(
        {name: batch[name] for name in PATCH_FIELDS}, {name: batch[name] for name in TRANSFORMATION_FIELDS}
    )


def _measurement(
    source: PatchSource, augmentation: AugmentationConfig, persons: int, make_batch: Callable[..., Any] | None
) -> Callable[[], float]:
    """Measures the pipeline that training uses, from a new iterator on."""

    def measure() -> float:
        batches, _ = training_dataset(source, BATCH_SIZE, augmentation, 0, SHUFFLE_BUFFER)
        iterator = iter(batches)
        for _ in range(WARM_UP):
            _consume(next(iterator), make_batch)
        steps = persons // BATCH_SIZE
        start = time.perf_counter()
        for _ in range(steps):
            _consume(next(iterator), make_batch)
        return steps * BATCH_SIZE / (time.perf_counter() - start)

    return measure


def _consume(batch: dict[str, Any], make_batch: Callable[..., Any] | None) -> None:
    result = batch["image"] if make_batch is None else make_batch(batch)[0]
    result[0, 0, 0].numpy()  # Waits for the device.
