from dataclasses import replace

import numpy as np
from tracking_scenes import poses_of, standing

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.viz.tracks import TrackDrawer, track_color

IMAGE = np.full((240, 320, 3), 128, np.uint8)


def tracked(x, person=4, propagated=False):
    return TrackedPoses(poses_of([standing(x, 100)]), np.array([person]), np.array([propagated]))


def count(image, person):
    return int((image == track_color(person)).all(-1).sum())


def test_a_colour_stays_with_its_person_and_others_have_others():
    draw = TrackDrawer(0)
    assert all(count(draw(IMAGE, tracked(x)), 4) > 100 for x in (20, 60))
    assert count(draw(IMAGE, tracked(60, 5)), 4) == 0
    colors = np.array([track_color(person) for person in range(1, 9)], int)
    assert min(np.abs(a - b).max() for i, a in enumerate(colors) for b in colors[:i]) > 40


def test_the_trail_grows_behind_a_person_up_to_its_length():
    short, long = TrackDrawer(3), TrackDrawer(20)
    for x in range(20, 220, 10):
        images = short(IMAGE, tracked(x)), long(IMAGE, tracked(x))
    assert (images[0] != images[1])[:, :120].any() and not (images[0] != IMAGE)[:, :120].any()


def test_who_left_loses_the_trail_at_last():
    draw = TrackDrawer(3)
    for x in (20, 30, 40):
        draw(IMAGE, tracked(x))
    nobody = TrackedPoses(poses_of([]), np.zeros(0, int), np.zeros(0, bool))
    for _ in range(3):
        np.testing.assert_array_equal(draw(IMAGE, nobody), IMAGE)
    np.testing.assert_array_equal(draw(IMAGE, tracked(200)), TrackDrawer(3)(IMAGE, tracked(200)))  # No line from 40.


def test_a_person_no_detector_saw_has_a_dashed_box_and_the_given_frame_stays():
    before = IMAGE.copy()
    plain, dashed = (TrackDrawer(0)(IMAGE, tracked(50, propagated=seen)) for seen in (False, True))
    assert count(dashed, 4) < count(plain, 4)
    np.testing.assert_array_equal(IMAGE, before)


def test_persons_outside_the_picture():
    far = tracked(-500)
    assert TrackDrawer(5)(IMAGE, replace(far)).shape == IMAGE.shape
