import numpy as np
import pytest
from stand_ins import SPEC, brightest, tiny_network

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.utils.errors import UserError

IMAGE = np.zeros((100, 200, 3), np.uint8)


def predictor(function=brightest, **options):
    return PosePredictor(function, SPEC, EvaluationConfig(**options))


def spotted(x, y):
    image = IMAGE.copy()
    image[y - 1 : y + 2, x - 1 : x + 2] = 100
    image[y, x] = 255
    return image


def test_points_are_in_image_pixels():
    poses = predictor()(spotted(130, 40), [[110, 20, 40, 50]])
    assert np.abs(poses.keypoints[0, :, :2] - (130, 40)).max() < 1
    assert poses.reliable.all() and poses.scores == pytest.approx([0.9]) and poses.skeleton is COCO17


def test_a_list_of_images_gives_a_list_in_order():
    images = [spotted(130, 40), spotted(60, 70)[:, :150].copy()]
    boxes = [[[110, 20, 40, 50]], [[40, 50, 40, 45], [20, 40, 70, 50]]]
    together = predictor()(images, boxes)
    assert [len(poses) for poses in together] == [1, 2]
    for poses, image, image_boxes in zip(together, images, boxes, strict=True):
        np.testing.assert_array_equal(poses.keypoints, predictor()(image, image_boxes).keypoints)
    assert [poses.boxes.tolist() for poses in predictor()(images)] == [[[0, 0, 200, 100]], [[0, 0, 150, 100]]]
    assert predictor()([]) == []
    with pytest.raises(UserError, match="2 images but boxes for 1"):
        predictor()(images, boxes[:1])


def test_memory_is_bounded_by_the_batch_however_many_boxes():
    sizes = []

    def counting(crops):
        sizes.append(len(crops))
        return brightest(crops)

    poses = predictor(counting, evaluation_batch_size=4)(spotted(130, 40), [[110, 20, 40, 50]] * 11)
    assert sizes == [4, 4, 3] and len(poses) == 11


def test_images_without_persons_do_not_pile_up_behind_one_that_waits():
    model, read = predictor(evaluation_batch_size=64), []

    def requests():
        for index in range(100):
            read.append(index)
            yield model.request(index, IMAGE, [[1, 2, 30, 40]] if index == 0 else [])

    keys = []
    for key, poses in model.stream(requests(), images_ahead=5):
        assert len(read) <= max(key + 1, 5)
        assert len(poses) == (key == 0)
        keys.append(key)
    assert keys == list(range(100))


def test_one_image_ahead_answers_at_once():
    model, read = predictor(), []

    def requests():
        for index in range(3):
            read.append(index)
            yield model.request(index, IMAGE, [[1, 2, 30, 40]])

    for key, _ in model.stream(requests(), images_ahead=1):
        assert read == list(range(key + 1))


def test_points_outside_the_image_or_weak_are_marked():
    outside = predictor(lambda crops: (np.zeros((len(crops), 17, 2), np.float32), np.ones((len(crops), 17))))
    poses = outside(IMAGE, [[0, 0, 20, 30]])  # The crop reaches beyond the image's corner.
    assert (poses.keypoints[..., :2] < 0).all() and not poses.reliable.any()
    weak = predictor(lambda crops: brightest(crops, 0.1))(spotted(130, 40), [[110, 20, 40, 50]])
    assert not weak.reliable.any() and weak.scores == [0]


@pytest.mark.parametrize("place", ["points", "maxima"])
def test_values_that_are_not_finite_are_an_error(place):
    def broken(crops):
        points, maxima = brightest(crops)
        (points if place == "points" else maxima)[0, 3] = np.nan
        return points, maxima

    with pytest.raises(UserError, match="not finite"):
        predictor(broken)(IMAGE, [[1, 2, 30, 40]])


def test_a_padding_of_nothing_is_refused():
    for padding in (0.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="padding"):
            PoseSpec(COCO17, (64, 48), (16, 12), 2.0, box_padding=padding)


def test_heatmaps_are_those_the_keypoints_come_from():
    model = tiny_network(SPEC)
    find = PosePredictor.from_model(model, EvaluationConfig(evaluation_batch_size=2))
    image = np.random.default_rng(0).integers(0, 255, (80, 90, 3), np.uint8)
    boxes = [[10, 10, 40, 50], [30, 5, 30, 60], [0, 0, 90, 80]]
    heatmaps, matrices = find.heatmaps(image, boxes)
    assert heatmaps.shape == (3, *find.spec.heatmap_size, 17) and matrices.shape == (3, 2, 3)
    np.testing.assert_allclose(heatmaps.max((1, 2)), find(image, boxes).keypoints[..., 2], rtol=1e-4, atol=1e-7)
    assert find.heatmaps(image, [])[0].shape == (0, *find.spec.heatmap_size, 17)
    with pytest.raises(UserError, match="keypoints only"):
        predictor().heatmaps(image)
