"""Image files that an export names or implies: where they are, and how large."""

import os
from pathlib import Path, PurePosixPath

from keras_simplepose.media.images import check_image_folder, image_header
from keras_simplepose.media.orientation import displayed_size


class ImageFolder:
    """The files below a folder, found by the ends of their paths: tools store images under paths of their own."""

    def __init__(self, folder: str | Path):
        """Lists the folder.

        Raises:
            UserError: there is no such folder.
        """
        self.path = Path(folder)
        check_image_folder(folder)
        self._by_name: dict[str, list[PurePosixPath]] = {}
        for root, folders, files in os.walk(self.path):
            folders.sort()
            for name in sorted(files):
                relative = PurePosixPath(Path(root, name).relative_to(self.path).as_posix())
                self._by_name.setdefault(name, []).append(relative)

    def find(self, path: str) -> str | None:
        """The file whose path has the longest end in common with `path`; None if there is none, or two as good."""
        wanted = PurePosixPath(path.replace("\\", "/"))
        scored = [(_common_end(each.parts, wanted.parts), each) for each in self._by_name.get(wanted.name, ())]
        best = max((score for score, _ in scored), default=0)
        found = [each for score, each in scored if score == best]
        return str(found[0]) if len(found) == 1 else None


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    count = 0
    for first, second in zip(reversed(one), reversed(other), strict=False):
        if first != second:
            break
        count += 1
    return count


def size_as_displayed(path: Path) -> tuple[tuple[int, int], bool]:
    """(height, width) of an image as it is displayed, and whether its EXIF data turn or mirror it.

    Raises:
        UserError: it is missing, or no image.
    """
    header = image_header(path)
    return displayed_size(header.size, header.exif), header.exif != 1
