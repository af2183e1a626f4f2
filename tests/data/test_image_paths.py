import pytest

from keras_simplepose.data.image_paths import check_image_paths
from keras_simplepose.data.persons import ImageRecord
from keras_simplepose.utils.errors import UserError


def check(folder, *names):
    check_image_paths([ImageRecord(number, name, 1, 1) for number, name in enumerate(names)], folder, "a.json")


def test_names_lead_nowhere_but_into_the_folder(tmp_path):
    images, outside = tmp_path / "images", tmp_path / "outside"
    for folder in (images / "sub", outside):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(b"")
    (images / "linked").symlink_to(outside)
    (images / "link.jpg").symlink_to(outside / "a.jpg")
    (images / "within.jpg").symlink_to(images / "sub" / "a.jpg")
    (tmp_path / "as_a_link").symlink_to(images)
    good = ("a.jpg", "sub/a.jpg", "sub/missing.jpg", "within.jpg", "..jpg")
    for root in (images, tmp_path / "as_a_link"):
        check(root, *good)
        for name in ("../outside/a.jpg", "sub/../a.jpg", str(outside / "a.jpg"), "linked/a.jpg", "link.jpg"):
            with pytest.raises(UserError, match="a.json: file_name .* follow_paths reads it all the same"):
                check(root, *good, name)
