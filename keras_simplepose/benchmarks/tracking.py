"""How well and how fast people are tracked: the paper's table, a sweep of thresholds, a detector that runs seldom.

In rendered films detector and pose network are stand-ins that know the truth and spoil it: what is measured is the
tracker. In a user's own film they are real.
"""

import itertools
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from keras_simplepose.benchmarks.rows import Figure, Row
from keras_simplepose.benchmarks.tracking_scenes import OwnScene, RenderedScene, Scene, found_in
from keras_simplepose.config import BenchmarkConfig, DetectorConfig, EvaluationConfig, TrackingConfig
from keras_simplepose.core.poses import Poses, TrackedPoses
from keras_simplepose.data.posetrack import Film
from keras_simplepose.data.synthetic.films import render_film
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.evaluation.posetrack_metrics import evaluate_films
from keras_simplepose.media.output import write_picture
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.tracking.tracker import PoseTracker
from keras_simplepose.viz.grids import draw_grid

SEEDS = (0, 1, 2, 3)
SIMILARITIES: tuple[Literal["bbox", "pose", "flow", "multi_flow"], ...] = ("bbox", "pose", "flow", "multi_flow")
EVERY = (1, 2, 5, 10)  # Frames from one run of the detector to the next.
BOX_THRESHOLDS, JOINT_THRESHOLDS = (0.1, 0.3, 0.5, 0.7), (0.1, 0.3, 0.4, 0.5, 0.6, 0.7)


def run_tracker(scene: Scene, config: TrackingConfig) -> tuple[list[TrackedPoses], float]:
    """Tracks a film; gives the results and the seconds spent, detector, network and decoding left out."""
    index, network_seconds, results, spent = 0, 0.0, [], 0.0

    def find_poses(image: np.ndarray, boxes: np.ndarray, scores: np.ndarray) -> Poses:
        nonlocal network_seconds
        start = time.perf_counter()
        try:
            return scene.find_poses(index, image, boxes, scores)
        finally:
            network_seconds += time.perf_counter() - start

    tracker = PoseTracker(find_poses, None, config)
    for index, image in enumerate(scene.images()):
        boxes = scene.detect(index, image) if tracker.wants_detection() else None
        start = time.perf_counter()
        results.append(tracker.update(image, boxes))
        spent += time.perf_counter() - start
    return results, spent - network_seconds


def measure(runs: Sequence[tuple[Scene, list[TrackedPoses]]]) -> dict[str, float]:
    """mAP, MOTA, recall, IDF1 in percent and the switches of films with what was tracked in them."""
    truth = [scene.truth for scene, _ in runs]
    found = [
        Film(film.name, dict(zip(film.frames, map(found_in, results), strict=True)))
        for film, (_, results) in zip(truth, runs, strict=True)
    ]
    result = evaluate_films(truth, found, "corrected")
    identity = result["identity"]
    total = {name: result["total"][name] for name in ("ap", "mota", "recall")}
    return total | {"idf1": identity["idf1"], "switches": identity["switches"]}


def tracking_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """The paper's table: with and without propagation × four similarities; a detector run seldom; thresholds.

    Yields:
        "tracking/SIMILARITY/moved|plain/MEASURE"; "tracking/every_N/MEASURE" for a detector on every Nth frame, its
        "frames" being frames a second, flow included, detector and network left out;
        "tracking/box_THRESHOLD/joint_THRESHOLD/mota", which `tracking_picture` shows.

    Raises:
        UserError: a file of the user's film cannot be read, or is not about it.
    """
    scenes = _scenes(config)

    def run(**options: object) -> tuple[dict[str, float], float]:
        tracking = TrackingConfig(**options)  # type: ignore[arg-type]
        runs = [(scene, run_tracker(scene, tracking)) for scene in scenes]
        frames = sum(len(scene.truth.frames) for scene in scenes)
        figures = measure([(scene, results) for scene, (results, _) in runs])
        return figures, frames / sum(seconds for _, (_, seconds) in runs)

    for similarity, moved in itertools.product(SIMILARITIES, (False, True)):
        figures, _ = run(similarity=similarity, propagate=moved)
        for name, value in figures.items():
            unit = "switches" if name == "switches" else "percent"
            yield Row(f"tracking/{similarity}/{'moved' if moved else 'plain'}/{name}", round(value, 2), unit)
    for every in EVERY:
        rounds = [run(detector_every=every) for _ in range(config.rounds)]
        speed = Figure.of([frames for _, frames in rounds])
        yield Row(f"tracking/every_{every}/mota", round(rounds[0][0]["mota"], 2), "percent")
        yield Row(f"tracking/every_{every}/frames", round(speed.value, 1), "frames/s", spread=round(speed.spread, 3))
    swept = np.zeros((len(BOX_THRESHOLDS), len(JOINT_THRESHOLDS)))
    for place in np.ndindex(swept.shape):
        box, joint = BOX_THRESHOLDS[place[0]], JOINT_THRESHOLDS[place[1]]
        swept[place] = run(box_threshold=box, joint_threshold=joint)[0]["mota"]
        yield Row(f"tracking/box_{box}/joint_{joint}/mota", round(float(swept[place]), 2), "percent")
    if config.tracking_picture:
        picture = Path(config.tracking_picture)
        labels = ("box threshold", BOX_THRESHOLDS), ("joint threshold", JOINT_THRESHOLDS)
        write_picture(picture.parent, picture.name, draw_grid(swept, *labels, "MOTA in percent"))


def _scenes(config: BenchmarkConfig) -> list[Scene]:
    if not config.tracking_video:
        return [RenderedScene(list(render_film(seed, config.tracking_frames)), seed) for seed in SEEDS]
    predictor = PosePredictor.load(config.model, EvaluationConfig(nms="none"))
    detector = load_detector(DetectorConfig(detector=config.detector))
    return [OwnScene(config.tracking_video, config.tracking_annotations, predictor, detector)]
