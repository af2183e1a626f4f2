"""Preparing a training set: every image read once, every person's patch written to shards, all or nothing."""

import contextlib
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import tqdm

from keras_simplepose.config import AugmentationConfig, ModelConfig, PrepareConfig
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.data.annotations import load_configured
from keras_simplepose.data.patch_files import CutResult, CutTask, cut_image
from keras_simplepose.data.patches import PatchSettings
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.data.prepared_set import (
    MANIFEST,
    Manifest,
    ShardWriter,
    Skipped,
    read_manifest,
    serialize_encoded,
    write_manifest,
)
from keras_simplepose.media.images import check_image_folder
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, check_outputs, file_hash
from keras_simplepose.utils.processes import bounded_map, worker_pool

IN_FLIGHT = 4  # Images per process that are under way: enough to keep it busy, few enough to hold in memory.


def prepare(
    config: PrepareConfig,
    model: ModelConfig,
    augmentation: AugmentationConfig,
    seed: int = 0,
    progress: bool = True,
    reading: ImageReading | None = None,
) -> Manifest:
    """Writes a prepared set: TFRecord shards of person patches and their manifest.

    The folder appears under its name when all of it is written. Images are shuffled, so that any stretch of a shard is
    a mixture; the result does not depend on the number of processes.

    Args:
        config: what to read and where to write; a prepared set that is there already is replaced.
        model: its input size and skeleton count.
        augmentation: the strongest the set is to serve.
        seed: of the order of images.
        progress: shows a progress bar.
        reading: counts the images with an EXIF orientation; the frame is the configuration's.

    Returns:
        The manifest written.

    Raises:
        UserError: annotations are faulty, an image cannot be read and `skip_damaged` is off, nothing is left to
            write, or the output cannot be written.
    """
    _check(config)
    reading = reading or ImageReading(config.orientation)
    skeleton = load_skeleton(model.skeleton)
    persons = load_configured(config, skeleton)
    settings = PatchSettings.for_training(model.input_size, augmentation, skeleton.upper_body)
    tasks = _tasks(persons, config, settings, seed)
    skipped: list[Skipped] = []
    with atomic_path(config.output) as folder:
        folder.mkdir()
        with ShardWriter(folder, config.persons_per_shard) as writer, _pool(config.workers) as mapped:
            for result in tqdm.tqdm(
                mapped(cut_image, tasks), "preparing", len(tasks), unit=" images", disable=not progress
            ):
                if result.orientations:
                    reading.orientations.merge(result.orientations)
                if result.fault:
                    skipped.append(_skip(result, config.skip_damaged))
                for patch in result.patches:
                    writer.write(serialize_encoded(patch))
        manifest = Manifest(
            count=sum(shard.count for shard in writer.shards),
            shards=tuple(writer.shards),
            skipped=tuple(skipped),
            left_out=persons.left_out,
            notes=persons.notes,
            remarks=persons.remarks,
            tells_occlusion=persons.tells_occlusion,
            skeleton=skeleton.to_dict(),
            settings=settings,
            augmentation=asdict(augmentation),
            annotations=Path(config.annotations).name,
            annotations_sha256=file_hash(config.annotations),
            jpeg_quality=config.jpeg_quality,
            seed=seed,
        )
        if manifest.count == 0:
            raise UserError(f"{config.annotations}: no person to prepare ({_reasons(persons, skipped)})")
        write_manifest(folder, manifest)
    return manifest


def _check(config: PrepareConfig) -> None:
    """Refuses what would fail after long work, or overwrite what is no prepared set."""
    check_image_folder(config.images)
    output = Path(config.output)
    check_outputs([output], [config.annotations, config.images], is_own=True)
    if output.is_dir():
        there = {entry.name for entry in output.iterdir()}
        if MANIFEST in there:  # The folder is replaced whole, so that it must hold nothing of the user's.
            there -= {MANIFEST, *(shard.name for shard in read_manifest(output).shards)}
        if there:
            raise UserError(f"{output}: holds something else than a prepared set ({min(there)}); choose another output")
    elif output.exists():
        raise UserError(f"{output}: is a file; choose another output")


def _tasks(persons: PersonSet, config: PrepareConfig, settings: PatchSettings, seed: int) -> list[CutTask]:
    """One task for every image with persons, shuffled."""
    tasks = []
    for image_id, group in persons.by_image().items():
        image = persons.images[image_id]
        path = os.path.join(config.images, image.file_name)
        tasks.append(CutTask(image, path, tuple(group), settings, config.jpeg_quality, config.orientation))
    random.Random(seed).shuffle(tasks)
    return tasks


def _skip(result: CutResult, allowed: bool) -> Skipped:
    if not allowed:
        raise UserError(f"{result.fault}; repair it, or leave such images out with skip_damaged")
    return Skipped(result.task.image.file_name, result.fault, len(result.task.persons))


def _reasons(persons: PersonSet, skipped: list[Skipped]) -> str:
    lost = sum(entry.persons for entry in skipped)
    return persons.summary() + (f"; {lost:,} in images that cannot be read" if lost else "")


Mapped = Callable[[Callable[[CutTask], CutResult], Iterable[CutTask]], Iterator[CutResult]]


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[Mapped]:
    """Yields a `map` over processes: ordered, and with a bounded number of tasks under way. One worker: no process."""
    workers = workers or os.cpu_count() or 1
    if workers == 1:
        yield map
        return
    with worker_pool(workers) as pool:
        yield lambda function, tasks: bounded_map(pool, function, tasks, IN_FLIGHT * workers)
