import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core.geometry import box_to_crop, crop_matrix, invert, points_to_crop, transform_points
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.warp import warp
from keras_simplepose.data.patches import PatchSettings, half_body_crops, make_patch
from keras_simplepose.data.persons import Person
from keras_simplepose.utils.errors import UserError

PLAIN = AugmentationConfig()
FULL = AugmentationConfig(scale=0.5, rotation=40, shift=0.16, half_body_probability=0.3)


def person(box, keypoints=None, visible=None):
    keypoints = np.zeros((17, 2)) if keypoints is None else keypoints
    visible = np.ones(len(keypoints)) if visible is None else visible
    return Person(1, 1, tuple(box), np.asarray(keypoints, np.float32), np.asarray(visible, np.float32), 1.0)


def smooth_image(height=300, width=400, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def test_the_paper_needs_a_patch_of_416():
    assert PatchSettings.for_training((256, 192), PLAIN).size == 416
    assert PatchSettings.for_training((128, 96), PLAIN).size == 208
    assert PatchSettings.for_training((384, 288), PLAIN).size == 624
    assert PatchSettings.for_training((256, 192), PLAIN).reach == pytest.approx(208 / 192)


def test_settings_round_trip():
    there = PatchSettings.for_training((256, 192), FULL, COCO17.upper_body)
    assert PatchSettings.from_dict(there.to_dict()) == there
    with pytest.raises(UserError, match="reach"):
        PatchSettings.from_dict({key: value for key, value in there.to_dict().items() if key != "reach"})


def test_settings_cover_weaker_augmentation_only():
    def of(size=(256, 192), **changes):
        return PatchSettings.for_training(size, AugmentationConfig(**changes), COCO17.upper_body)

    assert of().covers(of()) and of().covers(of(scale=0.2, rotation=0))
    assert of().covers(of(half_body_minimum=3)), "without half-body crops their minimum does not matter"
    assert not of().covers(of(scale=0.35)) and not of().covers(of(shift=0.1))
    assert of().covers(of(shift=0.1, shift_probability=0))
    assert not of().covers(of(half_body_probability=0.1)) and of(half_body_probability=0.1).covers(of())
    assert not of(half_body_probability=0.3).covers(of(half_body_probability=0.3, half_body_minimum=8))
    assert not of().covers(of(size=(128, 96)))


boxes = st.tuples(st.floats(-20, 380), st.floats(-20, 280), st.floats(1, 420), st.floats(1, 320))
IMAGE = smooth_image()


@settings(max_examples=150, deadline=None)
@given(
    box=boxes,
    scale=st.floats(0.5, 1.5),
    degrees=st.floats(-180, 180),
    shift=st.tuples(*[st.floats(-0.16, 0.16)] * 2),
    seed=st.integers(0, 9),
    choice=st.integers(0, 2),
)
def test_every_point_an_augmented_crop_reads_is_in_the_patch(box, scale, degrees, shift, seed, choice):
    there = PatchSettings.for_training((256, 192), FULL, COCO17.upper_body)
    random = np.random.default_rng(seed)
    keypoints = random.uniform((0, 0), (400, 300), (17, 2))
    subject = person(box, keypoints, random.integers(0, 2, 17))
    patch = make_patch(IMAGE, subject, there)
    assert max(patch.image.shape[:2]) <= there.size
    crops = [box_to_crop(np.array(box), (256, 192))]
    upper = np.isin(np.arange(17), COCO17.upper_body)
    if subject.visible.sum() >= FULL.half_body_minimum:
        for half in (upper, ~upper):
            selected = subject.visible * half
            if selected.sum() >= 2:
                crops.append(points_to_crop(keypoints, selected, (256, 192)))
    center, width = crops[choice % len(crops)]
    center = center + scale * np.array(shift) * (width, width * 256 / 192)
    to_image = invert(crop_matrix(center, np.float64(width * scale), (256, 192), np.float64(degrees)))
    edge = [(x, y) for x in np.linspace(0, 191, 25) for y in np.linspace(0, 255, 25)]
    points = transform_points(to_image, np.array(edge))
    inside = ((points >= 0) & (points <= (399, 299))).all(-1)
    landed = transform_points(patch.matrix.astype(np.float64), points[inside])
    # Float32 keeps about 1e-4 of such coordinates; nothing may fall a visible part of a pixel beyond the last one.
    assert (landed >= -1e-3).all()
    assert (landed <= np.array(patch.image.shape[1::-1]) - 1 + 1e-3).all()


@settings(max_examples=60, deadline=None)
@given(box=boxes, x=st.integers(0, 399), y=st.integers(0, 299), validation=st.booleans())
def test_a_dot_lands_where_the_matrix_says(box, x, y, validation):
    there = PatchSettings.for_validation((256, 192)) if validation else PatchSettings.for_training((256, 192), PLAIN)
    image = np.zeros((300, 400, 3), np.float32)
    cv2.circle(image, (x, y), 4, (255, 255, 255), -1)
    image = cv2.GaussianBlur(image, (0, 0), 3).astype(np.uint8)
    patch = make_patch(image, person(box, [[x, y]]), there)
    np.testing.assert_allclose(patch.keypoints[0], transform_points(patch.matrix, np.array([[x, y]]))[0], atol=1e-3)
    margin = 15 * patch.matrix[0, 0]
    height, width = patch.image.shape[:2]
    if not (margin < patch.keypoints[0, 0] < width - margin and margin < patch.keypoints[0, 1] < height - margin):
        return
    if not (15 < x < 385 and 15 < y < 285):  # A dot cut off by the image's border has its centre of mass elsewhere.
        return
    weight = patch.image[..., 0].astype(float)
    rows, columns = np.mgrid[:height, :width]
    found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
    np.testing.assert_allclose(found, patch.keypoints[0], atol=0.15)


def test_small_persons_keep_their_pixels():
    there = PatchSettings.for_training((256, 192), PLAIN)
    patch = make_patch(IMAGE, person((150.3, 60.8, 40.5, 90.2)), there)
    x, y = (-patch.matrix[:, 2]).astype(int)
    np.testing.assert_array_equal(patch.matrix, [[1, 0, -x], [0, 1, -y]])
    height, width = patch.image.shape[:2]
    np.testing.assert_array_equal(patch.image, IMAGE[y : y + height, x : x + width])
    assert patch.crop_width == pytest.approx(90.2 * 0.75 * 1.25)
    np.testing.assert_allclose(patch.center, [150.3 + 20.25 - x, 60.8 + 45.1 - y], atol=1e-3)


def test_large_persons_fill_the_patch():
    there = PatchSettings.for_training((128, 96), PLAIN)
    patch = make_patch(IMAGE, person((100, 20, 120, 260)), there)
    assert patch.crop_width == pytest.approx(96 * (208 - 2) / 208, rel=1e-5)
    assert patch.matrix[0, 0] == pytest.approx(patch.crop_width / (260 * 0.75 * 1.25), rel=1e-5)


@pytest.mark.parametrize("box", [(150, 60, 40, 90), (-10, -10, 80, 150), (350, 250, 60, 60)])
def test_a_crop_of_a_native_patch_is_the_crop_of_the_image(box):
    there = PatchSettings.for_training((256, 192), PLAIN)
    patch = make_patch(IMAGE, person(box), there)
    center, crop_width = box_to_crop(np.array(box, np.float32), (256, 192))
    for scale, degrees in ((1.0, 0.0), (1.3, 53.0), (0.7, -80.0)):
        matrix = crop_matrix(center, crop_width * scale, (256, 192), np.float32(degrees))
        expected = cv2.warpAffine(IMAGE, matrix, (192, 256), flags=cv2.INTER_LINEAR)
        inner = crop_matrix(patch.center, np.float32(patch.crop_width * scale), (256, 192), np.float32(degrees))
        actual = np.asarray(warp(patch.image[None], inner[None].astype(np.float32), (256, 192)))[0]
        difference = np.abs(actual - expected)
        assert difference.mean() <= 0.5
        assert np.percentile(difference, 99) <= 1.5


def test_a_validation_patch_is_resampled_once():
    box = (60, 10, 200, 280)
    patch = make_patch(IMAGE, person(box), PatchSettings.for_validation((128, 96)))
    center, crop_width = box_to_crop(np.array(box, np.float32), (128, 96))
    expected = cv2.warpAffine(IMAGE, crop_matrix(center, crop_width, (128, 96)), (96, 128), flags=cv2.INTER_LINEAR)
    inner = crop_matrix(patch.center, np.float32(patch.crop_width), (128, 96)).astype(np.float32)
    np.testing.assert_allclose(inner[:, :2], np.eye(2), atol=1e-5)
    np.testing.assert_allclose(inner[:, 2], np.round(inner[:, 2]), atol=1e-3)
    actual = np.asarray(warp(patch.image[None], inner[None], (128, 96)))[0]
    assert np.abs(actual - expected).mean() <= 0.3


def test_shrunken_patches_come_close_to_sampling_the_image():
    box = (60, 10, 200, 280)
    patch = make_patch(IMAGE, person(box), PatchSettings.for_training((128, 96), PLAIN))
    center, crop_width = box_to_crop(np.array(box, np.float32), (128, 96))
    for scale, degrees in ((1.0, 0.0), (1.3, 53.0), (0.7, -80.0)):
        matrix = crop_matrix(center, crop_width * scale, (128, 96), np.float32(degrees))
        expected = cv2.warpAffine(IMAGE, matrix, (96, 128), flags=cv2.INTER_LINEAR)
        inner = crop_matrix(patch.center, np.float32(patch.crop_width * scale), (128, 96), np.float32(degrees))
        actual = np.asarray(warp(patch.image[None], inner[None].astype(np.float32), (128, 96)))[0]
        assert np.abs(actual - expected).mean() <= 4


def test_half_body_crops_need_enough_keypoints_on_a_half():
    there = PatchSettings.for_training((256, 192), FULL, COCO17.upper_body)
    keypoints = np.random.default_rng(0).uniform(0, 100, (17, 2)).astype(np.float32)
    everything = half_body_crops(keypoints, np.ones(17), there)
    (center, width), _ = everything
    low, high = keypoints[:11].min(0), keypoints[:11].max(0)
    np.testing.assert_allclose(center, (low + high) / 2, rtol=1e-6)
    span = high - low
    assert width == pytest.approx(1.5 * max(span[0], span[1] * 0.75), rel=1e-6)
    assert len(everything) == 2
    assert len(half_body_crops(keypoints, np.arange(17) < 11, there)) == 1
    assert half_body_crops(keypoints, np.arange(17) < 8, there) == []
    assert half_body_crops(keypoints, np.ones(17), PatchSettings.for_training((256, 192), PLAIN)) == []


def test_reach_is_the_farthest_corner():
    shifted = PatchSettings.for_training((256, 192), AugmentationConfig(scale=0.5, shift=0.16))
    assert shifted.reach * 192 == pytest.approx(1.5 * (160 + 0.16 * math.hypot(256, 192)))
    upright = PatchSettings.for_training((256, 192), AugmentationConfig(scale=0.0, rotation=0.0))
    assert upright.reach * 192 == 128
