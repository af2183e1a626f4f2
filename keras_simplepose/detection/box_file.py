"""Persons' boxes from a file, for the pictures of a source."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PureWindowsPath
from typing import Any

from keras_simplepose.core.boxes import NOBODY, PersonBoxes
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.coco import load_persons, read_detections
from keras_simplepose.data.persons import PERSON_CATEGORY, ImageRecord
from keras_simplepose.media.source import Frame, FrameHint, ImageFiles, Source, image_ids
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json

_NAMED = 3  # So many examples stand in a message.

_Boxes = dict[int, list[tuple[tuple[float, ...], float]]]  # By picture: box and score.


class BoxFile:
    """The boxes of a COCO file, by the pictures of a source.

    Annotations, and detection results with file names as `detect` writes them, belong to the image that shares the
    longest end of its path with the name. Other detection results belong to the image whose name ends in their number,
    and to a video by the frame's number from 0.

    Attributes:
        path: the file.
        category_id: of persons in it.
        ids: image ids by picture, where the file gives them.
        hints: the frames its boxes are in, by picture.
        note: a line the user should see; "" if there is none.
    """

    def __init__(self, path: str | Path, source: Source, skeleton: Skeleton):
        """Reads the file.

        Args:
            path: detection results (a list) or keypoint annotations; annotations are read by the release's rules,
                which leave crowds out.
            source: the pictures.
            skeleton: chooses the annotations' category.

        Raises:
            UserError: the file is faulty, none of it is about these pictures, or it does not tell which of it is.
        """
        self.path = Path(path)
        self.category_id = PERSON_CATEGORY
        self.ids: dict[int, int] | None = None
        self.hints: dict[int, FrameHint] = {}
        self.note = ""
        self._persons: dict[int, PersonBoxes] = {}
        self._unseen: set[int] = set()
        values = read_json(path)
        if isinstance(values, list):
            self._read_detections(values, source)
        else:
            self._read_annotations(source, skeleton)
        self._all_listed = isinstance(values, list)

    def __call__(self, frame: Frame) -> PersonBoxes:
        """The persons of a picture.

        Raises:
            UserError: annotations that do not list it, or boxes of another size.
        """
        self._unseen.discard(frame.index)
        if not self._all_listed and frame.index not in (self.ids or {}):
            raise UserError(f"{frame.name}: not listed in {self.path}")
        size = self.hints.get(frame.index, FrameHint()).size
        if size is not None and size != frame.image.shape[:2]:
            (height, width), (wanted_height, wanted_width) = frame.image.shape[:2], size
            raise UserError(
                f"{frame.name}: is {width}×{height}, and {self.path} has boxes for {wanted_width}×{wanted_height}"
            )
        return self._persons.get(frame.index, NOBODY)

    def unseen(self) -> str:
        """A line about boxes of frames that never came, once a whole video has been read; "" if there are none."""
        if not self._unseen:
            return ""
        return f"{self.path}: has boxes of {_some(sorted(self._unseen))}, and the video has no such frame"

    def _keep(self, boxes: Mapping[int, Sequence[tuple[tuple[float, ...], float]]]) -> None:
        self._persons = {index: PersonBoxes.gathered(entries) for index, entries in boxes.items()}

    def _read_detections(self, values: list[Any], source: Source) -> None:
        self.category_id = _person_category(values, self.path)
        detections = read_detections(self.path, self.category_id)
        is_named = [isinstance(values[number].get("file_name"), str) for number in detections]
        boxes: _Boxes = {}
        if not isinstance(source, ImageFiles):
            for detection in detections.values():
                boxes.setdefault(detection.image_id, []).append((detection.box, detection.score))
            self._unseen = set(boxes)
        elif detections and all(is_named):
            places = self._match(source, {values[number]["file_name"] for number in detections})
            self.ids = {}
            for number, detection in detections.items():
                for index in places.get(_parts(values[number]["file_name"]), ()):
                    boxes.setdefault(index, []).append((detection.box, detection.score))
                    self.ids.setdefault(index, detection.image_id)
                    self._note_frame(index, values[number].get("orientation"), number)
        elif any(is_named):
            raise UserError(f"{self.path}: some entries have a file_name and some have none; write it in all or none")
        else:
            by_number = _by_number(source, [each.image_id for each in detections.values()], self.path)
            for detection in detections.values():
                boxes.setdefault(by_number[detection.image_id], []).append((detection.box, detection.score))
        if not boxes:
            raise UserError(f"{self.path}: has no person in any of these pictures; it is of others")
        self._keep(boxes)

    def _note_frame(self, index: int, orientation: Any, number: int) -> None:
        """Keeps the frame that an entry names."""
        if orientation is None:
            return
        before = self.hints.get(index)
        if orientation not in ("stored", "displayed") or (before and before.orientation != orientation):
            raise UserError(
                f"{self.path}: detection {number}: orientation is {orientation!r}; it must be stored or displayed, the "
                "same in all entries of an image"
            )
        self.hints[index] = FrameHint(orientation=orientation)

    def _read_annotations(self, source: Source, skeleton: Skeleton) -> None:
        if not isinstance(source, ImageFiles):
            raise UserError(f"{self.path}: annotations are of image files; a video takes detection results")
        persons = load_persons(self.path, skeleton, labelled_only=False, trust_keypoint_order=True)
        self.category_id = persons.category_id
        records: dict[tuple[str, ...], list[ImageRecord]] = {}
        for record in persons.images.values():
            records.setdefault(_parts(record.file_name), []).append(record)
        places = self._match(source, [record.file_name for record in persons.images.values()])
        if not places:
            raise UserError(f"{self.path}: lists none of these images; it is of others")
        groups, boxes = persons.by_image(), {}
        self.ids = {}
        for parts, indices in places.items():
            same = records[parts]  # Entries of one file, which some exporters write for every person.
            if len({(record.height, record.width) for record in same}) > 1:
                raise UserError(f"{self.path}: gives {same[0].file_name} under {len(same)} ids, with different sizes")
            found = [(person.box, 1.0) for record in same for person in groups.get(record.id, ())]
            for index in indices:
                self.ids[index] = same[0].id
                self.hints[index] = FrameHint((same[0].height, same[0].width))
                if found:
                    boxes[index] = found
        self._keep(boxes)

    def _match(self, source: ImageFiles, listed: Iterable[str]) -> dict[tuple[str, ...], list[int]]:
        """The pictures of each listed name: those that share the longest end of their paths with it.

        Raises:
            UserError: two names fit a picture, or two pictures a name, equally well.
        """
        by_base: dict[str, set[tuple[str, ...]]] = {}
        for name in listed:
            by_base.setdefault(_parts(name)[-1], set()).add(_parts(name))
        found: dict[tuple[str, ...], dict[int, int]] = {}  # By name: how much each picture shares.
        for index, path in enumerate(source.paths):
            parts = tuple(unicodedata.normalize("NFC", part) for part in path.resolve().parent.parts) + _parts(
                path.name
            )
            shared = {name: _shared(parts, name) for name in by_base.get(parts[-1], ())}
            best = [name for name, length in shared.items() if length == max(shared.values())]
            if len(best) > 1:
                raise UserError(
                    f"{self.path}: lists {_some(sorted('/'.join(name) for name in best))}, and {path} may be each of "
                    "them; give the folder they are below as input, as a glob"
                )
            if best:
                found.setdefault(best[0], {})[index] = shared[best[0]]
        places: dict[tuple[str, ...], list[int]] = {}
        elsewhere = 0
        for entry, lengths in found.items():
            indices = [index for index, length in lengths.items() if length == max(lengths.values())]
            if len(indices) > 1:
                raise UserError(
                    f"{self.path}: lists {'/'.join(entry)}, and that may be each of "
                    f"{_some([str(source.paths[index]) for index in indices])}; give names with folders, or one folder"
                )
            places[entry] = indices
            elsewhere += len(entry) > 1 and lengths[indices[0]] == 1
        if elsewhere:
            self.note = (
                f"{self.path}: {elsewhere} images lie in other folders than the file says, and were matched by their "
                "names alone"
            )
        return places


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path as a file states it, whichever system wrote it, accents in one form."""
    parts = PureWindowsPath(unicodedata.normalize("NFC", name)).parts
    return tuple(part for part in parts if part != ".") or (name,)


