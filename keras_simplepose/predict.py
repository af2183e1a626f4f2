"""Command: finds the poses in photographs, folders, videos, or before a camera."""

import sys
from pathlib import Path

from keras_simplepose.config import DetectorConfig, EvaluationConfig, PredictConfig
from keras_simplepose.flags import run_command, warn

DESCRIPTION = """Finds the poses of the people in photographs, folders, videos, or before a camera.

Writes poses.json (COCO keypoint results), poses.csv and the drawings into --output. The people are
found by the detector that ships, unless --detector names another or --boxes says where they are. What cannot be read is
reported, the rest is done, and the exit status is 1."""


def main(config: PredictConfig, detector_config: DetectorConfig, protocol: EvaluationConfig) -> int:
    """Predicts and says what was written; 1 if something could not be read."""
    from keras_simplepose.detection.box_file import BoxFile
    from keras_simplepose.detection.detectors import load_detector
    from keras_simplepose.media.source import ImageFiles, describe_kinds, open_source
    from keras_simplepose.prediction.predictor import PosePredictor
    from keras_simplepose.prediction.stream import FindPersons, predict_source

    source = open_source(config.input, config.orientation)
    predictor = PosePredictor.load(config.model, protocol)
    if config.boxes:
        boxes = BoxFile(config.boxes, source, predictor.spec.skeleton)
        find_persons: FindPersons = boxes
        warn(boxes.note)
        if isinstance(source, ImageFiles):
            source = source.with_hints(boxes.hints)
    else:
        detector = load_detector(detector_config)
        find_persons = lambda frame: detector(frame.image)  # noqa: E731

    summary = predict_source(
        source,
        predictor,
        find_persons,
        Path(config.output),
        draw=config.draw,
        heatmaps=config.heatmaps,
        show=config.show,
        fiftyone=config.fiftyone,
        maximum_frames=config.maximum_frames,
        inputs=[path for path in (config.model, config.boxes, detector_config.detector) if path],
    )
    if isinstance(find_persons, BoxFile) and not config.maximum_frames and (fault := find_persons.unseen()):
        summary.faults.append(fault)
        print(f"error: {fault}", file=sys.stderr)
    unit = "images" if source.kind == "images" else "frames"
    print(f"{summary.persons:,} persons in {summary.pictures:,} {unit}, written to {config.output}")
    if summary.drawings:
        print(f"drawings: {summary.drawings}")
    if summary.fiftyone:
        print(f"for FiftyOne: fiftyone.Dataset.from_dir({str(summary.fiftyone)!r}, fiftyone.types.FiftyOneDataset)")
    if isinstance(source, ImageFiles):
        warn(source.orientations.warning(config.orientation))
        if source.passed_over:
            print(f"passed over, being no pictures: {describe_kinds(source.passed_over)}")
    if summary.faults:
        print(f"not everything was done: {len(summary.faults)} faults, reported above")
    return 1 if summary.faults else 0


if __name__ == "__main__":
    run_command(main, "predict", DESCRIPTION, PredictConfig, DetectorConfig, EvaluationConfig(evaluation_batch_size=16))
