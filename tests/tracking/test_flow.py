import numpy as np
import pytest
from tracking_scenes import Film

from keras_simplepose.tracking.flow import FlowField, FrameFlow, make_flow
from keras_simplepose.utils.errors import UserError


def advance(frames, side=320, name="dis", histogram=0.45, residual=40.0):
    flow = FrameFlow(make_flow(name), side, histogram, residual)
    return [flow.advance(frame) for frame in frames]


def shifted(shift, size=(240, 320)):
    """Two frames of a camera that pans: the second is the first moved by whole pixels."""
    wide = Film.texture(np.random.default_rng(0), (size[0] + 40, size[1] + 40))
    x, y = shift
    return wide[20:-20, 20:-20], wide[20 - y : -20 - y, 20 - x : wide.shape[1] - 20 - x]


@pytest.mark.parametrize("name", ["dis", "farneback"])
@pytest.mark.parametrize("side", [320, 160, 200])
def test_a_pan_is_found_in_whole_pixels_of_the_frame_whatever_the_coarse_size(name, side):
    first, second = advance(shifted((5, -3)), side, name)
    assert first.motion is None and not first.is_cut and not second.is_cut
    points = np.stack(np.meshgrid(np.linspace(60, 260, 9), np.linspace(50, 190, 7)), -1)
    moved = second.motion(points)
    assert moved.shape == points.shape
    np.testing.assert_allclose(np.median(moved, (0, 1)), [5, -3], atol=0.4)


def test_vectors_are_rescaled_on_each_axis_by_its_own_factor():
    """A frame of 241×317 reduced to 200 pixels is not reduced alike on both axes."""
    flow = FrameFlow(lambda first, second: np.ones((*first.shape, 2), np.float32), 200, 2, 255)
    image = np.zeros((241, 317, 3), np.uint8)
    flow.advance(image)
    moved = flow.advance(image).motion(np.array([[100.0, 100.0]]))
    np.testing.assert_allclose(moved, [[317 / 200, 241 / 152]], rtol=1e-6)


def test_sampling_is_bilinear_between_the_middles_of_coarse_pixels():
    vectors = np.zeros((2, 2, 2), np.float32)
    vectors[:, 1, 0] = 10
    field = FlowField(vectors, (4, 4))  # Coarse middles lie at 0.5 and 2.5.
    x = np.array([-5, 0.5, 1.0, 1.5, 2.5, 9])
    np.testing.assert_allclose(field(np.stack([x, x], -1))[:, 0], [0, 0, 2.5, 5, 10, 10])


def test_a_point_that_is_no_number_moves_by_none():
    moved = FlowField(np.ones((3, 3, 2), np.float32), (3, 3))(np.array([[np.nan, 1.0], [1.0, 1.0]]))
    assert np.isnan(moved[0]).all() and (moved[1] == 1).all()


def test_flow_is_computed_once_a_pair():
    calls = []

    def estimator(first, second):
        calls.append(first.shape)
        return np.zeros((*first.shape, 2), np.float32)

    flow = FrameFlow(estimator, 80, 2, 255)
    for frame in (Film([[[0, 0]]]).frame(0),) * 4:
        flow.advance(frame)
    assert calls == [(60, 80)] * 3


def test_a_cut_to_other_colours_is_seen_by_the_histogram_and_to_the_same_colours_by_the_residual():
    rng = np.random.default_rng(1)
    room, dark = Film.texture(rng, (240, 320)), Film.texture(rng, (240, 320)) // 4
    other = Film.texture(rng, (240, 320))
    assert [step.is_cut for step in advance([room, room, dark, dark])] == [False, False, True, False]
    assert [step.is_cut for step in advance([room, other], histogram=2)] == [False, True]
    assert not advance([room, other], histogram=2, residual=255)[1].is_cut


def test_a_change_of_size_is_a_cut():
    big, small = np.zeros((100, 120, 3), np.uint8), np.zeros((50, 60, 3), np.uint8)
    steps = advance([big, small, small])
    assert [step.is_cut for step in steps] == [False, True, False]
    assert steps[1].motion is None


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (12, 12), (24, 320), (700, 60)])
def test_tiny_frames_have_a_flow(size):
    frame = np.full((*size, 3), 7, np.uint8)
    assert np.abs(advance([frame, frame])[1].motion(np.zeros((1, 2)))).max() < 1


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(UserError, match="uint8, RGB"):
        advance([frame])


def test_an_estimator_that_gives_no_flow_is_refused():
    flow = FrameFlow(lambda first, second: first, 320, 2, 255)
    flow.advance(np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(UserError, match=r"the flow is \(20, 20\)"):
        flow.advance(np.zeros((20, 20, 3), np.uint8))


def test_there_are_two_named_flows():
    with pytest.raises(UserError, match="dis, farneback"):
        make_flow("raft")
