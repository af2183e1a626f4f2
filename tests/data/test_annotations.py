import json

import numpy as np
import pytest
from pose_data import reading_predictor, write_data_set

from keras_simplepose.core.skeletons import COCO17, MPII16
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.evaluation.evaluator import evaluate_pckh, evaluate_predictor
from keras_simplepose.utils.errors import UserError

SPEC = PoseSpec(MPII16, (64, 64), (16, 16), 2.0)


@pytest.fixture
def both(tmp_path):
    """The same persons as COCO's and as MPII's files have them, with MPII's file of head boxes."""
    scipy_io = pytest.importorskip("scipy.io")
    tables = write_data_set(tmp_path, skeleton=MPII16, head_boxes=True)
    entries, heads = [], []
    for annotation in tables["annotations"]:
        x, y, width, height = annotation["bbox"]
        scale, points = height / 200, np.reshape(annotation["keypoints"], (-1, 3))
        center = [x + width / 2 + 1, y + height / 2 - 15 * scale + 1]
        joints = {"joints": (points[:, :2] + 1).tolist(), "joints_vis": (points[:, 2] > 0).astype(int).tolist()}
        entries.append({"image": f"{annotation['image_id']}.png", "center": center, "scale": scale} | joints)
        heads.append(np.reshape(annotation["head_box"], (2, 2)))
    (tmp_path / "mpii.json").write_text(json.dumps(entries))
    scipy_io.savemat(tmp_path / "gt_valid.mat", {"headboxes_src": np.stack(heads, axis=-1)})
    return tmp_path


def test_both_formats_give_the_same_persons(both):
    coco, mpii = (load_annotations(both / name, both / "images", MPII16) for name in ("annotations.json", "mpii.json"))
    assert [image.file_name for image in coco.images.values()] == [image.file_name for image in mpii.images.values()]
    for one, other in zip(coco.persons, mpii.persons, strict=True):
        assert (one.image_id, one.annotation_id) == (other.image_id, other.annotation_id)
        np.testing.assert_allclose(one.keypoints, other.keypoints, atol=1e-4)


def test_mpii_files_are_evaluated(both):
    persons = load_annotations(both / "mpii.json", both / "images", MPII16)
    predictor = reading_predictor(persons, spec=SPEC)
    assert evaluate_predictor(predictor, persons, both / "images", progress=False).metrics["AP"] == pytest.approx(1)
    result = evaluate_pckh(predictor, persons, both / "images", both / "gt_valid.mat", progress=False)
    assert result.metrics["PCKh"] == 100
    with pytest.raises(UserError, match="gt_valid.mat"):
        evaluate_pckh(predictor, persons, both / "images", progress=False)


def test_a_list_is_not_taken_for_mpii_with_another_skeleton(both):
    with pytest.raises(UserError, match="mpii.json.*skeleton mpii16"):
        load_annotations(both / "mpii.json", both / "images", COCO17)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.json"):
        load_annotations(tmp_path / "absent.json", tmp_path, COCO17)
