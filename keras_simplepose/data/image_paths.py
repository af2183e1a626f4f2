"""Where the images are that annotations name: in their folder, unless the user trusts the names."""

import os
from pathlib import Path

from keras_simplepose.utils.errors import UserError, shown


class ImagePaths:
    """Refuses names that lead out of the images' folder, by `..`, from the root, or through a link.

    Annotations come from anywhere, and what is read ends up in drawings, prepared sets and models. The folder itself
    may be a link.
    """

    def __init__(self, images: str | Path, annotations: str | Path, follow: bool = False):
        """Takes the folder.

        Args:
            images: the folder; "": no image is going to be read, and any name will do.
            annotations: the file that names them, for the message.
            follow: any name will do.
        """
        self._images, self._annotations, self._follow = images, annotations, follow or not str(images)
        self._root = os.path.realpath(images)
        self._inside: dict[str, bool] = {}  # By folder.

    def check(self, name: str) -> None:
        """Checks a name before its image is touched, which need not be there.

        Raises:
            UserError: it leads out.
        """
        if not self._follow and (fault := self._fault(name)):
            raise UserError(f"{self._annotations}: file_name {shown(name)} {fault}; follow_paths reads it all the same")

    def _fault(self, name: str) -> str:
        if os.path.isabs(name) or ".." in Path(name).parts:
            return "leads out of the folder of images"
        path = os.path.join(self._root, name)
        folder = os.path.dirname(path)
        if folder not in self._inside:
            self._inside[folder] = self._is_below(os.path.realpath(folder))
        if self._inside[folder] and not (os.path.islink(path) and not self._is_below(os.path.realpath(path))):
            return ""
        return f"is a link out of {str(self._images)[-60:]}"

    def _is_below(self, path: str) -> bool:
        return os.path.commonpath([path, self._root]) == self._root
