import numpy as np
import pytest

from keras_simplepose.benchmarks.tracking import StandIn, measure, run_tracker, tracking_benchmark
from keras_simplepose.config import BenchmarkConfig, TrackingConfig
from keras_simplepose.data.synthetic.films import render_film

pytest.importorskip("trackeval")


@pytest.fixture(scope="module")
def film():
    return list(render_film(0, 40))


def test_films_are_seeded_and_people_keep_their_ids(film):
    again = next(render_film(0, 1))
    np.testing.assert_array_equal(film[0].image, again.image)
    assert (next(render_film(1, 1)).image != again.image).any()
    assert {person for frame in film for person in frame.ids.tolist()} == {1, 2, 3, 4, 5}
    assert min(len(frame.ids) for frame in film) < 5  # Somebody is hidden, or has left.
    for frame in film[:3]:
        inside = np.where(frame.visible[..., None], frame.keypoints, np.nan)
        assert np.nanmin(inside) >= 0 and np.nanmax(inside) <= 639


def test_without_dropped_boxes_tracks_are_good(film):
    results, _ = run_tracker(StandIn(film, 0, dropped=0.0), TrackingConfig())
    assert measure([(film, results)])["mota"] > 85


def test_propagation_raises_recall_where_boxes_are_dropped(film):
    recalls = []
    for propagate in (False, True):
        results, seconds = run_tracker(StandIn(film, 0), TrackingConfig(propagate=propagate))
        recalls.append(measure([(film, results)])["recall"])
        assert seconds > 0
    assert recalls[1] > recalls[0] + 8


def test_rows():
    rows = {row.name: row for row in tracking_benchmark(BenchmarkConfig(suites=("tracking",), tracking_frames=3))}
    assert {name.split("/")[1] for name in rows} >= {"bbox", "pose", "flow", "multi_flow", "frames", "every_10"}
    assert len([name for name in rows if "/joint_" in name]) == 16
    assert rows["tracking/frames"].value > 1
