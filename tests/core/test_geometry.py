import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_simplepose.core.geometry import (
    box_to_crop,
    compose,
    crop_matrix,
    invert,
    points_to_crop,
    transform_points,
)

SIZES = st.sampled_from([(256, 192), (128, 96), (256, 256), (64, 48)])
COORDINATES = st.floats(-500, 1500)
CROPS = st.tuples(COORDINATES, COORDINATES, st.floats(4, 1000), st.floats(-180, 180), st.sampled_from([0.0, 1.0]))
SETTINGS = settings(max_examples=50, deadline=None)


def matrix_of(crop, size):
    x, y, width, degrees, flip = crop
    return crop_matrix(np.array([x, y]), np.float64(width), size, np.float64(degrees), np.float64(flip))


def third_point(first, second):
    """The corner that makes a right angle at `second`, as the release builds its third point."""
    direction = first - second
    return second + np.array([-direction[1], direction[0]])


def oracle(center, crop_width, size, degrees):
    """The release's affine: from three point pairs, by OpenCV."""
    height, width = size
    radians = math.pi * degrees / 180
    up = np.array([0.0, -0.5 * crop_width])
    rotated = np.array(
        [up[0] * math.cos(radians) - up[1] * math.sin(radians), up[0] * math.sin(radians) + up[1] * math.cos(radians)]
    )
    source, target = np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32)
    source[0], source[1] = center, center + rotated
    target[0], target[1] = (width * 0.5, height * 0.5), (width * 0.5, height * 0.5 - width * 0.5)
    source[2], target[2] = third_point(source[0], source[1]), third_point(target[0], target[1])
    return cv2.getAffineTransform(source, target)


@SETTINGS
@given(st.tuples(st.floats(0, 600), st.floats(0, 600)), st.floats(20, 800), SIZES, st.floats(-180, 180))
def test_the_crop_matrix_is_the_one_of_three_points(center, crop_width, size, degrees):
    matrix = crop_matrix(np.array(center), np.float64(crop_width), size, np.float64(degrees))
    height, width = size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float64)
    expected = transform_points(invert(oracle(np.array(center), crop_width, size, degrees)), corners)
    # The release keeps its three points in float32.
    np.testing.assert_allclose(transform_points(invert(matrix), corners), expected, atol=0.01)


def test_the_centre_lands_in_the_middle_and_an_upright_crop_spans_the_output():
    matrix = crop_matrix(np.array([100.0, 80.0]), np.float64(60), (256, 192))
    corners = np.array([[100, 80], [70, 40], [130, 120]], np.float64)
    np.testing.assert_allclose(transform_points(matrix, corners), [[96, 128], [0, 0], [192, 256]])


@SETTINGS
@given(CROPS, SIZES, st.integers(2, 2000))
def test_a_mirrored_crop_is_the_crop_of_the_mirrored_image(crop, size, image_width):
    x, y, width, degrees, _ = crop
    points = np.array([[0.0, 0.0], [17.0, 40.5], [image_width - 1.0, 7.0]])
    mirrored = points * [-1, 1] + [image_width - 1, 0]  # The release: x' = width − 1 − x, for the centre too.
    plain = crop_matrix(np.array([image_width - 1 - x, y]), np.float64(width), size, np.float64(degrees))
    flipped = matrix_of((x, y, width, degrees, 1.0), size)
    np.testing.assert_allclose(transform_points(flipped, points), transform_points(plain, mirrored), atol=1e-6)


@SETTINGS
@given(CROPS, SIZES, st.lists(st.tuples(COORDINATES, COORDINATES), min_size=1, max_size=5))
def test_inverting_leads_back(crop, size, points):
    matrix = matrix_of(crop, size)
    back = transform_points(invert(matrix), transform_points(matrix, np.array(points)))
    np.testing.assert_allclose(back, points, atol=1e-6)


@SETTINGS
@given(CROPS, CROPS, SIZES)
def test_composing_is_applying_one_after_the_other(inner, outer, size):
    inner, outer = matrix_of(inner, size), matrix_of(outer, size)
    points = np.array([[0.0, 0.0], [10.0, -3.0], [250.0, 99.5]])
    one_by_one = transform_points(outer, transform_points(inner, points))
    np.testing.assert_allclose(transform_points(compose(outer, inner), points), one_by_one, rtol=1e-9, atol=1e-6)


def test_composing_with_the_inverse_is_the_identity():
    matrix = matrix_of((40.0, 50.0, 100.0, 30.0, 1.0), (256, 192))
    np.testing.assert_allclose(compose(matrix, invert(matrix)), [[1, 0, 0], [0, 1, 0]], atol=1e-12)


def test_a_singular_matrix_has_no_finite_inverse():
    with np.errstate(divide="ignore", invalid="ignore"):
        assert not np.isfinite(invert(np.zeros((2, 3)))).any()


def test_numpy_and_tensors_agree():
    random = np.random.default_rng(0)
    boxes = random.uniform(1, 300, (8, 4)).astype(np.float32)
    degrees = random.uniform(-80, 80, 8).astype(np.float32)
    flip = (random.random(8) < 0.5).astype(np.float32)
    points = random.uniform(0, 300, (8, 5, 2)).astype(np.float32)
    selected = np.ones((8, 5), np.float32)

    def everything(boxes, degrees, flip, points, selected):
        center, width = box_to_crop(boxes, (256, 192))
        matrix = crop_matrix(center, width, (256, 192), degrees, flip)
        there = transform_points(matrix, points)
        around, width_around = points_to_crop(points, selected, (256, 192))
        return [center, width, matrix, there, compose(invert(matrix), matrix), around, width_around]

    arrays = everything(boxes, degrees, flip, points, selected)
    tensors = everything(*map(ops.convert_to_tensor, (boxes, degrees, flip, points, selected)))
    for array, tensor in zip(arrays, tensors, strict=True):
        assert isinstance(array, np.ndarray) and not isinstance(tensor, np.ndarray)
        np.testing.assert_allclose(ops.convert_to_numpy(tensor), array, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize(
    ("box", "crop_width"),
    [((10, 20, 30, 100), 75 * 1.25), ((10, 20, 90, 100), 90 * 1.25), ((10, 20, 75, 100), 75 * 1.25)],
    ids=["tall", "wide", "of the input's shape"],
)
def test_a_box_is_widened_to_the_input_and_padded(box, crop_width):
    center, width = box_to_crop(np.array(box, np.float64), (256, 192))
    np.testing.assert_allclose(center, [10 + box[2] / 2, 70])
    assert width == pytest.approx(crop_width)


def test_points_are_enclosed_and_others_ignored():
    points = np.array([[10.0, 20.0], [40.0, 80.0], [900.0, 900.0]])
    center, width = points_to_crop(points, np.array([1.0, 1.0, 0.0]), (256, 192), padding=1.5)
    np.testing.assert_allclose(center, [25, 50])
    assert width == pytest.approx(60 * 0.75 * 1.5)
