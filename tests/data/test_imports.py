"""The same persons out of every tool's export, and one line for what is damaged."""

import json
from pathlib import Path

import numpy as np
import pytest
from exports import (
    EDGES,
    FLIP,
    NAMES,
    ROUNDING,
    Picture,
    coco_tables,
    cvat_xml,
    label_studio_tasks,
    pictures,
    write_images,
    write_roboflow,
    write_yolo,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from keras_simplepose.config import ImportConfig, ImportedSkeletonConfig
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.data.coco import load_persons
from keras_simplepose.data.imports.importing import import_data
from keras_simplepose.reporting.check_data import examine
from keras_simplepose.utils.errors import UserError

AS_EXPORTED = ImportedSkeletonConfig()


def run(path, folder, skeleton=AS_EXPORTED, **options):
    return import_data(ImportConfig(input=str(path), output=str(folder / "imported"), **options), skeleton)


def tables_of(done, split=0):
    return json.loads(done.splits[split].path.read_text())


def assert_same_persons(done, images, tolerance, split=0, boxes=True):
    """What was written is what the pictures hold, for us, for pycocotools and for `check`."""
    path, skeleton = done.splits[split].path, done.skeleton
    tables = tables_of(done, split)
    assert [(each["file_name"], each["height"], each["width"]) for each in tables["images"]] == [
        (each.name, *each.size) for each in images
    ]
    order = [NAMES.index(name) for name in skeleton.keypoints]
    persons = [person for each in images for person in each.persons]
    assert len(tables["annotations"]) == len(persons)
    for entry, (points, box) in zip(tables["annotations"], persons, strict=True):
        found = np.array(entry["keypoints"]).reshape(-1, 3)
        np.testing.assert_array_equal(found[:, 2], points[order, 2])
        np.testing.assert_allclose(found[:, :2], points[order, :2], rtol=0, atol=tolerance + 1e-4)
        if boxes:
            np.testing.assert_allclose(entry["bbox"], box, rtol=0, atol=2 * tolerance + 1e-4)
    annotations = COCO(str(path))
    assert len(annotations.getAnnIds(catIds=[1])) == len(persons) and 0 not in annotations.getAnnIds()
    read = load_persons(path, skeleton)
    assert len(read.persons) == len(persons) and not read.left_out and not read.remarks
    assert not [each for each in examine(tables, skeleton, 1).findings if each.severity == "error"]


@pytest.fixture
def splits():
    return {"train": pictures(0), "val": pictures(1)}


def test_yolo_pose(tmp_path, splits, capfd):
    done = run(write_yolo(tmp_path / "export", splits), tmp_path)
    for place, images in enumerate(splits.values()):
        assert_same_persons(done, images, ROUNDING["yolo"], place)
    assert done.skeleton == load_skeleton(done.skeleton_path)
    assert done.skeleton.keypoints == NAMES and done.skeleton.flip_order.tolist() == FLIP
    assert done.splits[0].split.folder == tmp_path / "export" / "images" / "train"
    summary = json.loads((tmp_path / "imported" / "import.json").read_text())
    assert summary["splits"]["train"]["persons"] == 3 and summary["splits"]["val"]["images"] == 3


def test_yolo_pose_without_visibility_takes_zeros_as_unlabelled(tmp_path):
    images = pictures(visibility=(0, 2))
    assert_same_persons(run(write_yolo(tmp_path / "e", {"train": images}, 2), tmp_path), images, ROUNDING["yolo"])


def test_yolo_boxes_are_those_that_supervision_reads(tmp_path, splits):
    supervision = pytest.importorskip("supervision")
    folder = write_yolo(tmp_path / "export", splits)
    done = run(folder, tmp_path)
    read = supervision.DetectionDataset.from_yolo(
        str(folder / "images" / "train"), str(folder / "labels" / "train"), str(folder / "data.yaml")
    )
    tables = tables_of(done)
    for record in tables["images"]:
        (boxes,) = [each.xyxy for path, each in read.annotations.items() if Path(path).name == record["file_name"]]
        ours = np.array([each["bbox"] for each in tables["annotations"] if each["image_id"] == record["id"]])
        ours = ours.reshape(-1, 4)
        np.testing.assert_allclose(np.column_stack([ours[:, :2], ours[:, :2] + ours[:, 2:]]), boxes, atol=2e-3)


def test_yolo_splits_are_folders_lists_of_folders_and_lists_of_files(tmp_path, splits):
    folder = write_yolo(tmp_path / "export", splits | {"more": []}, more=None)
    write_images(folder / "images" / "more", [Picture("q.png", (30, 40), [])])
    (folder / "val.txt").write_text("images/val/p1.png\n\n./images/val/p1.png\n")
    text = (folder / "data.yaml").read_text()
    text = text.replace("train: images/train", "train: [images/train, ../images/more]").replace("images/val", "val.txt")
    (folder / "data.yaml").write_text(text.replace("path: .", "path: elsewhere"))
    done = run(folder / "data.yaml", tmp_path)
    assert [each["file_name"] for each in tables_of(done, 1)["images"]] == ["p1.png"]
    names = [each["file_name"] for each in tables_of(done)["images"]]
    assert names == ["train/p0.png", "train/p1.png", "train/p2.png", "more/q.png"]
    assert done.splits[0].split.folder == folder / "images"
    assert done.splits[0].split.notes.counts["images without a label file, taken as images without persons"] == 1
    assert done.splits[1].split.left_out.counts["label files of no image that a split names"] == 1


def test_yolo_images_are_as_displayed(tmp_path):
    from PIL import Image

    images = pictures(count=1)
    folder = write_yolo(tmp_path / "export", {"train": images})
    exif = Image.Exif()
    exif[0x0112] = 6
    (folder / "images" / "train" / "p0.png").unlink()
    Image.new("RGB", images[0].size).save(folder / "images" / "train" / "p0.jpg", exif=exif)  # Stored as 160 high.
    images[0].name = "p0.jpg"
    done = run(folder, tmp_path)
    assert_same_persons(done, images, ROUNDING["yolo"])
    assert done.export.turned == 1


def test_keypoints_without_names_are_numbered_named_or_taken_as_a_skeletons(tmp_path, splits):
    folder = write_yolo(tmp_path / "export", splits, names=False)
    done = run(folder, tmp_path)
    assert done.skeleton.keypoints[0] == "keypoint_1" and done.skeleton.flip_order.tolist() == FLIP
    assert "no names" in done.remark
    named = run(folder, tmp_path, ImportedSkeletonConfig(keypoints=NAMES))
    assert named.skeleton.keypoints == NAMES and not named.remark
    taken = run(folder, tmp_path / "other", ImportedSkeletonConfig(skeleton=named.skeleton_path))
    assert taken.skeleton == named.skeleton and not (tmp_path / "other" / "imported" / "skeleton.toml").exists()


def test_roboflow(tmp_path, splits):
    done = run(write_roboflow(tmp_path / "export", splits), tmp_path)
    for place, images in enumerate(splits.values()):
        assert_same_persons(done, images, ROUNDING["coco"], place)
    assert done.skeleton.edges == tuple(EDGES) and done.skeleton.flip_order.tolist() == FLIP
    assert [each["id"] for each in tables_of(done)["images"]] == [0, 1, 2]
    assert {path.name for path in (tmp_path / "imported").glob("*.json")} == {"train.json", "val.json", "import.json"}


def test_cvats_coco_keypoints(tmp_path, splits):
    folder = tmp_path / "export"
    for name, images in splits.items():
        write_images(folder / "images" / name, images)
        (folder / "annotations").mkdir(exist_ok=True)
        (folder / "annotations" / f"person_keypoints_{name}.json").write_text(json.dumps(coco_tables(images)))
    done = run(folder, tmp_path)
    assert_same_persons(done, splits["val"], ROUNDING["coco"], 1)
    assert done.splits[1].split.folder == folder / "images" / "val"


def cvat(folder, images, **options):
    (folder / "export").mkdir(parents=True, exist_ok=True)
    (folder / "export" / "annotations.xml").write_text(cvat_xml(images, **options))
    return folder / "export"


def test_cvat_skeletons_with_and_without_boxes(tmp_path):
    images = pictures(count=4)
    done = run(cvat(tmp_path, images), tmp_path)
    assert_same_persons(done, images, ROUNDING["cvat"])
    assert done.skeleton.edges == tuple(EDGES) and done.skeleton.flip_order.tolist() == FLIP
    bare = run(cvat(tmp_path, images, boxes=False), tmp_path)
    assert_same_persons(bare, images, ROUNDING["cvat"], boxes=False)
    assert bare.splits[0].split.notes.counts["boxes taken from keypoints"] == 3


def test_cvat_points_by_themselves_and_of_a_person(tmp_path):
    images = pictures(visibility=(0, 1, 2))
    for group_ids in (True, False):
        done = run(
            cvat(tmp_path, images, grouped="single", group_ids=group_ids),
            tmp_path,
            ImportedSkeletonConfig(keypoints=NAMES),
        )
        assert_same_persons(done, images, ROUNDING["cvat"])
    seen = pictures(visibility=(2,))
    done = run(cvat(tmp_path, seen, grouped="points"), tmp_path, ImportedSkeletonConfig(keypoints=NAMES))
    assert_same_persons(done, seen, ROUNDING["cvat"])


def test_cvat_subsets_become_files_and_images_are_looked_up(tmp_path):
    images = pictures(count=2)
    folder = cvat(tmp_path, images)
    text = (folder / "annotations.xml").read_text()
    text = text.replace('name="p0.png"', 'name="p0.png" subset="train"').replace(
        'name="p1.png"', 'name="p1.png" subset="val"'
    )
    (folder / "annotations.xml").write_text(text)
    write_images(folder / "images" / "train", images[:1])
    done = run(folder, tmp_path, images=str(folder / "images"))
    assert [each.split.name for each in done.splits] == ["train", "val"]
    assert tables_of(done)["images"][0]["file_name"] == "train/p0.png"
    assert done.splits[1].split.left_out.counts["annotated images that the folder does not have"] == 1


def label_studio(folder, tasks):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


@pytest.mark.parametrize("options", [{}, {"labels_tag": True}, {"parents": False}, {"rectangles": False}], ids=str)
def test_label_studio(options, tmp_path):
    images = pictures(visibility=(0, 2))
    path = label_studio(tmp_path, label_studio_tasks(images, **options))
    write_images(tmp_path / "photographs", images)
    done = run(path, tmp_path, ImportedSkeletonConfig(keypoints=NAMES), images=str(tmp_path / "photographs"))
    assert_same_persons(done, images, ROUNDING["label_studio"], boxes=options.get("rectangles", True))
    assert done.skeleton.flip_order.tolist() == FLIP
    assert not done.splits[0].split.left_out.counts


def test_label_studio_counts_what_it_leaves_out(tmp_path):
    images = pictures(visibility=(2,), count=2)
    tasks = label_studio_tasks(images, parents=False)
    results = tasks[0]["annotations"][0]["result"]
    nose = next(each for each in results if each["id"] == "rect0-nose")
    nose["value"] |= {"x": 99.5, "y": 99.5}  # In no rectangle.
    results.append(nose | {"id": "rect1-nose", "type": "choices", "value": {"choices": ["Occluded"]}})
    results.append(nose | {"id": "shape", "type": "polygonlabels", "value": {"points": []}})
    tasks.append({"id": 9, "data": {"image": "/data/upload/x.png"}, "annotations": [{"was_cancelled": True}]})
    tasks[1]["annotations"].insert(0, tasks[1]["annotations"][0] | {"updated_at": "2020", "result": []})
    tasks[1]["annotations"][1]["updated_at"] = "2021"
    done = run(label_studio(tmp_path, tasks), tmp_path, ImportedSkeletonConfig(keypoints=NAMES))
    assert dict(done.splits[0].split.left_out.counts) == {
        "results of type 'polygonlabels'": 1,
        "annotations that were skipped": 1,
        "tasks without an annotation": 1,
        "annotations beside a task's ground truth or newest": 1,
        "keypoints in no rectangle": 1,
    }
    first, second, third = tables_of(done)["annotations"]
    assert first["keypoints"][:3] == [0, 0, 0] and second["keypoints"][2] == 1 and third["num_keypoints"] == 6


def test_label_studio_rotated_rectangles_are_taken_as_their_extent(tmp_path):
    images = [Picture("a.png", (100, 200), [])]
    (task,) = label_studio_tasks(images)
    value = {"x": 50, "y": 50, "width": 10, "height": 10, "rotation": 90, "rectanglelabels": ["person"]}
    common = {"original_width": 200, "original_height": 100}
    task["annotations"][0]["result"] = [
        common | {"id": "r", "type": "rectanglelabels", "value": value},
        common | {"id": "k", "type": "keypointlabels", "value": {"x": 47, "y": 55, "keypointlabels": ["a"]}},
        common | {"id": "l", "type": "keypointlabels", "value": {"x": 48, "y": 60, "keypointlabels": ["b"]}},
    ]
    done = run(label_studio(tmp_path, [task]), tmp_path)
    (entry,) = tables_of(done)["annotations"]
    assert entry["bbox"] == [90, 50, 10, 20] and entry["num_keypoints"] == 2  # 20 × 10 pixels, turned clockwise.


COORDINATE = st.floats(0, 1)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
@given(
    st.tuples(st.integers(10, 400), st.integers(10, 400)),
    st.lists(st.tuples(COORDINATE, COORDINATE, st.sampled_from([0, 2])), min_size=6, max_size=6),
)
def test_any_coordinates_come_back_out_of_every_format(tmp_path_factory, size, values):
    height, width = size
    points = np.array([(x * width, y * height, v) for x, y, v in values])
    points[:2, 2] = 2
    points[:2, :2] = (width / 3, height / 3), (width / 2, height / 2)
    points[points[:, 2] == 0] = 0
    points[(points[:, :2] < 0.011).all(1)] = 0  # At the origin to some format's rounding: not labelled.
    images = [Picture("a.png", size, [(points, (0.0, 0.0, float(width), float(height)))])]
    folder = tmp_path_factory.mktemp("any")
    for kind, path in (
        ("yolo", write_yolo(folder / "yolo", {"train": images})),
        ("coco", write_roboflow(folder / "coco", {"train": images})),
        ("cvat", cvat(folder, images)),
        ("label_studio", label_studio(folder, label_studio_tasks(images))),
    ):
        wanted = ImportedSkeletonConfig(keypoints=NAMES if (points[:, 2] > 0).all() else ())
        done = run(path, folder, wanted)
        names = done.skeleton.keypoints
        (entry,) = tables_of(done)["annotations"]
        found = dict(zip(names, np.array(entry["keypoints"]).reshape(-1, 3), strict=True))
        for name, point in zip(NAMES, points, strict=True):
            np.testing.assert_allclose(found.get(name, np.zeros(3)), point, atol=ROUNDING[kind] + 1e-4)


def replaced(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


YOLO_FAULTS = [
    ("kpt_shape:\n- 6\n- 3\n", "", "has no kpt_shape"),
    ("- 6\n- 3\n", "- 6\n- 4\n", "kpt_shape is"),
    ("kpt_shape:\n- 6", "kpt_shape:\n- 5", "wants 5 different"),
    ("flip_idx:\n- 0", "flip_idx:\n- 9", "flip_idx is"),
    ("- 0\n- 2\n- 1\n", "- 2\n- 0\n- 1\n", "twice must lead back"),
    ("- 4\n- 3\n", "- 3\n- 4\n", "flip_idx exchanges left_hip with nothing"),
    ("- nose", "- tail", "kpt_names"),
    ("train: images/train", "train: images/gone", "gone is neither a folder nor a file"),
    ("train: images/train", "train: {a: 1}", "must be a folder or a text file"),
    ("names:", "names: [", "not valid YAML at line"),
    ("  0: person", "  a: person", "names is"),
]


@pytest.mark.parametrize(("old", "new", "message"), YOLO_FAULTS, ids=[message for *_, message in YOLO_FAULTS])
def test_a_faulty_data_yaml_is_named(old, new, message, tmp_path):
    folder = write_yolo(tmp_path / "e", {"train": pictures(count=1)})
    replaced(folder / "data.yaml", old, new)
    one_line(folder / "data.yaml", tmp_path, message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 .5 .5 .2 .2", "a box without keypoints"),
        ("0 .5 .5 .2 .2 .1 .1 2", "8 numbers; kpt_shape .* 23"),
        ("3" + " .5" * 22, "class 3 is none of the 1"),
        ("0 .5 .5 .2 .2" + " .1 .1 3" * 6, "visibility 3"),
        ("0 .5 .5 .2 .2" + " 64 48 2" * 6, "share of the image"),
        ("0 50 50 20 20" + " .1 .1 2" * 6, "shares of the image"),
        ("0 .5 .5 .2 .2" + " .1 nan 2" * 6, "no finite number"),
        ("0 .5 .5 .2 x" + " .1 .1 2" * 6, "no number"),
    ],
)
def test_a_faulty_label_is_named_by_file_and_line(line, message, tmp_path):
    folder = write_yolo(tmp_path / "e", {"train": pictures(count=1)})
    labels = folder / "labels" / "train" / "p0.txt"
    labels.write_text(labels.read_text() + line + "\n")
    one_line(folder, tmp_path, rf"p0\.txt line 3: .*{message}")


CVAT_FAULTS = [
    ("<annotations>", "<!DOCTYPE a [<!ENTITY x 'y'>]><annotations>", "document type or entities"),
    ("</image>", "", "not valid XML at line"),
    ("<image ", '<track id="0"></track><image ', "CVAT for video"),
    ('points="', 'points="x', "must be x,y"),
    ('width="160"', 'width="wide"', "width is 'wide'"),
    ("<parent>person</parent>", "<parent>dog</parent>", "has the points"),
    ('name="p1.png"', 'name="p0.png"', "is there twice"),
    ('xtl="2', 'xtl="2000', "ends before it begins"),
    ('<points label="left_eye"', '<points label="nose"', "'nose' twice"),
    ("<version>", "<x/>" * 3 + "<version>", ""),
]


@pytest.mark.parametrize(("old", "new", "message"), CVAT_FAULTS, ids=[message for *_, message in CVAT_FAULTS])
def test_a_faulty_annotations_xml_is_named(old, new, message, tmp_path):
    path = replaced(cvat(tmp_path, pictures(count=2)) / "annotations.xml", old, new)
    if message:
        one_line(path, tmp_path, message)
    else:
        run(path, tmp_path)


def change_result(**changes):
    def apply(tasks):
        tasks[0]["annotations"][0]["result"][1].update(changes)

    return apply


LABEL_STUDIO_FAULTS = [
    (lambda tasks: tasks.clear(), "export from Label Studio as JSON"),
    (lambda tasks: tasks[0].pop("data"), "JSON-MIN"),
    (lambda tasks: tasks[0].pop("annotations"), "task 1: annotations is None"),
    (lambda tasks: tasks[0]["data"].update(image=1, other=2), "give image_key"),
    (change_result(original_width=50), "images of several sizes"),
    (change_result(value={"x": "1", "y": 2, "keypointlabels": ["nose"]}), "x is '1'"),
    (change_result(value={"x": 1, "y": 2, "keypointlabels": "nose"}), "must be a list of texts"),
    (change_result(value=None), "no type or no value"),
    (change_result(parentID="rect0-nose"), "leads back to itself"),
]


@pytest.mark.parametrize(("fault", "message"), LABEL_STUDIO_FAULTS, ids=[message for _, message in LABEL_STUDIO_FAULTS])
def test_a_faulty_label_studio_export_is_named(fault, message, tmp_path):
    tasks = label_studio_tasks(pictures(count=2, visibility=(2,)))
    fault(tasks)
    one_line(label_studio(tmp_path, tasks), tmp_path, message)


def test_faulty_coco_exports_are_named(tmp_path):
    for place, (change, message) in enumerate(
        [
            (lambda tables: tables["annotations"][0].update(image_id=9), "belongs to image 9"),
            (lambda tables: tables["annotations"][0]["keypoints"].pop(), "17 numbers"),
            (lambda tables: tables["categories"][1].update(keypoints=["a", "a"]), "two keypoints have one name"),
            (lambda tables: tables["categories"][1].update(skeleton=[[0, 1]]), "1 to 6"),
            (lambda tables: tables["categories"].pop(), "no class with keypoints"),
            (lambda tables: tables["categories"].append(tables["categories"][1] | {"id": 5}), "is there twice"),
            (
                lambda tables: [
                    each.update(name=f"x{each['id']}", keypoints=["a"], skeleton=[]) for each in tables["categories"]
                ],
                "several classes have keypoints",
            ),
        ]
    ):
        tables = coco_tables(pictures(count=1))
        change(tables)
        (tmp_path / f"{place}.json").write_text(json.dumps(tables))
        one_line(tmp_path / f"{place}.json", tmp_path, message)
    other = coco_tables(pictures(count=1))
    other["categories"][1]["keypoints"][0] = "snout"
    folder = write_roboflow(tmp_path / "export", {"train": pictures(count=1), "val": []})
    (folder / "val" / "_annotations.coco.json").write_text(json.dumps(other))
    one_line(folder, tmp_path, "in another split")


def one_line(path, folder, message):
    """The import ends in one short line, and leaves nothing behind."""
    with pytest.raises(UserError, match=message) as caught:
        run(path, folder)
    assert "\n" not in str(caught.value) and len(str(caught.value).replace(str(folder), "")) < 300
    assert not (folder / "imported").exists()


def test_exports_that_are_none_or_several(tmp_path):
    one_line(tmp_path / "gone", tmp_path, "no such file")
    one_line(tmp_path, tmp_path, "no export that is known here. Known are: COCO")
    (tmp_path / "a.zip").write_bytes(b"PK")
    one_line(tmp_path / "a.zip", tmp_path, "unpack it")
    write_yolo(tmp_path / "export", {"train": pictures(count=1)})
    cvat(tmp_path, pictures(count=1))
    one_line(tmp_path / "export", tmp_path, "several formats .yolo, cvat.; give format")
    assert run(tmp_path / "export", tmp_path, format="cvat").export.tool == "CVAT"


def test_no_file_of_a_users_is_written_over(tmp_path):
    folder = write_yolo(tmp_path / "export", {"train": pictures(count=1)})
    run(folder, tmp_path)
    run(folder, tmp_path)  # Its own files may be replaced.
    (tmp_path / "imported" / "skeleton.toml").write_text("edited")
    with pytest.raises(UserError, match=r"skeleton\.toml: is there already"):
        run(folder, tmp_path)
