from pathlib import Path

import pytest

from keras_simplepose.core.skeletons import COCO17, MPII16, SKELETONS
from keras_simplepose.data.categories import find_category
from keras_simplepose.utils.errors import UserError

PATH = Path("annotations.json")
# AP-10K's animals: 17 keypoints too, of which ten have names of COCO's, in other places.
ANIMAL = (
    "left_eye right_eye nose neck root_of_tail left_shoulder left_elbow left_front_paw right_shoulder right_elbow "
    "right_front_paw left_hip left_knee left_back_paw right_hip right_knee right_back_paw"
).split()


def category(names, identifier=1, **changes):
    return {"id": identifier, "name": "person", "keypoints": list(names)} | changes


def find(*categories, skeleton=COCO17, trust=False):
    return find_category(categories, skeleton, trust, PATH)


def test_the_same_names_in_the_same_order_need_no_word():
    found = find(category(COCO17.keypoints, 4))
    assert (found.id, found.order, found.remark) == (4, None, "")


def test_spelling_is_no_difference():
    names = [name.replace("_", " ").title() for name in COCO17.keypoints]
    assert find(category(names)).order is None and find(category(names)).remark == ""


def test_the_same_names_in_another_order_are_put_in_order():
    there = sorted(COCO17.keypoints)
    found = find(category(there))
    assert tuple(there[place] for place in found.order) == COCO17.keypoints
    assert found.remark == "keypoints of category 'person' put in coco17's order by their names"


def test_wholly_other_names_are_taken_and_said():
    found = find(category([f"joint{place}" for place in range(17)]))
    assert found.order is None
    assert found.remark == "category 'person' names none of coco17's keypoints: taken in their order"
    assert find(category(range(17))).order is None  # Names that are numbers, as some tools write.


@pytest.mark.parametrize(
    ("names", "skeleton", "named"),
    [
        (ANIMAL, COCO17, "keypoint 1 of category 'person' is 'left_eye', that of skeleton coco17 is 'nose'"),
        (SKELETONS["posetrack18"].keypoints, COCO17, "keypoint 2 .* is 'head_bottom', .* is 'left_eye'"),
        (["nose", *(f"joint{place}" for place in range(16))], COCO17, "keypoint 2 .* is 'joint0'"),
        (["nose", "nose", *COCO17.keypoints[2:]], COCO17, "keypoint 2 .* is 'nose'"),
    ],
)
def test_some_of_the_names_are_refused_unless_told(names, skeleton, named):
    with pytest.raises(UserError, match=f"{named}.*trust_keypoint_order"):
        find(category(names), skeleton=skeleton)
    found = find(category(names), skeleton=skeleton, trust=True)
    assert found.order is None and "taken in their order, as told" in found.remark


def test_told_to_trust_the_same_names_stay_where_they_are():
    assert find(category(sorted(COCO17.keypoints)), trust=True).order is None


def test_the_best_fit_wins():
    other, permuted, same = category(range(17), 1), category(sorted(COCO17.keypoints), 2), category(COCO17.keypoints, 3)
    assert find(other, permuted, same).id == 3
    assert find(other, permuted).id == 2
    assert find(other, category(MPII16.keypoints, 5), skeleton=MPII16).id == 5


@pytest.mark.parametrize(
    ("categories", "named"),
    [
        ([category(COCO17.keypoints, 1), category(COCO17.keypoints, 2)], "categories 1, 2 all fit"),
        ([category(COCO17.keypoints, number) for number in range(50)], "categories 0, 1, 2 and 47 more all fit"),
        ([category(ANIMAL, number, name="x" * 999) for number in range(54)], "keypoint 1 of category 'xxx"),
        ([category([], number, name="x" * 999) for number in range(54)], "and 51 more"),
        ([category(COCO17.keypoints), category(COCO17.keypoints)], "two categories have the id 1"),
        ([category(COCO17.keypoints, keypoints=17)], "category 1: keypoints is 17; it must be the list"),
        ([category(COCO17.keypoints, keypoints="nose")], "category 1: keypoints is 'nose'"),
        ([category([["nose"]] * 17)], "a keypoint is named"),
        ([category(COCO17.keypoints, keypoints=None)], "person has 0"),
        ([category(["background", *COCO17.keypoints])], "person has 18"),
        ([category(COCO17.keypoints, "1")], "id is '1', which is text"),
        ([3], "is 3 where a table is expected"),
        ([], "there are no categories"),
    ],
)
def test_faults_are_named(categories, named):
    with pytest.raises(UserError, match=named) as caught:
        find(*categories)
    assert str(caught.value).startswith("annotations.json: ") and len(str(caught.value)) < 300


def test_a_category_without_names_is_taken_only_when_told():
    assert "as told" in find({"id": 3, "name": "person"}, trust=True).remark
