import dataclasses

import cv2
import numpy as np
import pytest

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import COCO17, MPII16, POSETRACK15
from keras_simplepose.utils.errors import UserError
from keras_simplepose.viz.drawing import (
    LEFT,
    MIDDLE,
    PERSON_COLORS,
    RIGHT,
    Picture,
    draw_poses,
    edge_sides,
    keypoint_sides,
    line_width,
)
from keras_simplepose.viz.heatmaps import draw_heatmaps

# A person seen from the front, 1 tall and 0.5 wide; COCO's order.
FIGURE = np.array(
    [[0.25, 0.06], [0.27, 0.04], [0.23, 0.04], [0.3, 0.05], [0.2, 0.05], [0.37, 0.2], [0.13, 0.2], [0.45, 0.38]]
    + [[0.05, 0.38], [0.48, 0.55], [0.02, 0.55], [0.33, 0.55], [0.17, 0.55], [0.34, 0.77], [0.16, 0.77], [0.35, 0.97]]
    + [[0.15, 0.97]],
    np.float32,
)


def figures(corners, height, score=1.0):
    points = np.stack([FIGURE * height + corner for corner in corners])
    count = len(corners)
    scores = np.full((count, 17, 1), score, np.float32)
    boxes = np.array([[x, y, 0.5 * height, height] for x, y in corners], np.float32)
    keypoints = np.concatenate([points, scores], axis=-1).astype(np.float32)
    return Poses(keypoints, np.ones(count, np.float32), boxes, np.ones((count, 17), bool), COCO17)


def grey(height, width):
    return np.full((height, width, 3), 90, np.uint8)


def middle_of(poses, a, b, person=0):
    x, y = poses.keypoints[person, [a, b], :2].mean(0).round().astype(int)
    return y, x


def test_sides_are_the_skeletons():
    assert [keypoint_sides(COCO17)[index] for index in (0, 5, 6)] == ["middle", "left", "right"]
    for skeleton in (COCO17, MPII16, POSETRACK15):
        for name, side in zip(skeleton.keypoints, keypoint_sides(skeleton), strict=True):
            assert side == next((each for each in ("left", "right") if name.startswith(each)), "middle")
    sides = dict(zip(COCO17.edges, edge_sides(COCO17), strict=True))
    assert (
        sides[(5, 7)] == "left" and sides[(6, 8)] == "right" and sides[(5, 6)] == "middle" and sides[(0, 1)] == "left"
    )


def test_limbs_have_their_sides_colour_and_the_image_stays():
    image, poses = grey(300, 200), figures([(20, 10)], 280)
    drawing = draw_poses(image, poses)
    assert (image == 90).all() and drawing.shape == image.shape and drawing.dtype == np.uint8
    assert tuple(drawing[middle_of(poses, 5, 7)]) == LEFT
    assert tuple(drawing[middle_of(poses, 6, 8)]) == RIGHT
    assert tuple(drawing[middle_of(poses, 11, 12)]) == MIDDLE


def test_faded_limbs_keep_their_hue():
    """A weak limb blends with the photograph, never with its own outline, which would change left into right."""
    image, poses = grey(300, 400), figures([(20, 10), (220, 10)], 280, score=0.3)
    drawing = draw_poses(image, poses, numbers=False).astype(int)
    strong = draw_poses(image, figures([(20, 10), (220, 10)], 280)).astype(int)
    for a, b, color in ((5, 7, LEFT), (6, 8, RIGHT)):
        place = middle_of(poses, a, b)
        shares = (drawing[place] - 90) / (np.array(color) - 90)
        assert np.ptp(shares) < 0.05 and 0.3 < shares.mean() < 0.9
        assert np.abs(strong[place] - color).max() <= 1


