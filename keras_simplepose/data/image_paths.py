"""Where the images are that annotations name: in their folder, unless the user trusts the names."""

import os
from collections.abc import Iterable
from pathlib import Path

from keras_simplepose.data.persons import ImageRecord
from keras_simplepose.utils.errors import UserError, shown


def check_image_paths(records: Iterable[ImageRecord], images: str | Path, annotations: str | Path) -> None:
    """Refuses names that lead out of the images' folder, by `..`, from the root, or through a link.

    Annotations come from anywhere, and what is read ends up in drawings, prepared sets and models. The folder itself
    may be a link.

    Args:
        records: whose names to check; images need not be there.
        images: their folder.
        annotations: the file that names them, for the message.

    Raises:
        UserError: naming the first.
    """
    root = os.path.realpath(images)
    inside: dict[str, bool] = {}
    for record in records:
        name = record.file_name
        fault = ""
        if os.path.isabs(name) or ".." in Path(name).parts:
            fault = "leads out of the folder of images"
        else:
            path = os.path.join(root, name)
            folder = os.path.dirname(path)
            if folder not in inside:
                inside[folder] = _is_below(os.path.realpath(folder), root)
            if not inside[folder] or (os.path.islink(path) and not _is_below(os.path.realpath(path), root)):
                fault = f"is a link out of {str(images)[-60:]}"
        if fault:
            raise UserError(f"{annotations}: file_name {shown(name)} {fault}; follow_paths reads it all the same")


def _is_below(path: str, root: str) -> bool:
    return os.path.commonpath([path, root]) == root
