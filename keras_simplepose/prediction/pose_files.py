"""Poses as COCO results and as a table, written as they come: memory does not grow with their number."""

import contextlib
import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.utils.files import ResultFiles, result_path

JSON_NAME, CSV_NAME = "poses.json", "poses.csv"


def coco_results(
    image_id: int, category_id: int, poses: Poses, kept: np.ndarray, scores: np.ndarray
) -> list[dict[str, Any]]:
    """Poses of one image as entries of a COCO keypoint results file."""
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "keypoints": poses.keypoints[index].reshape(-1).tolist(),
            "score": float(score),
        }
        for index, score in zip(kept, scores, strict=True)
    ]


class PoseFiles(ResultFiles):
    """`poses.json` and `poses.csv` in a folder; both appear when closed without an error."""

    def __init__(self, folder: Path, skeleton: Skeleton, category_id: int, source: str = ""):
        """Prepares them.

        Args:
            folder: to write to.
            skeleton: names the columns.
            category_id: of persons, as the boxes' file has it.
            source: what the poses are of; see `utils.files.result_path`.
        """
        super().__init__()
        self._category_id, self._source = category_id, source
        self.json_path, self.csv_path = folder / JSON_NAME, folder / CSV_NAME
        self._skeleton, self._first = skeleton, True

    def _begin(self, stack: contextlib.ExitStack) -> None:
        json_path, csv_path = (
            stack.enter_context(result_path(path, self._source)) for path in (self.json_path, self.csv_path)
        )
        self._json = stack.enter_context(open(json_path, "w", encoding="utf-8"))
        # Names of files need not be UTF-8; they come out as the bytes they are.
        table = open(csv_path, "w", newline="", encoding="utf-8", errors="surrogateescape")
        self._csv = csv.writer(stack.enter_context(table))
        columns = [f"{name}_{part}" for name in self._skeleton.keypoints for part in ("x", "y", "score", "reliable")]
        box = [f"box_{part}" for part in ("x", "y", "width", "height")]
        self._csv.writerow(["image", "image_id", "seconds", "person", "score", *box, *columns])
        self._json.write("[")

    def _end(self) -> None:
        self._json.write("\n]\n")

    def write(self, name: str, image_id: int, poses: Poses, seconds: float = math.nan) -> None:
        """Appends the poses of one picture, numbered from 0, shown `seconds` after a video's first frame.

        The JSON holds COCO keypoint results, which have no place for unreliable points but their scores; the table
        marks each.
        """
        for entry in coco_results(image_id, self._category_id, poses, np.arange(len(poses)), poses.scores):
            text = json.dumps(entry | {"file_name": name}, allow_nan=False)
            self._json.write(("\n" if self._first else ",\n") + text)
            self._first = False
        time = "" if math.isnan(seconds) else f"{seconds:.6f}"
        for person in range(len(poses)):
            points = [
                value
                for (x, y, score), reliable in zip(poses.keypoints[person], poses.reliable[person], strict=True)
                for value in (f"{x:.2f}", f"{y:.2f}", f"{score:.4f}", int(reliable))
            ]
            box = [f"{value:.2f}" for value in poses.boxes[person]]
            self._csv.writerow([name, image_id, time, person, f"{poses.scores[person]:.4f}", *box, *points])
