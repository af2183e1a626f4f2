"""Whole images for a person detector: letterboxed, drawn, and augmented together with their boxes."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from keras_simplepose.config import DetectorAugmentationConfig
from keras_simplepose.core.centers import DetectorSpec
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.detector_augment import augmented_images
from keras_simplepose.data.letterboxed import detector_batches, letterboxed_set
from keras_simplepose.utils.errors import UserError

SIZE = (64, 96)
SPEC = DetectorSpec(SIZE, (16, 24))
PLAIN = DetectorAugmentationConfig(minimum_scale=1, maximum_scale=1, translation=0, flip_probability=0, tint=0)
BOXES = {1: [(20, 30, 60, 80)], 2: [(10, 10, 30, 90), (100, 5, 40, 100)], 3: []}


def write_set(folder, crowd=False):
    """Three images of 150 × 120: a white rectangle for every person on black."""
    images, annotations = [], []
    for number, boxes in BOXES.items():
        pixels = np.zeros((120, 150, 3), np.uint8)
        for x, y, width, height in boxes:
            pixels[y : y + height, x : x + width] = 255
            annotations.append(
                {
                    **{"id": len(annotations) + 1, "image_id": number, "category_id": 1, "area": width * height},
                    **{"bbox": [x, y, width, height], "keypoints": [0] * 51, "iscrowd": int(crowd and number == 2)},
                }
            )
        cv2.imwrite(str(folder / f"{number}.png"), pixels)
        images.append({"id": number, "file_name": f"{number}.png", "height": 120, "width": 150})
    category = {"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}
    content = {"images": images, "annotations": annotations, "categories": [category]}
    (folder / "persons.json").write_text(json.dumps(content))
    return load_persons(folder / "persons.json", COCO17, labelled_only=False)


def prepared(tmp_path, crowd=False, **options):
    return letterboxed_set(write_set(tmp_path, crowd), tmp_path, SIZE, tmp_path / "cache", progress=False, **options)


def test_boxes_lie_on_what_they_frame(tmp_path):
    source = prepared(tmp_path)
    assert source.pixels.shape == (3, *SIZE, 3) and source.persons.sum() == 3
    for pixels, boxes, persons in zip(source.pixels, source.boxes, source.persons, strict=True):
        for x, y, width, height in boxes[persons > 0]:
            inner = pixels[round(y) + 2 : round(y + height) - 2, round(x) + 2 : round(x + width) - 2]
            assert inner.size and inner.min() == 255


def test_the_cache_is_taken_again_and_belongs_to_its_set(tmp_path):
    first = prepared(tmp_path)
    written = (tmp_path / "cache/pixels.npy").stat().st_mtime_ns
    again = prepared(tmp_path)
    assert (tmp_path / "cache/pixels.npy").stat().st_mtime_ns == written
    np.testing.assert_array_equal(first.pixels, again.pixels)
    with pytest.raises(UserError, match="holds other images than"):
        prepared(tmp_path, maximum_images=2)


def test_crowds_are_ignored(tmp_path):
    source = prepared(tmp_path, crowd=True)
    assert source.persons.sum() == 1 and source.ignored.sum() == 2


def test_damaged_images_end_it_or_are_left_out(tmp_path):
    persons = write_set(tmp_path)
    (tmp_path / "2.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"2\.png.*skip_damaged"):
        letterboxed_set(persons, tmp_path, SIZE, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
    source = letterboxed_set(persons, tmp_path, SIZE, tmp_path / "cache", progress=False, skip_damaged=True)
    assert source.places.tolist() == [0, 2] and list(source.skipped) == ["2.png"]
    batches, steps = detector_batches(source, 2, PLAIN, seed=0)
    assert steps == 1 and float(np.asarray(next(iter(batches))["persons"]).sum()) == 1


def test_every_epoch_holds_every_image_and_goes_on_the_same_from_any_step(tmp_path):
    source = prepared(tmp_path)

    def drawn_batches(count, first_step=0):
        batches, steps = detector_batches(source, 2, DetectorAugmentationConfig(), 5, first_step)
        assert steps == 2
        drawn = [{name: np.asarray(value) for name, value in batch.items()} for batch in batches.take(count)]
        return [{name: value for name, value in batch.items() if name != "data_wait"} for batch in drawn]

    whole, resumed = drawn_batches(5), drawn_batches(2, first_step=3)
    for one, other in zip(whole[3:], resumed, strict=True):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    counts = {tuple(image.sum(axis=(1, 2)).ravel()) for batch in whole[:2] for image in batch["image"]}
    assert len(counts) == 3


def test_without_augmentation_images_stay_as_they_are(tmp_path):
    source = prepared(tmp_path)
    batch = next(iter(detector_batches(source, 3, PLAIN, 0)[0]))
    images, boxes, persons, ignored = map(np.asarray, augmented_images(batch, SPEC))
    np.testing.assert_array_equal(images, batch["image"])
    np.testing.assert_allclose(boxes, batch["boxes"], atol=1e-4)
    assert persons.sum() == 3 and not ignored.any()


def test_boxes_move_with_their_pixels(tmp_path):
    """Under any drawing the white rectangles fill their boxes, as measured on the pixels."""
    source = prepared(tmp_path)
    config = DetectorAugmentationConfig(tint=0)
    checked = 0
    for batch in detector_batches(source, 3, config, 1)[0].take(8):
        images, boxes, persons, _ = map(np.asarray, augmented_images(batch, SPEC))
        for image, table, found in zip(images, boxes, persons, strict=True):
            for x, y, width, height in table[found > 0]:
                low, high = np.ceil([x, y]).astype(int) + 2, np.floor([x + width, y + height]).astype(int) - 2
                inner = image[low[1] : high[1], low[0] : high[0]]
                assert inner.size == 0 or inner.min() > 250
                outer = image[max(0, low[1] - 6) : high[1] + 6, max(0, low[0] - 6) : high[0] + 6]
                checked += outer.min() < 250
    assert checked > 20


def test_persons_of_whom_little_is_left_are_ignored(tmp_path):
    source = prepared(tmp_path)
    batch = {name: np.asarray(value) for name, value in next(iter(detector_batches(source, 3, PLAIN, 0)[0])).items()}
    batch["shift"] = np.full((3, 2), (-46, 0), np.float32)  # All but what stands at the right leaves the input.
    _, boxes, persons, ignored = map(np.asarray, augmented_images(batch, SPEC))
    np.testing.assert_array_equal(persons + ignored, batch["persons"])
    assert persons.sum() == 1 and boxes[..., 0].min() >= 0


def test_an_empty_list_or_folder_is_refused(tmp_path):
    persons = write_set(tmp_path)
    with pytest.raises(UserError, match="no such folder"):
        letterboxed_set(persons, Path(tmp_path / "absent"), SIZE, tmp_path / "cache")
