"""A generated data set of drawn people in COCO's keypoint format, for trying things out without data.

Every picture follows from (seed, index) alone, so a data set is the same whatever the number of workers.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as run_lengths
from tqdm import tqdm

from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.persons import PERSON_CATEGORY
from keras_simplepose.data.synthetic.drawing import background, develop, draw_figure, draw_obstacle
from keras_simplepose.data.synthetic.person import (
    GROUP_COUNT,
    HEAD,
    LEFT_ARM,
    LEFT_LEG,
    RIGHT_ARM,
    RIGHT_LEG,
    TORSO,
    Figure,
    sample_figure,
)
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, write_json
from keras_simplepose.utils.processes import worker_pool

ANNOTATIONS_NAME = "person_keypoints.json"
IMAGES_NAME = "images"
SMALLEST_SIDE = 32
JPEG_QUALITY = 92
# A person of whom less is visible, in pixels or as a share of the silhouette before anything covered it, is not
# annotated; nor is one without a visible keypoint.
SMALLEST_AREA, SMALLEST_VISIBLE_SHARE = 32, 0.1
# A hidden keypoint is labelled only this near the visible silhouette's box (a share of its sides): farther off, nobody
# could tell where it is.
GUESSING_MARGIN = 0.15
CHUNK = 16  # images a worker takes at a time
FEW_IMAGES = 128  # fewer are drawn sooner than worker processes start

# [17, 2] the limbs on which each keypoint counts as visible: the face's on the head, shoulders and hips on the torso
# too, the others on their own limb.
_KEYPOINT_GROUPS = np.array(
    [(HEAD, HEAD)] * 5
    + [(TORSO, LEFT_ARM), (TORSO, RIGHT_ARM)]
    + [(LEFT_ARM, LEFT_ARM), (RIGHT_ARM, RIGHT_ARM)] * 2
    + [(TORSO, LEFT_LEG), (TORSO, RIGHT_LEG)]
    + [(LEFT_LEG, LEFT_LEG), (RIGHT_LEG, RIGHT_LEG)] * 2
)


def _box_overlap(box: tuple[float, ...], others: list[tuple[float, ...]]) -> float:
    """Area that a box (left, top, right, bottom) shares with the others."""
    overlap = 0.0
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        overlap += max(width, 0.0) * max(height, 0.0)
    return overlap


def _place(
    rng: np.random.Generator, figure: Figure, size: tuple[int, int], pixels: float, others: list[tuple[float, ...]]
) -> tuple[np.ndarray, tuple[float, ...]]:
    """The pixel of a figure's origin, and its box; of several candidates the one that covers least of the others."""
    left, top, right, bottom = (pixels * value for value in figure.extent())
    best: tuple[float, np.ndarray, tuple[float, float, float, float]] | None = None
    for _ in range(4):
        x = rng.uniform(0.08, 0.92) * size[1] - (left + right) / 2
        y = rng.uniform(0.2, 1.0) * max(size[0] - (bottom - top), 0.0) - top
        cut = rng.random()
        if cut < 0.12:
            y = size[0] - rng.uniform(0.5, 0.95) * (bottom - top) - top
        elif cut < 0.18:
            y = -rng.uniform(0.05, 0.35) * (bottom - top) - top
        box = (x + left, y + top, x + right, y + bottom)
        overlap = _box_overlap(box, others)
        if best is None or overlap < best[0]:
            best = (overlap, np.array((x, y)), box)
    assert best  # There is at least one try.
    return best[1], best[2]


def _keypoint_values(
    keypoints: np.ndarray, turned_away: np.ndarray, labels: np.ndarray, first_label: int, box: np.ndarray
) -> list[float]:
    """COCO's 3 K numbers; box (x, y, width, height) is the visible silhouette's."""
    points = np.round(keypoints, 2)
    limits = np.array(labels.shape[::-1]) - 1
    inside = np.all((points >= 0) & (points <= limits), axis=1)
    x, y = np.round(np.where(inside[:, None], points, 0)).astype(int).T
    groups = labels[y, x] - first_label + 1
    seen = (groups[:, None] == _KEYPOINT_GROUPS).any(axis=1) & ~turned_away
    margin = GUESSING_MARGIN * box[2:]
    near = ((points >= box[:2] - margin) & (points <= box[:2] + box[2:] + margin)).all(axis=1)
    face_hidden = turned_away & (_KEYPOINT_GROUPS[:, 0] == HEAD)
    labelled = inside & (seen | near) & ~face_hidden
    values: list[float] = []
    for index in range(len(points)):
        values += [*points[index].tolist(), 2 if seen[index] else 1] if labelled[index] else [0, 0, 0]
    return values


