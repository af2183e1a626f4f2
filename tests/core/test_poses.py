"""Poses as other libraries take them."""

import sys

import numpy as np
import pytest

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.utils.errors import UserError


def poses(count):
    random = np.random.default_rng(0)
    points = random.uniform(10, 90, (count, 17, 3)).astype(np.float32)
    points[..., 2] = random.uniform(0, 1, (count, 17))
    boxes = np.tile(np.array([5, 6, 80, 70], np.float32), (count, 1))
    return Poses(points, np.linspace(0.9, 0.1, count), boxes, points[..., 2] > 0.5, COCO17)


@pytest.mark.parametrize("count", [0, 3])
def test_supervision_draws_the_reliable_points(count):
    supervision = pytest.importorskip("supervision")
    found = poses(count)
    converted = found.to_supervision()
    assert len(converted) == count
    np.testing.assert_array_equal(converted.xy, found.keypoints[..., :2])
    np.testing.assert_array_equal(converted.keypoint_confidence, found.keypoints[..., 2])
    np.testing.assert_allclose(converted.detection_confidence, found.scores)
    picture = np.zeros((100, 100, 3), np.uint8)
    drawn = supervision.VertexAnnotator(radius=1, color=supervision.Color.WHITE).annotate(picture.copy(), converted)
    marked = {(int(x), int(y)) for x, y in found.keypoints[found.reliable][:, :2]}
    assert all(drawn[y, x].any() for x, y in marked) and drawn.any() == bool(count)
    supervision.EdgeAnnotator(edges=[(one + 1, other + 1) for one, other in COCO17.edges]).annotate(picture, converted)
    if count:
        assert converted[1].xy.shape[1:] == (17, 2) and converted.data["xyxy"][0].tolist() == [5, 6, 85, 76]


def test_without_supervision_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match=r"pip install 'keras_simplepose\[supervision\]'"):
        poses(1).to_supervision()
