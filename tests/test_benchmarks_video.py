import numpy as np
import pytest
from test_predictor_stream import SPEC, brightest

from keras_simplepose.engine.benchmarks_video import video_benchmark
from keras_simplepose.engine.predictor import PosePredictor
from keras_simplepose.viz.drawing import draw_poses


def test_every_stage_has_its_share():
    (row,) = video_benchmark("", "", 6, draw_poses, PosePredictor(brightest, SPEC))
    assert (row["frames"], row["persons"]) == (6, 12)
    assert row["frames_per_second"] == pytest.approx(6 / row["seconds"])
    shares = {name: value for name, value in row.items() if name.startswith("share_")}
    assert set(shares) == {f"share_{stage}" for stage in ("decode", "detect", "pose", "draw", "write")}
    assert sum(shares.values()) == pytest.approx(1)
    # None of these is free at 1920×1080; a stage of no time was not measured.
    assert min(shares[f"share_{stage}"] for stage in ("decode", "pose", "draw", "write")) > 0.005


def test_the_pose_network_sees_both_people():
    """The crops are of the figures: their middle is theirs, not the room's."""
    seen = []

    def look(crops):
        seen.append(crops[:, 28:30, 22:26].mean((1, 2)))
        return brightest(crops)

    video_benchmark("", "", 3, None, PosePredictor(look, SPEC))
    colors = np.concatenate(seen)
    assert (colors[:, 0] > 120).all() and (colors[:, 2] < 110).all()  # Shirts are (170, 40 to 130, 60).
