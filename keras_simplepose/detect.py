"""Command: detects the persons in a data set's images and writes their boxes, for `evaluate --detections`."""

from pathlib import Path

from keras_simplepose.config import DetectionDataConfig, DetectorConfig
from keras_simplepose.flags import run_command, warn

DESCRIPTION = """Detects the persons in the images of a COCO data set and writes their boxes as detection results.

`evaluate --detections` and `predict --boxes` read the file. Weak detections are kept, as AP asks for."""


def main(config: DetectionDataConfig, detector_config: DetectorConfig) -> None:
    """Detects, writes and says how many of the annotated persons were found."""
    from keras_simplepose.core.skeletons import load_skeleton
    from keras_simplepose.data.coco import load_persons
    from keras_simplepose.data.image_paths import check_image_paths
    from keras_simplepose.detection.data_set import RECALL_OVERLAP, RECALL_SIZE, detect_data_set, recall
    from keras_simplepose.detection.detectors import load_detector
    from keras_simplepose.utils.files import check_outputs, check_writable, record_results, write_json

    check_outputs([config.output], [config.annotations, detector_config.detector])
    person_set = load_persons(
        config.annotations,
        load_skeleton(config.skeleton),
        images=config.images,
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
    )
    if not config.follow_paths:
        check_image_paths(person_set.images.values(), config.images, config.annotations)
    detector = load_detector(detector_config)
    check_writable(Path(config.output).parent)
    summary = detect_data_set(person_set, config.images, detector, config.skip_damaged, config.orientation)
    write_json(config.output, summary.to_json(person_set.category_id), indent=None)
    record_results(config.output)
    warn(summary.orientations.warning(config.orientation))
    print(f"{len(summary.detections):,} persons in {len(person_set.images):,} images, written to {config.output}")
    found, total = recall(person_set.persons, summary.detections, RECALL_SIZE)
    if total:
        print(
            f"recall at IoU {RECALL_OVERLAP:g}, annotated persons of at least {RECALL_SIZE} pixels: "
            f"{found}/{total} = {found / total:.3f}"
        )
    for fault in summary.skipped:
        print(f"left out: {fault}")


if __name__ == "__main__":
    run_command(main, "detect", DESCRIPTION, DetectionDataConfig, DetectorConfig(detector_threshold=0.05))
