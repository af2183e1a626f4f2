"""Persons' boxes from a file, for the pictures of a source."""

from pathlib import Path

from keras_simplepose.core.boxes import NOBODY, PersonBoxes
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.coco import load_persons, read_detections
from keras_simplepose.data.persons import PERSON_CATEGORY, ImageRecord
from keras_simplepose.media.source import Frame, ImageFiles, Source, image_ids
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import read_json


class BoxFile:
    """The boxes of a COCO file, by the pictures of a source.

    Detection results belong to an image by the number its file name ends in, and to a video by the frame's number from
    0. Annotations belong to an image by its file name.
    """

    def __init__(self, path: str | Path, source: Source, skeleton: Skeleton):
        """Reads the file.

        Args:
            path: detection results (a list) or keypoint annotations (a table); annotations are read by the release's
                rules, which leave crowds out.
            source: the pictures.
            skeleton: chooses the annotations' category.

        Raises:
            UserError: the file is faulty, or none of it is about these pictures.
        """
        self.path = Path(path)
        self.ids: dict[int, int] | None = None  # Image ids by picture, where annotations give them.
        self._records: dict[int, ImageRecord] = {}
        self._persons: dict[int, PersonBoxes] = {}
        if isinstance(read_json(path), list):
            self._read_detections(source)
        else:
            self._read_annotations(source, skeleton)

    def __call__(self, frame: Frame) -> PersonBoxes:
        """The persons of a picture.

        Raises:
            UserError: annotations that do not list it, or give it another size.
        """
        if self.ids is not None:
            if frame.index not in self.ids:
                raise UserError(f"{frame.name}: not listed in {self.path}")
            record, (height, width) = self._records[frame.index], frame.image.shape[:2]
            if (record.height, record.width) != (height, width):
                raise UserError(
                    f"{frame.name}: is {width}×{height} as it is to be seen, and {self.path} has boxes for "
                    f"{record.width}×{record.height}"
                )
        return self._persons.get(frame.index, NOBODY)

    def _keep(self, boxes: dict[int, list[tuple[tuple[float, ...], float]]]) -> None:
        self._persons = {index: PersonBoxes.gathered(entries) for index, entries in boxes.items()}

    def _read_detections(self, source: Source) -> None:
        detections = read_detections(self.path, PERSON_CATEGORY).values()
        if isinstance(source, ImageFiles):
            ids = image_ids(source.names)
            if ids is None:
                raise UserError(
                    f"{self.path}: detection results name images by number, and these files' names do not all end in "
                    "one of their own; give annotations as boxes instead"
                )
            places = {image_id: index for index, image_id in enumerate(ids)}
        else:
            last = max((detection.image_id for detection in detections), default=-1)
            places = {index: index for index in range(source.total or last + 1)}
        boxes: dict[int, list] = {}
        for detection in detections:
            if detection.image_id in places:
                boxes.setdefault(places[detection.image_id], []).append((detection.box, detection.score))
        if not boxes:
            raise UserError(f"{self.path}: has no person in any of these pictures; it is of others")
        self._keep(boxes)

    def _read_annotations(self, source: Source, skeleton: Skeleton) -> None:
        if not isinstance(source, ImageFiles):
            raise UserError(f"{self.path}: annotations are of image files; a video takes detection results")
        persons = load_persons(self.path, skeleton, labelled_only=False)
        by_name = {Path(record.file_name).name: record for record in persons.images.values()}
        self._records = {
            index: by_name[Path(name).name] for index, name in enumerate(source.names) if Path(name).name in by_name
        }
        if not self._records:
            raise UserError(f"{self.path}: lists none of these images; it is of others")
        self.ids = {index: record.id for index, record in self._records.items()}
        groups = persons.by_image()
        self._keep(
            {
                index: [(person.box, 1.0) for person in groups[image_id]]
                for index, image_id in self.ids.items()
                if image_id in groups
            }
        )
