"""Faults planted in a clean set are found, each by its name, and nothing else is."""

import dataclasses
import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from planted import people

from keras_simplepose import check
from keras_simplepose.config import CheckConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.reporting.check_data import check_data, examine
from keras_simplepose.reporting.findings import KINDS
from keras_simplepose.reporting.skeleton_faults import skeleton_faults
from keras_simplepose.utils.errors import UserError


def clean_set():
    """A COCO file of 36 standing people in 12 photographs."""
    persons = people(images=12, per_image=3, seed=2)
    annotations = [
        {
            "id": each.annotation_id,
            "image_id": each.image_id,
            "category_id": 1,
            "iscrowd": 0,
            "bbox": list(each.box),
            "area": 0.5 * each.box[2] * each.box[3],
            "num_keypoints": 17,
            "keypoints": np.column_stack([each.keypoints.astype(float).round(2), np.full(17, 2)]).ravel().tolist(),
        }
        for each in persons.persons
    ]
    images = [dataclasses.asdict(each) for each in persons.images.values()]
    return {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person", "keypoints": list(COCO17.keypoints)}],
    }


def exchange(entry):
    points = np.array(entry["keypoints"]).reshape(17, 3)[COCO17.flip_order]
    entry["keypoints"] = points.ravel().tolist()


def put(key, value):
    return lambda tables: tables["annotations"][4].update({key: value})


def change(place, value):
    def fault(tables):
        tables["annotations"][4]["keypoints"][place] = value

    return fault


def origin(tables):
    tables["annotations"][4]["keypoints"][:3] = [0, 0, 2]
    tables["annotations"][4]["bbox"] = [0, 0, 780, 400]


def repeat(name, **changes):
    return lambda tables: tables[name].append(tables[name][4] | changes)


FAULTS = [
    ("damaged value", put("keypoints", [1, 2, 3])),
    ("damaged value", change(6, None)),
    ("damaged value", put("bbox", [1, 2, "3", 4])),
    ("damaged value", lambda tables: tables["images"].append({"id": 99})),
    ("repeated annotation id", repeat("annotations", image_id=1)),
    ("repeated image id", repeat("images", file_name="other.jpg")),
    ("repeated image file", repeat("images", id=77)),
    ("unknown image", put("image_id", 555)),
    ("repeated person", repeat("annotations", id=500)),
    ("box outside", put("bbox", [2000, 10, 50, 80])),
    ("box beyond the image", put("bbox", [300, 20, 900, 300])),
    ("tiny box", put("bbox", [400, 20, 3, 300])),
    ("keypoints off the box", put("bbox", [400, 40, 30, 40])),
    ("keypoint outside", change(1, -30.0)),
    ("labelled at the origin", origin),
    ("unlabelled with a place", change(5, 0)),
    ("unknown visibility", change(5, 3)),
    ("wrong count", put("num_keypoints", 5)),
    ("area missing", put("area", 0)),
    ("area beyond its box", put("area", 1e6)),
    ("left and right exchanged", lambda tables: exchange(tables["annotations"][4])),
]


def kinds_of(tables):
    return {each.kind for each in examine(tables, COCO17, 1).findings}


def test_a_clean_set_has_no_findings():
    assert not kinds_of(clean_set())