def _annotation(
    labels: np.ndarray, first_label: int, keypoints: np.ndarray, turned_away: np.ndarray, drawn: int
) -> dict[str, Any] | None:
    """The annotation of one person, without ids; None if hardly anything of the person is visible."""
    silhouette = cv2.inRange(labels, first_label, first_label + GROUP_COUNT - 1)
    segmentation = run_lengths.encode(np.asfortranarray(silhouette // 255))
    area, box = int(run_lengths.area(segmentation)), run_lengths.toBbox(segmentation)
    if area < max(SMALLEST_AREA, SMALLEST_VISIBLE_SHARE * drawn):
        return None
    values = _keypoint_values(keypoints, turned_away, labels, first_label, box)
    if 2 not in values[2::3]:
        return None
    return {
        "category_id": PERSON_CATEGORY,
        "iscrowd": 0,
        "bbox": [float(value) for value in box],
        "area": float(area),
        "segmentation": {"size": segmentation["size"], "counts": segmentation["counts"].decode("ascii")},
        "num_keypoints": sum(flag > 0 for flag in values[2::3]),
        "keypoints": values,
    }


def render_scene(
    seed: int, index: int, image_size: tuple[int, int] = (240, 320), maximum_persons: int = 4
) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Draws one picture; the same arguments always give the same picture.

    Args:
        seed: of the data set, at least 0.
        index: of the picture in the data set, at least 0.
        image_size: (height, width) in pixels.
        maximum_persons: 1 to this many people are drawn.

    Returns:
        image [H, W, 3] uint8 RGB, and COCO annotations without `id` and `image_id`. Coordinates are pixels with (0, 0)
        the centre of the top-left one; boxes are the visible silhouettes'. A keypoint's flag is 2 where it is visible,
        1 where another person, an object or the person's own body covers it, and 0, with coordinates 0, outside of
        the image, on the far side of the head, or where what is visible gives no clue to it. People of whom hardly
        anything is visible are not annotated.
    """
    rng = np.random.default_rng((seed, index))
    image = background(rng, image_size)
    labels = np.zeros(image_size, np.int16)
    light = (float(rng.uniform(-0.8, 0.8)), -0.6)
    count = int(rng.integers(1, maximum_persons + 1))
    obstacles = max(0, int(rng.integers(-2, 3)))  # three in five pictures have none
    turns = np.sort(rng.integers(0, count + 1, obstacles))
    # Bigger people are nearer.
    heights = np.sort(rng.uniform(0.30, 0.95, count)) * image_size[0]
    boxes: list[tuple[float, ...]] = []
    persons = []
    for person, height in enumerate(heights):
        for _ in range(int((turns == person).sum())):
            draw_obstacle(rng, image, labels, boxes)
        figure = sample_figure(rng)
        origin, box = _place(rng, figure, image_size, height, boxes)
        boxes.append(box)
        first_label = 1 + GROUP_COUNT * person
        draw_figure(image, labels, figure, origin, height, first_label, light)
        drawn = cv2.countNonZero(cv2.inRange(labels, first_label, first_label + GROUP_COUNT - 1))
        persons.append((first_label, origin + height * figure.keypoints, figure.turned_away, drawn))
    for _ in range(int((turns == count).sum())):
        draw_obstacle(rng, image, labels, boxes)
    annotations = [_annotation(labels, *person) for person in persons]
    return develop(rng, image), [annotation for annotation in annotations if annotation]


def _image_name(index: int) -> str:
    return f"{index + 1:012d}.jpg"


def _write_scenes(
    images: Path, seed: int, indices: range, image_size: tuple[int, int], maximum_persons: int
) -> list[list[dict[str, Any]]]:
    """Writes the pictures of `indices` to the folder `images`; returns each one's annotations."""
    annotations = []
    for index in indices:
        image, people = render_scene(seed, index, image_size, maximum_persons)
        _, data = cv2.imencode(".jpg", image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))
        (images / _image_name(index)).write_bytes(data.tobytes())
        annotations.append(people)
    return annotations


def _write_all_scenes(
    images: Path, image_count: int, seed: int, image_size: tuple[int, int], maximum_persons: int, workers: int | None
) -> list[list[dict[str, Any]]]:
    """Writes every picture, in this process or several; returns each one's annotations in order."""
    chunks = [range(start, min(start + CHUNK, image_count)) for start in range(0, image_count, CHUNK)]
    arguments = [(images, seed, chunk, image_size, maximum_persons) for chunk in chunks]
    if workers is None:
        workers = 1 if image_count < FEW_IMAGES else os.cpu_count() or 1
    scenes: list[list[dict[str, Any]]] = []
    with tqdm(total=image_count, desc="Drawing people", unit="image") as progress:

        def collect(results: Iterable[list[list[dict[str, Any]]]]) -> None:
            for result in results:
                scenes.extend(result)
                progress.update(len(result))

        if workers == 1:
            collect(_write_scenes(*chunk) for chunk in arguments)
            return scenes
        with worker_pool(workers) as pool:
            collect(pool.map(_write_scenes, *zip(*arguments, strict=True)))
    return scenes


def _coco_file(scenes: list[list[dict[str, Any]]], seed: int, image_size: tuple[int, int]) -> dict[str, Any]:
    """The annotation file's content."""
    annotations: list[dict[str, Any]] = []
    for image_id, people in enumerate(scenes, start=1):
        for person in people:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id} | person)
    category = {
        "id": PERSON_CATEGORY,
        "name": "person",
        "supercategory": "person",
        "keypoints": list(COCO17.keypoints),
        "skeleton": [[first + 1, second + 1] for first, second in COCO17.edges],
    }
    return {
        "info": {"description": f"Drawn people, seed {seed}", "version": "1.0", "year": 0, "url": "",
                 "contributor": "", "date_created": ""},
        "licenses": [{"id": 1, "name": "Generated; no rights reserved", "url": ""}],
        "images": [
            {"id": index + 1, "file_name": _image_name(index), "width": image_size[1], "height": image_size[0],
             "license": 1, "coco_url": "", "flickr_url": "", "date_captured": ""}
            for index in range(len(scenes))
        ],
        "annotations": annotations,
        "categories": [category],
    }  # fmt: skip


