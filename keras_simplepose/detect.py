"""Command: detects the persons in a data set's images and writes their boxes, for `evaluate --detections`."""

from pathlib import Path

from keras_simplepose.config import DetectionDataConfig, DetectorConfig
from keras_simplepose.flags import run_command, warn

DESCRIPTION = """Detects the persons in the images of a COCO data set and writes their boxes as detection results.

`evaluate --detections` and `predict --boxes` read the file. Weak detections are kept, as AP asks for. Against the
annotated persons it prints box AP, and recall and false boxes a photograph."""


def main(config: DetectionDataConfig, detector_config: DetectorConfig) -> None:
    """Detects, writes and says how good the boxes are: AP, recall, false boxes."""
    from keras_simplepose.core.skeletons import load_skeleton
    from keras_simplepose.data.coco import load_persons
    from keras_simplepose.detection.data_set import detect_data_set
    from keras_simplepose.detection.detectors import load_detector
    from keras_simplepose.evaluation.box_metrics import describe
    from keras_simplepose.utils.files import check_outputs, check_writable, record_results, write_json

    check_outputs([config.output], [config.annotations, detector_config.detector])
    person_set = load_persons(
        config.annotations,
        load_skeleton(config.skeleton),
        labelled_only=False,  # Also who has no labelled keypoint is a person to find.
        images=config.images,
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
        follow_paths=config.follow_paths,
    )
    detector = load_detector(detector_config)
    check_writable(Path(config.output).parent)
    summary = detect_data_set(person_set, config.images, detector, config.skip_damaged, config.orientation)
    write_json(config.output, summary.to_json(person_set.category_id), indent=None)
    record_results(config.output)
    warn(summary.orientations.warning(config.orientation))
    print(f"{len(summary.detections):,} persons in {len(person_set.images):,} images, written to {config.output}")
    if person_set.persons:
        print(describe(person_set, summary.detections))
    for fault in summary.skipped:
        print(f"left out: {fault}")


if __name__ == "__main__":
    run_command(main, "detect", DESCRIPTION, DetectionDataConfig, DetectorConfig(detector_threshold=0.05))
