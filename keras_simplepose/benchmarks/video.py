"""How fast a video goes through detector and pose network, and which stage takes how much of it."""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from keras_simplepose.benchmarks.rows import Figure, Row, make_rows
from keras_simplepose.config import BenchmarkConfig, DetectorConfig, EvaluationConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.detection.detectors import load_detector
from keras_simplepose.media.source import Frame, open_source
from keras_simplepose.media.video import VideoFile
from keras_simplepose.models.simple_baselines import build_pose_model
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.prediction.stream import predict_source

SIZE = (1080, 1920)
RATE = 30.0
PERSONS = 2
_SEED = 0


def video_benchmark(
    config: BenchmarkConfig, predictor: PosePredictor | None = None, draw: bool = True
) -> Iterator[Row]:
    """Predicts a synthetic 1080p video of two people: frames per second, and the share of each stage.

    The detector runs on every frame and is timed, but the pose network is given the two figures' known boxes: rendered
    figures are not what a detector was trained on, and the number of persons must not depend on what it makes of them.

    Args:
        config: model, detector and length.
        predictor: a predictor to use instead of the model's.
        draw: False leaves drawing and the written video out.

    Yields:
        "video/frames"; "video/in_turn", what the stages' busy times would allow one after the other, which overlapping
        is compared with; and "video/share_" of each stage in the busy time: decode, detect, pose, draw, write.

    Raises:
        UserError: a file cannot be read.
    """
    predictor = predictor or _predictor(config.model)
    detector = load_detector(DetectorConfig(detector=config.detector)) if config.detector else None

    def find_persons(frame: Frame) -> PersonBoxes:
        if detector is not None:
            detector(frame.image)
        return PersonBoxes(_boxes(frame.index), np.ones(PERSONS, np.float32))

    with tempfile.TemporaryDirectory() as folder:
        path = _write_video(Path(folder) / "people.mp4", config.frames)
        source = open_source(str(path))
        # The first pass traces and compiles; frames enough for every batch size that will occur.
        out = Path(folder) / "warm"
        predict_source(source, predictor, find_persons, out, draw=draw, maximum_frames=8, progress=False)
        start = time.perf_counter()
        summary = predict_source(source, predictor, find_persons, Path(folder) / "out", draw=draw, progress=False)
        seconds = time.perf_counter() - start
    busy = sum(summary.clock.seconds.values())
    figures = {
        "video/in_turn": Figure(summary.pictures / busy),
        "video/frames": Figure(summary.pictures / seconds),
    }
    yield from make_rows(figures, "frames/s", "video/in_turn")
    for stage, spent in summary.clock.seconds.items():
        yield Row(f"video/share_{stage}", round(spent / busy, 3), "share")


def _predictor(model: str) -> PosePredictor:
    protocol = EvaluationConfig(evaluation_batch_size=16)
    if model:
        return PosePredictor.load(model, protocol)
    return PosePredictor.from_model(build_pose_model("resnet50_pytorch"), protocol)


def _boxes(index: int) -> np.ndarray:
    """The boxes [2, 4] of the two people in a frame: they walk to and fro."""
    offset = 200 * np.sin(index / 15)
    return np.array([[400 + offset, 200, 260, 720], [1200 - offset, 260, 260, 720]], np.float32)


def _write_video(path: Path, frames: int) -> Path:
    """A textured room with two upright figures in it."""
    noise = np.random.default_rng(_SEED).integers(60, 180, (27, 48, 3), np.uint8)
    room = cv2.resize(noise, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    with VideoFile(path, RATE) as video:
        for index in range(frames):
            image = room.copy()
            for number, (x, y, width, height) in enumerate(_boxes(index).round().astype(int).tolist()):
                middle, swing = x + width // 2, round(60 * np.sin(index / 4 + number))
                cv2.circle(image, (middle, y + height // 12), height // 12, (224, 180, 150), -1, cv2.LINE_AA)
                body = (middle - width // 4, y + height // 6), (middle + width // 4, y + height // 2)
                cv2.rectangle(image, *body, (170, 40 + 90 * number, 60), -1)
                for side in (-1, 1):
                    hip, foot = middle + side * width // 8, middle + side * (width // 8 + swing)
                    cv2.line(image, (hip, y + height // 2), (foot, y + height), (40, 50, 110), width // 6, cv2.LINE_AA)
            video.write(image)
    assert video.path  # It has frames.
    return video.path
