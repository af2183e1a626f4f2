"""Suppression in graphs, against OpenCV's."""

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.core.suppression import overlaps, suppressed


def crowded(seed, count=40):
    random = np.random.default_rng(seed)
    boxes = np.concatenate([random.uniform(0, 40, (count, 2)), random.uniform(10, 50, (count, 2))], axis=1)
    return boxes.astype(np.float32), np.sort(random.random(count).astype(np.float32))[::-1].copy()


@pytest.mark.parametrize("how", ["eager", "graph", "xla"])
@pytest.mark.parametrize("overlap", [0.2, 0.65])
def test_it_keeps_what_opencv_keeps(how, overlap):
    function = lambda boxes, scores: suppressed(boxes, scores, overlap)  # noqa: E731
    if how != "eager":
        function = tf.function(function, jit_compile=how == "xla")
    for seed in range(4):
        boxes, scores = crowded(seed)
        kept = np.flatnonzero(np.asarray(function(boxes, scores)))
        expected = cv2.dnn.NMSBoxes(boxes.tolist(), scores.tolist(), 0.0, overlap)
        assert kept.tolist() == sorted(np.asarray(expected).tolist())
        assert 1 < len(kept) < len(boxes)


def test_overlaps_are_known_ones():
    boxes = np.array([[0, 0, 10, 10], [5, 0, 10, 10], [20, 20, 5, 5], [3, 3, 0, 0]], np.float32)
    expected = np.eye(4)
    expected[0, 1] = expected[1, 0] = 50 / 150
    expected[3, 3] = 0
    np.testing.assert_allclose(overlaps(boxes), expected, atol=1e-6)
