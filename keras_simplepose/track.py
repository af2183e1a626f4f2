"""Command: follows people through a video, a stream, or before a camera."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from keras_simplepose.config import DetectorConfig, EvaluationConfig, TrackConfig, TrackingConfig
from keras_simplepose.flags import run_command

if TYPE_CHECKING:
    from keras_simplepose.core.poses import TrackedPoses
    from keras_simplepose.media.source import Frame, Source
    from keras_simplepose.tracking.stream import Follow

    Unseen = Callable[[], str]

DESCRIPTION = """Follows people through a video, a stream, or before a camera.

Writes tracks.json (PoseTrack18's form), tracks.csv (MOTChallenge's) and the video with poses, ids and trails into
--output. The people are found by the detector that ships, unless --detector names another, or --boxes or --poses says
where they are; with --poses no network runs at all, which is quick to tune the tracker with. Frames that
cannot be read are reported, and the exit status is 1."""


def main(
    config: TrackConfig, tracking: TrackingConfig, detector_config: DetectorConfig, protocol: EvaluationConfig
) -> int:
    """Tracks and says what was written; 1 if something could not be read."""
    from keras_simplepose.media.source import open_source
    from keras_simplepose.tracking.stream import track_source

    source = open_source(config.input)
    if config.poses:
        follow, unseen = _given_poses(config, tracking)
    else:
        follow, unseen = _found_poses(source, config, tracking, detector_config, protocol)
    summary = track_source(source, follow, config)
    if not config.maximum_frames and (fault := unseen()):
        summary.faults.append(fault)
        print(f"error: {fault}", file=sys.stderr)
    print(
        f"{summary.ids:,} persons, {summary.persons:,} poses in {summary.frames:,} frames, {summary.cuts} cuts; "
        f"written to {config.output}"
    )
    busy = sum(summary.clock.seconds.values())
    print("busy: " + ", ".join(f"{stage} {spent / busy:.0%}" for stage, spent in summary.clock.seconds.items()))
    if summary.video:
        print(f"video: {summary.video}")
    if summary.faults:
        print(f"not everything was done: {len(summary.faults)} faults, reported above")
    return 1 if summary.faults else 0


def _given_poses(config: TrackConfig, tracking: TrackingConfig) -> "tuple[Follow, Unseen]":
    """What tracks a frame, and what says of which frames the file had poses that never came."""
    from keras_simplepose.core.skeletons import load_skeleton
    from keras_simplepose.tracking.files import PoseResults
    from keras_simplepose.tracking.tracker import PoseTracker

    poses = PoseResults(config.poses, load_skeleton(config.skeleton), tracking.propagation_margin)
    tracker = PoseTracker(config=tracking)
    return lambda frame: tracker.update_poses(poses(frame.index), frame.image), poses.unseen


def _found_poses(
    source: "Source",
    config: TrackConfig,
    tracking: TrackingConfig,
    detector_config: DetectorConfig,
    protocol: EvaluationConfig,
) -> "tuple[Follow, Unseen]":
    """As `_given_poses`, with a network and a detector, or a file of boxes."""
    from keras_simplepose.detection.box_file import BoxFile
    from keras_simplepose.detection.detectors import load_detector
    from keras_simplepose.prediction.predictor import PosePredictor
    from keras_simplepose.tracking.tracker import PoseTracker

    predictor = PosePredictor.load(config.model, protocol)
    if config.boxes:
        boxes = BoxFile(config.boxes, source, predictor.spec.skeleton)
        given = PoseTracker(predictor, config=tracking)

        def follow(frame: "Frame") -> "TrackedPoses":
            persons = boxes(frame)
            return given.update(frame.image, persons if given.wants_detection() else None)

        return follow, boxes.unseen
    tracker = PoseTracker(predictor, load_detector(detector_config), tracking)
    return lambda frame: tracker.update(frame.image), str


if __name__ == "__main__":
    run_command(main, "track", DESCRIPTION, TrackConfig, TrackingConfig, DetectorConfig, EvaluationConfig(nms="none"))
