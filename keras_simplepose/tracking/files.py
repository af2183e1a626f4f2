"""Tracks written as they come, in PoseTrack18's form and as MOTChallenge's table; poses read for tracking."""

import contextlib
import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.poses import Poses, TrackedPoses
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.posetrack import category, person_entry
from keras_simplepose.tracking.similarity import joint_boxes
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import ResultFiles, read_json, result_path

JSON_NAME, CSV_NAME = "tracks.json", "tracks.csv"


class TrackFiles(ResultFiles):
    """`tracks.json` (PoseTrack18) and `tracks.csv` (MOTChallenge) in a folder; both appear once closed.

    The table has a line a person and frame: frame from 1, id, box left, top, width, height, score, −1, −1, −1.
    Persons go to the disk frame by frame, so that memory holds a few bytes a frame. In the JSON, joints go by name;
    what a skeleton lacks (COCO's has neither neck nor head top) is written as not labelled, as are unreliable joints.
    """

    def __init__(self, folder: Path, video: str, source: str = ""):
        """Prepares them for a video of this name; `source` is as `utils.files.result_path` takes it."""
        super().__init__()
        self._source = source
        self._paths, self._video = (folder / JSON_NAME, folder / CSV_NAME), video
        self._images: list[str] = []
        self._persons = 0

    def _begin(self, stack: contextlib.ExitStack) -> None:
        json_path, csv_path = (stack.enter_context(result_path(path, self._source)) for path in self._paths)
        self._json = stack.enter_context(open(json_path, "w"))
        self._csv = csv.writer(stack.enter_context(open(csv_path, "w", newline="")))
        self._json.write('{"annotations": [')

    def _end(self) -> None:
        images = [
            {"id": number, "frame_id": number, "file_name": name, "vid_id": self._video, "is_labeled": True}
            for number, name in enumerate(self._images)
        ]
        rest = json.dumps({"images": images, "categories": [category()]})
        self._json.write("\n], " + rest[1:] + "\n")

    def write(self, name: str, tracked: TrackedPoses) -> None:
        """Appends a frame of this name."""
        number = len(self._images)
        self._images.append(name)
        for row in range(len(tracked)):
            entry = person_entry(tracked, row, number) | {"id": self._persons}
            self._json.write((",\n" if self._persons else "\n") + json.dumps(entry, allow_nan=False))
            self._persons += 1
            box = [f"{value:.2f}" for value in tracked.poses.boxes[row]]
            self._csv.writerow(
                [number + 1, int(tracked.ids[row]), *box, f"{tracked.poses.scores[row]:.4f}", -1, -1, -1]
            )


class PoseResults:
    """Keypoint results of COCO's form, by frame: what `predict` writes as poses.json."""

    def __init__(self, path: str | Path, skeleton: Skeleton, margin: float):
        """Reads the file.

        Args:
            path: a list of `image_id` (the frame's number from 0), `keypoints` [K · 3] (x, y, score) and `score`.
            skeleton: of the poses.
            margin: by which the joints' box is extended where an entry has no `bbox`.

        Raises:
            UserError: the file is faulty, or of another skeleton.
        """
        self._skeleton, self._margin, count = skeleton, margin, 3 * len(skeleton.keypoints)
        self._frames: dict[int, list[dict[str, Any]]] = {}
        entries = read_json(path)
        if not isinstance(entries, list):
            raise UserError(f"{path}: not a list of keypoint results")
        for place, entry in enumerate(entries):
            try:
                values = np.array(entry["keypoints"], np.float32)
                frame, score = int(entry["image_id"]), float(entry.get("score", 1))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise UserError(f"{path}: entry {place} is no keypoint result ({error})") from error
            if values.shape != (count,):
                raise UserError(f"{path}: entry {place} has {values.size} numbers; {skeleton.name} has {count}")
            box = entry.get("bbox")
            self._frames.setdefault(frame, []).append({"keypoints": values, "score": score, "box": box})
        self._path, self._unseen = path, set(self._frames)

    def unseen(self) -> str:
        """A line about poses of frames that were never asked for; "" if there are none."""
        if not self._unseen:
            return ""
        first, count = min(self._unseen), len(self._unseen)
        more = f" and {count - 1} more" if count > 1 else ""
        return f"{self._path}: has poses of frame {first}{more}, which never came"

    def __call__(self, index: int) -> Poses:
        """The poses of a frame, counted from 0."""
        self._unseen.discard(index)
        entries = self._frames.get(index, [])
        shape = (len(entries), len(self._skeleton.keypoints), 3)
        keypoints = np.array([entry["keypoints"] for entry in entries], np.float32).reshape(shape)
        finite = np.all(np.isfinite(keypoints), axis=-1)
        spanned = joint_boxes(np.nan_to_num(keypoints[..., :2]), finite, self._margin)
        boxes = [own if entry["box"] is None else entry["box"] for entry, own in zip(entries, spanned, strict=True)]
        scores = np.array([entry["score"] for entry in entries], np.float32)
        return Poses(keypoints, scores, np.array(boxes, np.float32).reshape(-1, 4), finite, self._skeleton)
