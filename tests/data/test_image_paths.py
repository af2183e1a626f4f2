import json

import pytest

from keras_simplepose.core.skeletons import COCO17, MPII16, SKELETONS
from keras_simplepose.data.annotations import READERS, load_annotations
from keras_simplepose.data.image_paths import ImagePaths
from keras_simplepose.data.posetrack import FILE_KEYPOINTS
from keras_simplepose.utils.errors import UserError


def check(folder, *names):
    paths = ImagePaths(folder, "a.json")
    for name in names:
        paths.check(name)


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


CATEGORY = {"id": 1, "name": "person", "keypoints": list(FILE_KEYPOINTS)}
FILES = {
    "posetrack": (
        {"images": [{"id": 0, "frame_id": 0, "file_name": "../o.png", "vid_id": "1"}], "annotations": []}
        | {"categories": [CATEGORY]},
        SKELETONS["posetrack18"],
    ),
    "mpii": (
        [{"image": "../o.png", "center": [30.0, 40.0], "scale": 0.5, "joints": [[3, 4]] * 16, "joints_vis": [1] * 16}],
        MPII16,
    ),
    "coco": (
        {"images": [{"id": 1, "file_name": "../o.png"}], "annotations": []}
        | {"categories": [CATEGORY | {"keypoints": list(COCO17.keypoints)}]},
        COCO17,
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_every_reader_asks_before_it_looks_for_sizes(tmp_path, name):
    content, skeleton = FILES[name]
    (tmp_path / "images").mkdir()
    (tmp_path / "o.png").write_bytes(b"secret")
    (tmp_path / "a.json").write_text(json.dumps(content))
    assert next(key for key, reader in READERS.items() if reader.recognises(tmp_path / "a.json")) == name
    for follow, fault in ((False, "leads out of the folder of images"), (True, "o.png")):
        with pytest.raises(UserError, match=fault) as caught:
            load_annotations(tmp_path / "a.json", tmp_path / "images", skeleton, follow_paths=follow)
        assert ("leads out" in str(caught.value)) is not follow
