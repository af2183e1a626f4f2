"""Whole images for a person detector: read and letterboxed once, kept as bytes on disk, drawn from batch by batch."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from keras_simplepose.config.detector_training import DetectorAugmentationConfig
from keras_simplepose.data.letterboxing import Letterboxed, LetterboxTask, letterbox_file
from keras_simplepose.data.persons import PersonSet, whole_box
from keras_simplepose.data.pipeline import timed
from keras_simplepose.media.images import check_image_folder
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, read_json, write_json
from keras_simplepose.utils.processes import bounded_map, worker_pool

IN_FLIGHT = 8  # Images per process that are under way.
WORTH_PROCESSES = 200  # Images; starting processes takes a second or two.
PIXELS, FAULTS = "pixels.npy", "faults.json"  # In the cache's folder.


@dataclass(frozen=True, eq=False)
class LetterboxedSet:
    """The images of a data set, letterboxed, with what is in them.

    Attributes:
        pixels: [F, H, W, 3] uint8 RGB, mapped from a file.
        places: [N] of those that could be read.
        boxes: [F, M, 4] float32 (x, y, width, height) in input pixels, filled up with zeros.
        persons: [F, M] float32, 1 for a person.
        ignored: [F, M] float32, 1 for a region in which no person is to be denied: a crowd.
        skipped: damaged images left out, by file name, with the reason.
    """

    pixels: np.ndarray
    places: np.ndarray
    boxes: np.ndarray
    persons: np.ndarray
    ignored: np.ndarray
    skipped: dict[str, str]

    def fingerprint(self) -> str:
        """Of what is in the images, for a run that goes on to know them again."""
        digest = hashlib.sha256(repr((self.pixels.shape, sorted(self.skipped))).encode(errors="surrogateescape"))
        for table in (self.places, self.boxes, self.persons, self.ignored):
            digest.update(np.ascontiguousarray(table).tobytes())
        return digest.hexdigest()


def letterboxed_set(
    persons: PersonSet,
    folder: Path,
    size: tuple[int, int],
    cache: Path,
    *,
    skip_damaged: bool = False,
    reading: ImageReading | None = None,
    maximum_images: int = 0,
    progress: bool = True,
) -> LetterboxedSet:
    """Letterboxes the images of a data set into a folder, or takes those that are there.

    Args:
        persons: the annotations, persons without labelled keypoints too.
        folder: of the images.
        size: (H, W) of the detector's input.
        cache: folder for the pixels, which take H · W · 3 bytes an image; one that is there must be of the same set.
        skip_damaged: leaves out images that cannot be read; else they end it.
        reading: the frame to read images in; counts those with an EXIF orientation.
        maximum_images: take the first so many only; 0: all.
        progress: shows a progress bar.

    Raises:
        UserError: there is no image, one cannot be read, or the cache is of another set.
    """
    records = list(persons.images.values())[: maximum_images or None]
    if not records:
        raise UserError(f"{persons.path}: lists no image")
    check_image_folder(folder)
    reading = reading or ImageReading()
    if not cache.exists():
        tasks = [
            LetterboxTask(
                os.path.join(folder, record.file_name), (record.height, record.width), size, reading.orientation
            )
            for record in records
        ]
        with atomic_path(cache) as temporary:
            temporary.mkdir()
            faults = _write_pixels(tasks, temporary / PIXELS, skip_damaged, reading, progress)
            write_json(
                temporary / FAULTS, {records[place].file_name: fault for place, fault in enumerate(faults) if fault}
            )
    pixels, skipped = np.load(cache / PIXELS, mmap_mode="r"), read_json(cache / FAULTS)
    if pixels.shape != (len(records), *size, 3):
        raise UserError(f"{cache}: holds other images than {persons.path} lists; choose a new workdir")
    places = np.array([place for place, record in enumerate(records) if record.file_name not in skipped], np.int64)
    if not len(places):
        raise UserError(f"{persons.path}: none of the {len(records):,} images can be read")
    boxes, flags = _tables(persons, [record.id for record in records], size)
    return LetterboxedSet(pixels, places, boxes, flags[0], flags[1], skipped)


def _write_pixels(
    tasks: list[LetterboxTask], path: Path, skip_damaged: bool, reading: ImageReading, progress: bool
) -> list[str]:
    """Writes the canvases; the fault of each image, "" where there is none."""
    faults = []
    pixels = np.lib.format.open_memmap(path, "w+", np.uint8, (len(tasks), *tasks[0].size, 3))
    with contextlib.ExitStack() as stack:
        results: Iterator[Letterboxed] = map(letterbox_file, tasks)
        if len(tasks) > WORTH_PROCESSES:
            pool = stack.enter_context(worker_pool())
            results = bounded_map(pool, letterbox_file, tasks, IN_FLIGHT * (os.cpu_count() or 1))
        for place, result in enumerate(
            tqdm.tqdm(results, "letterboxing", len(tasks), unit=" images", disable=not progress)
        ):
            reading.orientations.merge(result.orientations)
            if result.canvas is not None:
                pixels[place] = result.canvas
            elif not skip_damaged:
                raise UserError(f"{result.fault}; repair it, or leave such images out with skip_damaged")
            faults.append(result.fault)
    pixels.flush()
    return faults


def _tables(persons: PersonSet, image_ids: list[int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes [F, M, 4], and [2, F, M] persons and ignored regions, as `LetterboxedSet` has them."""
    rows: dict[int, list[tuple[tuple[float, ...], float, float]]] = {image_id: [] for image_id in image_ids}
    for person in persons.persons:
        if person.image_id in rows:
            rows[person.image_id].append((whole_box(person.box), 1.0, 0.0))
    for other in persons.ignored:
        if other.image_id in rows:
            rows[other.image_id].append((other.box, 0.0, 1.0))
    most = max(1, *map(len, rows.values()))
    boxes, flags = np.zeros((len(rows), most, 4), np.float32), np.zeros((2, len(rows), most), np.float32)
    for place, (image_id, entries) in enumerate(rows.items()):
        record = persons.images[image_id]
        factor = min(size[0] / record.height, size[1] / record.width)
        for column, (box, *kind) in enumerate(entries):
            boxes[place, column] = np.array(box) * factor
            flags[:, place, column] = kind
    return boxes, flags