def _check_arguments(
    folder: Path, image_count: int, seed: int, image_size: tuple[int, int], maximum_persons: int, workers: int | None
) -> None:
    """Raises UserError for the first argument that cannot be."""
    if image_count < 1:
        raise UserError(f"image_count is {image_count}; a synthetic data set has at least 1 image")
    if seed < 0:
        raise UserError(f"seed is {seed}; it must be 0 or greater")
    if len(image_size) != 2 or min(image_size) < SMALLEST_SIDE:
        raise UserError(f"image_size is {image_size}; give (height, width) of at least {SMALLEST_SIDE} pixels each")
    if maximum_persons < 1:
        raise UserError(f"maximum_persons is {maximum_persons}; it must be at least 1")
    if workers is not None and workers < 1:
        raise UserError(f"workers is {workers}; it must be at least 1")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give a folder for the synthetic data set")
    if folder.is_dir() and (others := {entry.name for entry in folder.iterdir()} - {ANNOTATIONS_NAME, IMAGES_NAME}):
        raise UserError(f"{folder} holds other files ({min(others)}); give a new folder for the synthetic data set")


def make_synthetic_dataset(
    folder: str | os.PathLike,
    image_count: int,
    seed: int,
    image_size: tuple[int, int] = (240, 320),
    maximum_persons: int = 4,
    workers: int | None = None,
) -> tuple[Path, Path]:
    """Writes a data set of drawn people: folder/person_keypoints.json and folder/images/*.jpg.

    The folder appears whole or not at all and replaces an earlier data set there. Its bytes depend on the arguments
    but not on `workers`. With several workers, a script must call this under `if __name__ == "__main__":`.

    Args:
        folder: new, empty, or holding an earlier synthetic data set.
        image_count: at least 1.
        seed: at least 0.
        image_size: (height, width) in pixels, at least 32 each.
        maximum_persons: each image shows 1 to this many people.
        workers: processes; by default one per core, or none beside this one for a few images.

    Returns:
        The annotation file and the folder of images.

    Raises:
        UserError: an argument is out of range, the folder holds other files or cannot be written to, or a worker
            process died.
    """
    folder = Path(folder)
    _check_arguments(folder, image_count, seed, image_size, maximum_persons, workers)
    with atomic_path(folder) as temporary:
        images = temporary / IMAGES_NAME
        images.mkdir(parents=True)
        scenes = _write_all_scenes(images, image_count, seed, image_size, maximum_persons, workers)
        write_json(temporary / ANNOTATIONS_NAME, _coco_file(scenes, seed, image_size), indent=None)
    return folder / ANNOTATIONS_NAME, folder / IMAGES_NAME
