import dataclasses
import json

import numpy as np
import pytest
from small_runs import tiny_config, tiny_network

from keras_simplepose.config import AugmentationConfig, ModelConfig, PrepareConfig, TrainingDataConfig
from keras_simplepose.core.skeletons import COCO17, MPII16, SKELETONS
from keras_simplepose.data.annotations import READERS, load_annotations
from keras_simplepose.data.posetrack import FILE_KEYPOINTS
from keras_simplepose.data.preparation import prepare
from keras_simplepose.media.output import write_picture
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.training.trainer import train
from keras_simplepose.utils.errors import UserError

POSETRACK15, POSETRACK18 = SKELETONS["posetrack15"], SKELETONS["posetrack18"]


def write_film(folder, name, persons=3, **changes):
    """A film of one labelled frame and one that is not, as the files of 2021 are.

    Joint j lies at (10 + 4 j, 20 + 3 j).
    """
    rng = np.random.default_rng(0)
    images, entries = [], []
    for number in range(2):
        file_name = f"{name}/{number:06}.png"
        write_picture(folder / "images", file_name, rng.integers(0, 256, (80, 100, 3), np.uint8))
        images.append(
            {"id": number, "frame_id": number, "file_name": file_name, "vid_id": name, "is_labeled": not number}
            | {"has_labeled_person": not number, "ignore_regions_x": [], "ignore_regions_y": []}
        )
    for person in range(persons):
        keypoints = [
            value for joint in range(17) for value in (10 + 4 * joint, 20 + 3 * joint, int(joint not in (3, 4)))
        ]
        entry = {"id": person, "image_id": 0, "track_id": person, "person_id": 7 + person, "category_id": 1}
        entries.append(entry | {"keypoints": keypoints, "bbox": [1, 2, 3, 4], "bbox_head": [0, 0, 9, 9]} | changes)
    content = {"images": images, "annotations": entries}
    content["categories"] = [{"id": 1, "name": "person", "supercategory": "person", "keypoints": list(FILE_KEYPOINTS)}]
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / f"{name}.json").write_text(json.dumps(content))
    return folder / "labels" / f"{name}.json"


@pytest.mark.parametrize("skeleton", [POSETRACK15, POSETRACK18])
def test_joints_go_by_name_and_boxes_are_theirs(tmp_path, skeleton):
    path = write_film(tmp_path, "a")
    found = load_annotations(path, tmp_path / "images", skeleton)
    assert len(found.persons) == 3 and len(found.images) == 2
    person = found.persons[0]
    for place, name in enumerate(skeleton.keypoints):
        joint = FILE_KEYPOINTS.index(name)
        assert person.keypoints[place].tolist() == [10 + 4 * joint, 20 + 3 * joint]
        assert person.visible[place] == (name not in ("left_ear", "right_ear"))
    # 64 × 48 pixels from joint 0 to 16, extended by 15 % about the middle.
    np.testing.assert_allclose(person.box, [10 - 4.8, 20 - 3.6, 73.6, 55.2], rtol=1e-6)


def test_a_folder_is_one_set_whatever_its_files_ids(tmp_path):
    for name in ("a", "b"):
        write_film(tmp_path, name)
    found = load_annotations(tmp_path / "labels", tmp_path / "images", POSETRACK15)
    assert len(found.persons) == 6 and len({person.annotation_id for person in found.persons}) == 6
    names = [found.images[person.image_id].file_name for person in found.persons]
    assert names == ["a/000000.png"] * 3 + ["b/000000.png"] * 3
    assert "numbered anew" in found.summary()


def test_people_with_a_box_alone_are_ignored_and_boxes_may_be_missing(tmp_path):
    """The files of 2021 have both: boxes of people whose joints nobody could tell, which no head box measures."""
    path = write_film(tmp_path, "a")
    content = json.loads(path.read_text())
    content["annotations"][0].update(keypoints=[0] * 51, bbox_head=[0, 0, 0, 0])
    del content["annotations"][1]["bbox"]
    path.write_text(json.dumps(content))
    found = load_annotations(path, tmp_path / "images", POSETRACK18)
    assert [person.annotation_id for person in found.persons] == [1, 2]
    assert [other.annotation_id for other in found.ignored] == [0] and found.left_out == {"no labelled keypoint": 1}


def test_other_skeletons_are_refused_and_other_files_left_to_their_readers(tmp_path):
    path = write_film(tmp_path, "a")
    for skeleton, joint in ((COCO17, "left_eye"), (MPII16, "pelvis")):
        with pytest.raises(UserError, match=f"PoseTrack has no {joint}"):
            load_annotations(path, tmp_path / "images", skeleton)
    (tmp_path / "coco.json").write_text(path.read_text().replace("track_id", "number").replace("vid_id", "film"))
    (tmp_path / "empty.json").write_text("")
    for name in ("coco.json", "empty.json", "absent.json"):
        assert not READERS["posetrack"].recognises(tmp_path / name)


def test_official_files(shared_data):
    folder = shared_data / "mmpose_tests/tests/data/posetrack18"
    found = load_annotations(folder / "annotations" / "val", folder, POSETRACK15)
    assert len(found.persons) == 14 and len(found.images) == 3


def test_fine_tuning_from_a_network_of_coco(tmp_path):
    """Prepared from a folder of films; three steps; the joints that both have begin where they were."""
    for name in ("a", "b"):
        write_film(tmp_path, name)
    config = PrepareConfig(
        annotations=str(tmp_path / "labels"),
        images=str(tmp_path / "images"),
        output=str(tmp_path / "prepared"),
        workers=1,
    )
    prepare(config, ModelConfig(skeleton="posetrack15", input_size=(32, 32)), AugmentationConfig(), progress=False)
    save_model(tiny_network(), tmp_path / "tiny.keras")
    base = tiny_config(tmp_path)
    run = dataclasses.replace(
        base,
        model=ModelConfig(initial_model=str(tmp_path / "tiny.keras"), new_skeleton="posetrack15"),
        data=TrainingDataConfig(prepared=str(tmp_path / "prepared"), shuffle_buffer=3),
        optimization=dataclasses.replace(base.optimization, epochs=1, learning_rate=1e-4, drop_epochs=()),
    )
    result = train(run)
    trained = load_model(result.model)
    assert pose_spec(trained).skeleton == POSETRACK15
    kernel, before = (network.get_layer("final_layer").get_weights()[0] for network in (trained, tiny_network()))
    change = np.abs(kernel[..., POSETRACK15.keypoints.index("nose")] - before[..., COCO17.keypoints.index("nose")])
    # Three steps of Adam move a weight by at most the learning rate each, as good as.
    assert 0 < change.max() < 4e-4