def detector_batches(
    source: LetterboxedSet,
    batch_size: int,
    augmentation: DetectorAugmentationConfig,
    seed: int,
    first_step: int = 0,
) -> tuple[tf.data.Dataset, int]:
    """Endless batches for training; what is drawn depends on the seed and the step only.

    Every epoch holds every image once; its last batch is filled up with images drawn anew.

    Args:
        source: of the images.
        batch_size: B, over all devices.
        augmentation: what is drawn.
        seed: of shuffling and drawing.
        first_step: to go on from.

    Returns:
        the dataset and its steps per epoch. Elements are dictionaries: image [B, H, W, 3] uint8; boxes [B, M, 4],
        persons and ignored [B, M], as `LetterboxedSet`; factor [B] and shift [B, 2] (x, y) in input pixels, by which a
        point p becomes factor · p + shift; flip [B], 1: mirrored before that; tint [B, 3], factors on the colours;
        data_wait [B].
    """
    count = len(source.places)
    steps = -(-count // batch_size)

    def generate() -> Iterator[dict[str, Any]]:
        epoch, behind = divmod(first_step, steps)
        while True:
            random = np.random.default_rng((seed, epoch))
            order = np.concatenate([random.permutation(count), random.integers(0, count, steps * batch_size - count)])
            for chosen in order.reshape(steps, batch_size):
                places = source.places[chosen]
                drawn = _draw(random, batch_size, source.pixels.shape[1:3], augmentation)
                if behind:
                    behind -= 1
                    continue
                yield {
                    "image": source.pixels[places],
                    "boxes": source.boxes[places],
                    "persons": source.persons[places],
                    "ignored": source.ignored[places],
                    **drawn,
                }
            epoch += 1

    shapes = {"boxes": source.boxes.shape[1:], "persons": source.persons.shape[1:], "ignored": source.persons.shape[1:]}
    shapes |= {"factor": (), "shift": (2,), "flip": (), "tint": (3,)}
    signature = {name: tf.TensorSpec((batch_size, *shape), tf.float32) for name, shape in shapes.items()}
    signature["image"] = tf.TensorSpec((batch_size, *source.pixels.shape[1:]), tf.uint8)
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return timed(dataset.prefetch(4), batch_size), steps


def _draw(
    random: np.random.Generator, batch_size: int, size: tuple[int, int], augmentation: DetectorAugmentationConfig
) -> dict[str, np.ndarray]:
    low, high = np.log(augmentation.minimum_scale), np.log(augmentation.maximum_scale)
    factor = np.exp(random.uniform(low, high, batch_size))
    # Where the image is smaller than the input, anywhere in it; where it is larger, any part of it.
    shift = random.random((batch_size, 2)) * (1 - factor[:, None])
    shift += random.uniform(-augmentation.translation, augmentation.translation, (batch_size, 2))
    overall = random.uniform(-augmentation.tint, augmentation.tint, (batch_size, 1))
    color = random.uniform(-augmentation.tint / 2, augmentation.tint / 2, (batch_size, 3))
    values = {
        "factor": factor,
        "shift": shift * (size[1], size[0]),
        "flip": random.random(batch_size) < augmentation.flip_probability,
        "tint": (1 + overall) * (1 + color),
    }
    return {name: value.astype(np.float32) for name, value in values.items()}