def test_unreliable_points_are_not_drawn():
    image, poses = grey(300, 200), figures([(20, 10)], 280)
    reliable = poses.reliable.copy()
    reliable[0, [7, 9]] = False  # Left elbow and wrist.
    drawing = draw_poses(image, dataclasses.replace(poses, reliable=reliable))
    for a, b in ((5, 7), (7, 9)):
        assert (drawing[middle_of(poses, a, b)] == 90).all()
    assert tuple(drawing[middle_of(poses, 6, 8)]) == RIGHT
    nothing = dataclasses.replace(poses, reliable=np.zeros_like(poses.reliable))
    np.testing.assert_array_equal(draw_poses(image, nothing), image)


def test_several_persons_have_outlines_and_numbers_of_their_own():
    image, poses = grey(300, 400), figures([(20, 15), (220, 15)], 270)
    drawing = draw_poses(image, poses)
    for person, half in ((0, drawing[:, :200]), (1, drawing[:, 200:])):
        own = (half == PERSON_COLORS[person]).all(-1).sum()
        other = (half == PERSON_COLORS[1 - person]).all(-1).sum()
        assert own > 300 and other == 0
    alone = draw_poses(image, figures([(20, 15)], 270))
    assert not any((alone == color).all(-1).any() for color in PERSON_COLORS)


@pytest.mark.parametrize(("height", "width"), [(200, 150), (1080, 1920), (2160, 3840)])
def test_sizes_follow_the_person_and_stay_visible(height, width):
    whole = line_width(FIGURE * height * 0.9, np.array([0, 0, 1, 1]), (height, width))
    assert 1 <= whole and 0.005 < whole / height < 0.03
    small = line_width(FIGURE * 40, np.array([0, 0, 1, 1]), (height, width))
    assert 1 <= small <= 40 / 10  # Never a blob.
    assert small <= whole
    # What is drawn is seen when the whole picture is shrunk to a screen of 800 pixels.
    image, poses = grey(height, width), figures([(10, 5)], height * 0.9)
    factor = min(1.0, 800 / max(height, width))
    shrunk = cv2.resize(draw_poses(image, poses), None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    y, x = np.multiply(middle_of(poses, 5, 7), factor).astype(int)
    near = shrunk[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3).astype(int)
    assert np.abs(near - LEFT).max(1).min() < 60


def test_points_far_outside_and_no_persons():
    image = grey(60, 80)
    poses = figures([(-5000, -5000), (70, 50)], 300)
    assert draw_poses(image, poses).shape == image.shape
    np.testing.assert_array_equal(draw_poses(image, Poses(*_empty())), image)


def _empty():
    return np.zeros((0, 17, 3), np.float32), np.zeros(0), np.zeros((0, 4)), np.zeros((0, 17), bool), COCO17


def test_other_images_are_refused():
    for image in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8)):
        with pytest.raises(UserError, match="uint8"):
            draw_poses(image, figures([(0, 0)], 4))


def test_a_picture_shows_itself_in_a_notebook():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    data = Picture(image)._repr_png_()
    assert data.startswith(b"\x89PNG")
    decoded = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    np.testing.assert_array_equal(decoded, image)


def test_heatmaps_lie_where_their_crop_is():
    image = grey(100, 200)
    heatmaps = np.zeros((1, 16, 12, 17), np.float32)
    heatmaps[0, 10, 6, 3] = 1
    matrix = np.array([[[0.5, 0, -20], [0, 0.5, -5]]], np.float32)  # Crop (24, 40) is image (88, 90).
    drawn = draw_heatmaps(image, heatmaps, matrix, (4.0, 4.0))
    change = np.abs(drawn.astype(int) - 90).sum(-1)
    center = [(change * place).sum() / change.sum() for place in np.mgrid[:100, :200][::-1]]
    assert center == pytest.approx([88, 90], abs=0.3)
    assert (drawn[:, :60] == 90).all()
    np.testing.assert_array_equal(draw_heatmaps(image, heatmaps[:0], matrix[:0], (4.0, 4.0)), image)
