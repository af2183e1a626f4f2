"""Poses of photographs as a dataset that FiftyOne opens, written as they come.

The format is FiftyOne's own, a samples.json beside a metadata.json without a version, which its importer of
FiftyOneDataset reads (checked with FiftyOne 1.22): labels lie where their images do, in shares of them.
"""

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.utils.files import ResultFiles, result_path

FOLDER_NAME, FIELD, LABEL = "fiftyone", "poses", "person"


def sample_of(image: Path, size: tuple[int, int], poses: Poses) -> dict[str, Any]:
    """A photograph and its poses as FiftyOne's sample.

    Args:
        image: the file.
        size: (height, width) of the frame that the poses are in.
        poses: in pixels; a point's confidence is its score, a pose's attribute `score` is its own.
    """
    height, width = size
    keypoints = []
    detections = []
    for points, score, reliable, (x, y, box_width, box_height) in zip(
        poses.keypoints.tolist(), poses.scores.tolist(), poses.reliable.tolist(), poses.boxes.tolist(), strict=True
    ):
        shares = [[px / width, py / height] for px, py, _ in points]
        label = {"_cls": "Keypoint", "label": LABEL, "tags": [], "attributes": {}, "points": shares}
        keypoints.append(label | {"confidence": [point[2] for point in points], "score": score, "reliable": reliable})
        box = [x / width, y / height, box_width / width, box_height / height]
        detection = {"_cls": "Detection", "label": LABEL, "tags": [], "attributes": {}, "bounding_box": box}
        detections.append(detection | {"confidence": score})
    return {
        "filepath": os.path.abspath(image),
        "tags": [],
        FIELD: {"_cls": "Keypoints", "keypoints": keypoints},
        f"{FIELD}_boxes": {"_cls": "Detections", "detections": detections},
    }


class FiftyOneFolder(ResultFiles):
    """A folder with `samples.json` and `metadata.json`, which appears when closed without an error."""

    def __init__(self, folder: Path, skeleton: Skeleton, source: str = ""):
        """Prepares it.

        Args:
            folder: to make it in.
            skeleton: of the poses.
            source: what they are of; see `utils.files.result_path`.
        """
        super().__init__()
        self.path, self._skeleton, self._source = folder / FOLDER_NAME, skeleton, source
        self._first = True

    def _begin(self, stack: contextlib.ExitStack) -> None:
        folder = stack.enter_context(result_path(self.path, self._source))
        folder.mkdir()
        shape: dict[str, Any] = {"_cls": "KeypointSkeleton", "labels": list(self._skeleton.keypoints)}
        shape["edges"] = [list(edge) for edge in self._skeleton.edges]
        metadata = {"name": "poses", "media_type": "image", "info": {"default_skeleton": shape}}
        (folder / "metadata.json").write_text(json.dumps(metadata, indent=2), encoding="utf-8")
        self._file = stack.enter_context(open(folder / "samples.json", "w", encoding="ascii"))
        self._file.write('{"samples": [')

    def _end(self) -> None:
        self._file.write("\n]}\n")

    def write(self, image: Path, size: tuple[int, int], poses: Poses) -> None:
        """Appends a photograph (height, width) with its poses."""
        text = json.dumps(sample_of(image, size, poses), allow_nan=False)
        self._file.write(("\n" if self._first else ",\n") + text)
        self._first = False