@pytest.mark.parametrize(("kind", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_planted_fault_is_found(kind, fault):
    tables = clean_set()
    fault(tables)
    findings = examine(tables, COCO17, 1).findings
    assert kind in {each.kind for each in findings}
    # Of the others only what follows from it, and nobody but the one it was planted in.
    assert {each.annotation_id for each in findings if each.annotation_id is not None} <= {5, 500}


def changed(**values):
    return dataclasses.replace(COCO17, **values)


@pytest.mark.parametrize(
    ("kind", "skeleton"),
    [
        ("flip pair against the names", changed(flip_pairs=((1, 3), (2, 4), *COCO17.flip_pairs[2:]))),
        ("flip pair against the names", changed(flip_pairs=COCO17.flip_pairs[1:])),
        ("edge against the names", changed(edges=(*COCO17.edges, (5, 12)))),
        ("sigmas against the names", changed(sigmas=(0.026, 0.025, 0.05, *COCO17.sigmas[3:]))),
    ],
)
def test_a_skeleton_that_contradicts_its_names_is_found(kind, skeleton):
    assert {each.kind for each in skeleton_faults(skeleton)} == {kind}
    assert not list(skeleton_faults(COCO17))


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Twelve photographs of noise, of which five are faulty, and their annotations."""
    folder, random = tmp_path_factory.mktemp("check"), np.random.default_rng(0)
    tables = clean_set()
    (folder / "images").mkdir()
    for record in tables["images"]:
        coarse = random.integers(0, 256, (10, 20, 3), np.uint8)
        pixels = cv2.resize(coarse, (record["width"], record["height"]), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / "images" / record["file_name"]), pixels)
    paths = [folder / "images" / record["file_name"] for record in tables["images"]]
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:3000])
    cv2.imwrite(str(paths[2]), cv2.imread(str(paths[2]))[:200])
    exif = Image.Exif()
    exif[0x0112] = 3
    image = Image.open(paths[3])
    image.load()
    image.save(paths[3], exif=exif)
    cv2.imwrite(str(paths[4]), cv2.imread(str(paths[5])), [cv2.IMWRITE_JPEG_QUALITY, 60])
    (folder / "annotations.json").write_text(json.dumps(tables))
    return folder


def test_faulty_files_are_found_each_by_its_name(photographs, tmp_path, capsys):
    config = CheckConfig(
        annotations=str(photographs / "annotations.json"), images=str(photographs / "images"), output=str(tmp_path)
    )
    assert check.main(config) == 2
    found = json.loads((tmp_path / "check.json").read_text())
    expected = {"missing image": 1, "unreadable image": 1, "wrong size": 1, "EXIF orientation": 1, "near duplicate": 1}
    assert found["counts"] == expected
    (pair,) = [each["text"] for each in found["findings"] if each["kind"] == "near duplicate"]
    assert pair == "000005.jpg and 000006.jpg"
    page = (tmp_path / "index.html").read_text("utf-8")
    assert page.count('"mirrored"') == 0 and page.count(">mirrored<") > 10
    assert "error" in capsys.readouterr().out


def test_images_shared_with_another_set_are_found_by_name_and_by_look(photographs, tmp_path):
    (tmp_path / "images").mkdir()
    records = [{"id": 1, "file_name": "renamed.jpg"}, {"id": 2, "file_name": "000009.jpg"}]
    for record, name in zip(records, ("000008.jpg", "000009.jpg"), strict=True):
        image = cv2.imread(str(photographs / "images" / name))
        cv2.imwrite(str(tmp_path / "images" / record["file_name"]), image, [cv2.IMWRITE_JPEG_QUALITY, 70])
    (tmp_path / "other.json").write_text(json.dumps({"images": records, "annotations": [], "categories": []}))
    config = CheckConfig(
        annotations=str(photographs / "annotations.json"),
        images=str(photographs / "images"),
        other_annotations=str(tmp_path / "other.json"),
        other_images=str(tmp_path / "images"),
    )
    leaks = [each.text for each in check_data(config, progress=False)[0].findings if each.kind == "leakage"]
    assert len(leaks) == 2 and any("000008.jpg looks like renamed.jpg" in text for text in leaks)


def test_a_mended_copy_has_none_of_the_faults_that_were_to_be_mended(tmp_path):
    tables = clean_set()
    tables["annotations"][0]["area"] = 0
    tables["annotations"][1]["num_keypoints"] = 3
    tables["annotations"][2]["bbox"][2] += 2000
    tables["annotations"][3]["keypoints"][:3] = [0, 0, 2]
    tables["annotations"].append(tables["annotations"][7] | {"id": 900})
    tables["images"].append(tables["images"][0])
    (tmp_path / "a.json").write_text(json.dumps(tables))
    fixes = ("areas", "duplicates", "visibility", "counts", "boxes")
    config = CheckConfig(annotations=str(tmp_path / "a.json"), output=str(tmp_path / "out"), fix=fixes)
    found, outputs, changes = check_data(config, progress=False)
    assert {"area missing", "wrong count", "repeated person", "repeated image id"} <= {
        each.kind for each in found.findings
    }
    assert sum(changes.values()) == 6
    mended = json.loads((tmp_path / "out" / "mended.json").read_text())
    assert not kinds_of(mended) and len(mended["annotations"]) == 36
    assert json.loads((tmp_path / "a.json").read_text()) == tables


def test_memory_does_not_grow_with_the_file(tmp_path):
    tables = clean_set()
    for entry in tables["annotations"]:
        entry["segmentation"] = [[1.5] * 15_000]
    (tmp_path / "a.json").write_text(json.dumps(tables))
    tracemalloc.start()
    found, *_ = check_data(CheckConfig(annotations=str(tmp_path / "a.json")), progress=False)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.figures["annotations"] == 36 and not found.findings
    assert peak < (tmp_path / "a.json").stat().st_size  # Read whole it takes eight times that.


def test_files_that_are_no_json_or_have_nan_are_read_all_the_same(tmp_path):
    tables = clean_set()
    tables["annotations"][4]["keypoints"][0] = float("nan")
    (tmp_path / "a.json").write_text(json.dumps(tables))
    config = CheckConfig(annotations=str(tmp_path / "a.json"))
    assert {each.kind for each in check_data(config, progress=False)[0].findings} == {"damaged value"}
    for text, message in (
        ('{"images": [1, 2', "not valid JSON at line 1"),
        ("{}", "not COCO annotations"),
        ("[]", "not COCO"),
    ):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(UserError, match=message):
            check_data(config, progress=False)


def test_official_files_have_only_real_faults(shared_data):
    tables = json.loads(Path(shared_data / "annotations" / "person_keypoints_val.json").read_text())
    assert not kinds_of(tables)


def labelled_twice(sigmas, pairs=300):
    """The clean set's persons, each labelled by two who err as `sigmas` [17] say."""
    tables, random = clean_set(), np.random.default_rng(0)
    persons, tables["annotations"] = tables["annotations"], []
    for number in range(pairs):
        entry = persons[number % len(persons)]
        exact = np.array(entry["keypoints"]).reshape(17, 3)
        for person in range(2):
            noise = random.normal(0, 1, (17, 2)) * sigmas[:, None] * np.sqrt(entry["area"] / 2)
            points = np.column_stack([exact[:, :2] + noise, exact[:, 2]])
            changes = {"id": 2 * number + person, "image_id": number + 1, "keypoints": points.ravel().tolist()}
            tables["annotations"].append(entry | changes)
    tables["images"] = [tables["images"][0] | {"id": each + 1, "file_name": f"{each}.jpg"} for each in range(pairs)]
    return tables


def test_sigmas_are_estimated_from_persons_labelled_twice():
    sigmas = np.array(COCO17.sigmas) / 2
    sigmas[3] = 0.12
    found = examine(labelled_twice(sigmas), COCO17, 1)
    figures = list(found.figures["keypoints"].values())
    np.testing.assert_allclose([each["sigma of labels"] for each in figures], sigmas, rtol=0.15)
    assert all(each["labelled twice"] == 300 for each in figures)
    off = [each.text for each in found.findings if each.kind == "sigma off the labels"]
    assert len(off) == 1 and off[0].startswith("left_ear: given 0.035; 300 repeated labels")
    alone = examine(clean_set(), COCO17, 1).figures["keypoints"]["nose"]
    assert alone["sigma of labels"] is None and alone["labelled twice"] == 0


def test_crops_are_counted_beside_the_input():
    tables = clean_set()
    for place, entry in enumerate(tables["annotations"]):
        entry["bbox"] = [0, 0, 10, 256 / 1.25 * (0.1, 0.3, 0.7, 1.5, 2.5)[place % 5]]
    figures = examine(tables, COCO17, 1, (256, 192)).figures["crops beside an input of 256×192"]
    assert list(figures.values()) == [8, 7, 7, 7, 7]


def test_every_kind_of_finding_is_planted_here():
    here = {kind for kind, _ in FAULTS} | {"missing image", "unreadable image", "wrong size", "EXIF orientation"}
    here |= {"near duplicate", "leakage", "flip pair against the names", "edge against the names"}
    assert here | {"sigmas against the names", "sigma off the labels"} == set(KINDS)
