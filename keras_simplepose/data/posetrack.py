"""PoseTrack's JSON files of 2018 and 2021: annotated or tracked people in videos."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.core.skeletons import POSETRACK15
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

# The files' own order. The ears are never annotated, and evaluation leaves them out.
FILE_KEYPOINTS = (
    ("nose", "head_bottom", "head_top", "left_ear", "right_ear")
    + ("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist")
    + ("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle")
)
JOINTS = POSETRACK15.keypoints
_EARS = {"left_ear", "right_ear"}


@dataclass(eq=False)
class FramePersons:
    """The people of one frame, joints in the order of posetrack15.

    Attributes:
        points: [N, 15, 2] float64 (x, y) in pixels.
        visible: [N, 15] float64, the file's visibility: 0 for not labelled.
        scores: [N, 15] float64; NaN where the file has none.
        ids: [N] int64, the tracks'.
        heads: [N, 4] float64 (x, y, width, height); NaN where the file has none.
        ignored: polygons [P, 2] of regions that do not count.
        labelled: the annotators looked at this frame.
    """

    points: np.ndarray
    visible: np.ndarray
    scores: np.ndarray
    ids: np.ndarray
    heads: np.ndarray
    ignored: list[np.ndarray] = field(default_factory=list)
    labelled: bool = True

    def __len__(self) -> int:
        """The number of persons."""
        return len(self.ids)

    @classmethod
    def gathered(cls, rows: list[tuple], ignored: list[np.ndarray], labelled: bool) -> "FramePersons":
        """Of (points, visible, scores, id, head) of each person."""
        count = len(rows)
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [[]] * 5
        shapes = ((count, 15, 2), (count, 15), (count, 15), (count,), (count, 4))
        points, visible, scores, ids, heads = (
            np.array(column, np.float64).reshape(shape) for column, shape in zip(columns, shapes, strict=True)
        )
        return cls(points, visible, scores, ids.astype(np.int64), heads, ignored, labelled)


@dataclass(eq=False)
class Film:
    """One video: its frames by file name, without folders, in order."""

    name: str
    frames: dict[str, FramePersons]


def read_films(path: str | Path, only_first: bool = False) -> list[Film]:
    """Reads the videos of a file, or of all .json files of a folder.

    Args:
        path: the file or folder.
        only_first: of a file that holds several videos, the first alone, as the official evaluation does.

    Raises:
        UserError: a file is faulty: what, in which of them.
    """
    path = Path(path)
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    if not files:
        raise UserError(f"{path}: no .json file in this folder")
    films = [film for name in files for film in list(_read_file(name))[: 1 if only_first else None]]
    names = [film.name for film in films]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UserError(f"{path}: video {twice[0]} is in several files")
    return films


def _read_file(path: Path) -> Iterator[Film]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("images"), list):
        raise UserError(f"{path}: not a PoseTrack file of 2018 or 2021; it has no list of images")
    try:
        columns = _columns(content, path)
        persons: dict[int, list[tuple]] = {}
        for entry in content.get("annotations", []):
            persons.setdefault(int(entry["image_id"]), []).append(_person(entry, columns, path))
        films: dict[str, dict[str, FramePersons]] = {}
        known = set()
        for image in content["images"]:
            number = int(image["id"] if "id" in image else image["frame_id"])
            known.add(number)
            place = Path(str(image["file_name"]))
            name, frames = place.name, films.setdefault(str(image.get("vid_id", place.parent)), {})
            if name in frames:
                raise UserError(f"{path}: image {name} is listed twice")
            rows = persons.get(number, [])
            labelled = bool(image.get("is_labeled", bool(rows)))
            frames[name] = FramePersons.gathered(rows, _polygons(image), labelled)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not as PoseTrack's files are ({type(error).__name__}: {error})") from error
    stray = sorted(persons.keys() - known)
    if stray:
        raise UserError(f"{path}: annotations of frame {stray[0]}, which is not in its list of images")
    yield from (Film(name, frames) for name, frames in films.items())


def _columns(content: dict[str, Any], path: Path) -> list[int]:
    """For each of the 15 joints its place in the file's keypoints."""
    categories = content.get("categories") or [{}]
    names = [{"neck": "head_bottom"}.get(name, name) for name in categories[0].get("keypoints", FILE_KEYPOINTS)]
    missing = [name for name in JOINTS if name not in names]
    unknown = [name for name in names if name not in JOINTS and name not in _EARS]
    if missing or unknown:
        fault = f"lacks {missing[0]}" if missing else f"has the unknown {unknown[0]}"
        raise UserError(f"{path}: the list of keypoints {fault}; it must be PoseTrack's")
    return [names.index(name) for name in JOINTS]


def _person(entry: dict[str, Any], columns: list[int], path: Path) -> tuple:
    values = np.array(entry["keypoints"], np.float64)
    if values.ndim != 1 or len(values) % 3 or len(values) // 3 <= max(columns):
        raise UserError(f"{path}: a person of frame {entry['image_id']} has {values.size} numbers as keypoints")
    if not np.isfinite(values).all():
        raise UserError(f"{path}: a person of frame {entry['image_id']} has keypoints that are no numbers")
    values = values.reshape(-1, 3)
    scores = entry.get("scores") or [np.nan] * len(values)
    if len(scores) != len(values):
        raise UserError(f"{path}: a person of frame {entry['image_id']} has {len(scores)} scores for {len(values)}")
    if "track_id" not in entry:
        raise UserError(f"{path}: a person of frame {entry['image_id']} has no track_id")
    head = entry.get("bbox_head") or [np.nan] * 4
    chosen = values[columns]
    return chosen[:, :2], chosen[:, 2], np.array(scores, np.float64)[columns], int(entry["track_id"]), head


def _polygons(image: dict[str, Any]) -> list[np.ndarray]:
    pairs = zip(image.get("ignore_regions_x") or [], image.get("ignore_regions_y") or [], strict=True)
    regions = [(x, y) if isinstance(x, list) else ([], []) for x, y in pairs]
    return [np.stack([x, y], -1).astype(np.float64) for x, y in regions if len(x) > 2]


def category() -> dict[str, Any]:
    """The one category of a PoseTrack file."""
    return {"supercategory": "person", "id": 1, "name": "person", "keypoints": list(FILE_KEYPOINTS)}


def person_entry(tracked: TrackedPoses, row: int, number: int) -> dict[str, Any]:
    """One person of a frame as an entry of a PoseTrack18 file, its own id left out."""
    poses, names = tracked.poses, tracked.poses.skeleton.keypoints
    keypoints: list[float] = []
    scores: list[float] = []
    for name in FILE_KEYPOINTS:
        column = names.index(name) if name in names else -1
        if column >= 0 and poses.reliable[row, column]:
            x, y, score = poses.keypoints[row, column].tolist()
            keypoints += [x, y, 1]
            scores.append(score)
        else:
            keypoints += [0, 0, 0]
            scores.append(0.0)
    return {
        "image_id": number,
        "track_id": int(tracked.ids[row]),
        "category_id": 1,
        "keypoints": keypoints,
        "scores": scores,
        "bbox": poses.boxes[row].tolist(),
        "score": float(poses.scores[row]),
    }
