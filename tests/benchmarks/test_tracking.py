import json
from dataclasses import replace

import numpy as np
import pytest
from stand_ins import SPEC, tiny_network

from keras_simplepose import benchmark, save_model
from keras_simplepose.benchmarks import tracking
from keras_simplepose.benchmarks.tracking import measure, run_tracker, tracking_benchmark
from keras_simplepose.benchmarks.tracking_scenes import OwnScene, RenderedScene
from keras_simplepose.config import BenchmarkConfig, TrackingConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.data.posetrack import FILE_KEYPOINTS
from keras_simplepose.data.synthetic.films import render_film
from keras_simplepose.media.images import read_image
from keras_simplepose.media.output import write_picture
from keras_simplepose.media.video import VideoFile
from keras_simplepose.utils.errors import UserError

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
    scene = RenderedScene(film, 0, dropped=0.0)
    results, _ = run_tracker(scene, TrackingConfig())
    assert measure([(scene, results)])["mota"] > 90


def test_propagation_raises_recall_where_boxes_are_dropped(film):
    scene, recalls = RenderedScene(film, 0), []
    for propagate in (False, True):
        results, seconds = run_tracker(scene, TrackingConfig(propagate=propagate))
        figures = measure([(scene, results)])
        recalls.append(figures["recall"])
        assert seconds > 0
    assert recalls[1] > recalls[0] + 8
    assert figures["mota"] > 85


def test_rows_and_the_picture_of_the_thresholds(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "SEEDS", (0,))
    config = BenchmarkConfig(
        suites=("tracking",), tracking_frames=3, rounds=1, tracking_picture=str(tmp_path / "sweep.png")
    )
    rows = {row.name: row for row in tracking_benchmark(config)}
    assert {name.split("/")[1] for name in rows} >= {"bbox", "pose", "flow", "multi_flow", "every_1", "every_10"}
    assert len([name for name in rows if "/joint_" in name]) == 24
    assert rows["tracking/every_1/frames"].value > 1
    assert read_image(tmp_path / "sweep.png").std() > 10


@pytest.fixture(scope="module")
def annotated(film, tmp_path_factory):
    """A folder of frames, a video of them, and their annotations as PoseTrack's files are."""
    folder = tmp_path_factory.mktemp("own")
    images, entries = [], []
    with VideoFile(folder / "film.mp4", 25.0, "elsewhere") as video:
        for index, frame in enumerate(film[:6]):
            name = f"{index:06}.jpg"
            write_picture(folder / "frames", name, frame.image)
            video.write(frame.image)
            images.append({"id": index, "file_name": f"x/{name}", "vid_id": "x", "is_labeled": True})
            for person, points, seen in zip(frame.ids.tolist(), frame.keypoints, frame.visible, strict=True):
                triples = np.concatenate([points, seen[:, None]], -1) * seen[:, None]
                by_name = dict(zip(COCO17.keypoints, triples.tolist(), strict=True))
                keypoints = [value for name in FILE_KEYPOINTS for value in by_name.get(name, [0, 0, 0])]
                entry = {"image_id": index, "track_id": person, "keypoints": keypoints}
                entries.append(entry | {"bbox_head": [0, 0, 40, 40]})
    content = {"images": images, "annotations": entries, "categories": [{"id": 1, "keypoints": list(FILE_KEYPOINTS)}]}
    (folder / "truth.json").write_text(json.dumps(content))
    return folder


class Finder:
    """Knows every person of the film by the order of the frames it is asked about; counts the boxes it looks at."""

    def __init__(self, film):
        self.film, self.count = film, 0

    def detect(self, image):
        far = [np.abs(image.astype(int) - frame.image).mean() for frame in self.film]
        self.frame = self.film[int(np.argmin(far))]
        return PersonBoxes.of(self.frame.boxes)

    def poses(self, image, boxes, scores):
        self.count += len(boxes)
        scene = RenderedScene([self.frame], 0)
        found = scene.find_poses(0, image, boxes, scores)
        return Poses(found.keypoints, found.scores, found.boxes, found.reliable, COCO17)


@pytest.mark.parametrize("name", ["frames", "film.mp4"])
def test_a_film_of_ones_own(film, annotated, name):
    finder = Finder(film[:6])
    scene = OwnScene(str(annotated / name), str(annotated / "truth.json"), finder.poses, finder.detect)
    config = TrackingConfig(propagate=False, box_nms=1)  # Two of them stand close together.
    results, _ = run_tracker(scene, config)
    assert measure([(scene, results)])["mota"] > 90
    before = finder.count
    again, _ = run_tracker(scene, replace(config, similarity="pose"))
    assert finder.count == before  # What was found is kept.
    np.testing.assert_array_equal(again[3].poses.keypoints, results[3].poses.keypoints)


def test_annotations_of_other_films_are_refused(annotated, tmp_path):
    content = json.loads((annotated / "truth.json").read_text())
    content["images"].append(content["images"][0] | {"id": 99, "file_name": "x/nowhere.jpg"})
    (tmp_path / "more.json").write_text(json.dumps(content))
    for name, message in (("frames", r"frame nowhere\.jpg, which"), ("film.mp4", "lists 7 frames, .* has 6")):
        with pytest.raises(UserError, match=message):
            OwnScene(str(annotated / name), str(tmp_path / "more.json"), None, None)
    content["images"][-1]["vid_id"] = "y"
    (tmp_path / "two.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="holds 2 films"):
        OwnScene(str(annotated / "frames"), str(tmp_path / "two.json"), None, None)


@pytest.mark.slow
def test_the_suite_with_a_film_of_ones_own(annotated, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(tracking, "EVERY", (1,))
    monkeypatch.setattr(tracking, "BOX_THRESHOLDS", (0.5,))
    save_model(tiny_network(SPEC), tmp_path / "pose.keras")
    config = BenchmarkConfig(
        suites=("tracking",),
        tracking_video=str(annotated / "frames"),
        tracking_annotations=str(annotated / "truth.json"),
        model=str(tmp_path / "pose.keras"),
        detector="none",
        rounds=1,
    )
    benchmark.main(config)
    assert '"tracking/multi_flow/moved/mota"' in capsys.readouterr().out
