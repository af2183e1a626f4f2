"""Persons as points, against loops over cells."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_simplepose.core.centers import DetectorSpec, decode_centers, encode_centers
from keras_simplepose.utils.errors import UserError

SPEC = DetectorSpec((64, 96), (16, 24))


def slow_targets(boxes, persons, ignored, spec):
    """As `encode_centers`, of one image, cell by cell."""
    h, w = spec.map_size
    heat, counted, weights, values = np.zeros((h, w)), np.ones((h, w)), np.zeros((h, w)), np.zeros((h, w, 4))
    gaussians = []
    for box, person, crowd in zip(np.asarray(boxes, float) / spec.stride, persons, ignored, strict=True):
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        column, row = math.floor(x + 0.5), math.floor(y + 0.5)
        gaussian = np.zeros((h, w))
        for i in range(h):
            for j in range(w):
                if crowd and box[0] <= j <= box[0] + box[2] and box[1] <= i <= box[1] + box[3]:
                    counted[i, j] = 0
                if person and 0 <= column < w and 0 <= row < h:
                    across, down = (j - column) / ((0.54 * box[2] + 1) / 6), (i - row) / ((0.54 * box[3] + 1) / 6)
                    gaussian[i, j] = math.exp(-(across**2 + down**2) / 2)
        gaussians.append((gaussian, x, y, box[2], box[3]))
    for i in range(h):
        for j in range(w):
            heat[i, j] = max(gaussian[i, j] for gaussian, *_ in gaussians)
    owner = np.argmax([gaussian for gaussian, *_ in gaussians], axis=0)
    for number, (gaussian, x, y, width, height) in enumerate(gaussians):
        own = (owner == number) & (gaussian >= 0.3)
        for i, j in zip(*np.nonzero(own), strict=True):
            weights[i, j] = gaussian[i, j] / gaussian[own].sum()
            values[i, j] = x - j, y - i, math.log(width), math.log(height)
    return heat, counted, values, weights


def drawn(seed, count=5):
    random = np.random.default_rng(seed)
    size = random.uniform(6, 60, (count, 2))
    boxes = np.concatenate([random.uniform(-10, [90, 60], (count, 2)) - size / 4, size], axis=1).astype(np.float32)
    kind = random.integers(0, 3, count)
    return boxes, (kind == 1).astype(np.float32), (kind == 2).astype(np.float32)


def check_targets(function, seed):
    boxes, persons, ignored = drawn(seed)
    found = [np.asarray(value)[0] for value in function(boxes[None], persons[None], ignored[None])]
    heat, counted, values, weights = slow_targets(boxes, persons, ignored, SPEC)
    np.testing.assert_allclose(found[0], heat, atol=1e-5)
    np.testing.assert_array_equal(found[1], counted)
    np.testing.assert_allclose(found[3], weights, atol=1e-5)
    np.testing.assert_allclose(found[2][weights > 0], values[weights > 0], atol=1e-4)
    assert found[4] == sum(gauss for gauss in persons * inside(boxes))


def inside(boxes):
    cells = np.floor((boxes[:, :2] + boxes[:, 2:] / 2) / SPEC.stride + 0.5)
    return ((cells >= 0) & (cells < [24, 16])).all(1)


@pytest.mark.parametrize("seed", range(8))
def test_targets_are_the_slow_ones(seed):
    check_targets(lambda *arguments: encode_centers(*arguments, SPEC), seed)


@pytest.mark.parametrize("compiled", [False, True])
def test_targets_are_the_same_in_graphs(compiled):
    function = tf.function(lambda *arguments: encode_centers(*arguments, SPEC), jit_compile=compiled)
    check_targets(function, 3)


def test_every_person_counts_once_and_centers_are_exactly_1():
    boxes = np.array([[[4, 4, 20, 30], [40, 8, 50, 50], [30, 60, 60, 90]]], np.float32)
    targets = encode_centers(boxes, np.array([[1, 1, 1]], np.float32), np.zeros((1, 3), np.float32), SPEC)
    assert np.asarray(targets.persons) == [2]  # The third one's centre lies below the input.
    assert np.asarray(targets.weights).sum() == pytest.approx(2, abs=1e-5)
    assert (np.asarray(targets.heat) == 1).sum() == 2


def slow_peaks(maps, spec):
    """(score, box) of every cell that none of its neighbours exceeds, best first."""
    h, w = spec.map_size
    found = []
    for i in range(h):
        for j in range(w):
            around = maps[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2, 0]
            if maps[i, j, 0] >= around.max():
                logit, dx, dy, width, height = map(float, maps[i, j])
                width, height = math.exp(width), math.exp(height)
                box = np.array([j + dx - width / 2, i + dy - height / 2, width, height]) * spec.stride
                found.append((1 / (1 + math.exp(-logit)), box))
    return sorted(found, key=lambda each: -each[0])


@pytest.mark.parametrize("how", ["eager", "graph", "xla", "data"])
def test_decoding_is_the_slow_one(how):
    maps = np.random.default_rng(1).normal(0, 1, (2, 16, 24, 5)).astype(np.float32)

    def decode(maps):
        return decode_centers(maps, SPEC, 12)

    if how == "data":
        boxes, scores = next(iter(tf.data.Dataset.from_tensors(maps).map(decode)))
    else:
        boxes, scores = decode(maps) if how == "eager" else tf.function(decode, jit_compile=how == "xla")(maps)
    for image in range(2):
        slow = slow_peaks(maps[image], SPEC)[:12]
        np.testing.assert_allclose(np.asarray(scores)[image], [score for score, _ in slow], rtol=1e-5)
        np.testing.assert_allclose(np.asarray(boxes)[image], [box for _, box in slow], atol=2e-3, rtol=1e-4)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(*[st.integers(0, 3)] * 2, *[st.floats(9, 30)] * 2), min_size=1, max_size=4, unique_by=lambda b: b[:2]
    )
)
def test_what_is_drawn_is_found_again(places):
    """Persons in different quarters of the input come back from their own targets."""
    boxes = np.array([[12 + 22 * x, 9 + 14 * y, width, height] for x, y, width, height in places], np.float32)
    boxes[:, :2] -= boxes[:, 2:] / 2
    ones = np.ones((1, len(boxes)), np.float32)
    targets = encode_centers(boxes[None], ones, 0 * ones, SPEC)
    heat = np.clip(np.asarray(targets.heat), 1e-6, 1 - 1e-6)
    maps = np.concatenate([np.log(heat / (1 - heat))[..., None], np.asarray(targets.values)], axis=-1)
    found, scores = (np.asarray(value)[0] for value in decode_centers(maps, SPEC, len(boxes)))
    assert scores.min() > 0.99
    np.testing.assert_allclose(sorted(map(tuple, found.tolist())), sorted(map(tuple, boxes.tolist())), atol=1e-3)


def test_beyond_the_last_peak_scores_are_0():
    maps = np.full((1, 16, 24, 5), -20, np.float32)
    maps[0, :, :, 0] = np.linspace(-3, 3, 16 * 24).reshape(16, 24)
    _, scores = decode_centers(maps, SPEC, 5)
    np.testing.assert_allclose(np.asarray(scores)[0, 1:], 0)


def test_the_specification_comes_back_and_is_checked():
    assert DetectorSpec.from_dict(SPEC.to_dict()) == SPEC and SPEC.stride == 4
    with pytest.raises(UserError, match="aspect ratio"):
        DetectorSpec((64, 96), (16, 16))
    with pytest.raises(UserError, match="damaged"):
        DetectorSpec.from_dict({"input_size": [64, 96]})