def _shared(path: Sequence[str], name: Sequence[str]) -> int:
    """How many parts two paths share at their ends."""
    length = 0
    for left, right in zip(reversed(path), reversed(name), strict=False):
        if left != right:
            break
        length += 1
    return length


def _some(values: Sequence[Any]) -> str:
    """The first few values in words."""
    more = f" and {len(values) - _NAMED} more" if len(values) > _NAMED else ""
    return ", ".join(map(str, values[:_NAMED])) + more


def _person_category(values: list[Any], path: Path) -> int:
    """The category of persons in detection results: the only one, or COCO's among several.

    Raises:
        UserError: there are several, and none is COCO's.
    """
    found = {str(entry["category_id"]): entry["category_id"] for entry in values if _states_category(entry)}
    if len(found) == 1:
        return next(iter(found.values()))
    if found and str(PERSON_CATEGORY) not in found:
        raise UserError(
            f"{path}: has categories {_some(sorted(found))}, and none is {PERSON_CATEGORY}, COCO's of persons; keep "
            "the persons only"
        )
    return PERSON_CATEGORY


def _states_category(entry: Any) -> bool:
    return isinstance(entry, dict) and "category_id" in entry


def _by_number(source: ImageFiles, numbers: Sequence[int], path: Path) -> dict[int, int]:
    """The pictures by the number that their names end in.

    Raises:
        UserError: the names do not all end in a number of their own, or a number has no picture.
    """
    ids = image_ids(source.names)
    if ids is None:
        raise UserError(
            f"{path}: detection results without file_name name images by number, and these files' names do not all end "
            "in one of their own; write file_name into the results, as detect does, or give annotations"
        )
    lost = sorted(set(numbers) - set(ids))
    if lost:
        kind = "none of its images is" if len(lost) == len(set(numbers)) else "it is partly"
        raise UserError(
            f"{path}: no picture's name ends in image_id {_some(lost)}; {kind} of others, or ids mean something else; "
            "write file_name into the results, as detect does"
        )
    return {image_id: index for index, image_id in enumerate(ids)}
