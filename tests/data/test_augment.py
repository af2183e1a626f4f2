import dataclasses

import cv2
import numpy as np
import pytest
import tensorflow as tf

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.geometry import crop_matrix, points_to_crop
from keras_simplepose.core.skeletons import COCO17
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.augment import (
    Transformation,
    apply_transformation,
    draw_transformation,
    half_body_crop,
    identity_transformation,
    training_batch,
)

SPEC = PoseSpec(COCO17, (128, 96), (32, 24), 2.0)
PATCH = 224
LEFT, RIGHT = COCO17.keypoints.index("left_wrist"), COCO17.keypoints.index("right_wrist")
EVERYTHING = AugmentationConfig(
    scale=0.3, rotation=40, shift=0.16, half_body_probability=0.3, rotation_probability=0.6, shift_probability=0.25
)


def draw(config, count=20_000, seed=3, step=5):
    drawn = draw_transformation(seed, step, count, config)
    return {name: np.asarray(value) for name, value in drawn.to_dict().items()}


def test_the_papers_draws():
    drawn = draw(AugmentationConfig())
    scale, degrees = drawn["scale"], drawn["degrees"]
    assert np.float32(0.7) <= scale.min() and scale.max() <= np.float32(1.3)
    # A normal of deviation 0.3 clipped to ±0.3: 0.683 of it inside; a mean of 1 and a deviation of 0.3 · 0.7184.
    assert np.mean(np.abs(scale - 1) < 0.2999) == pytest.approx(0.683, abs=0.015)
    assert scale.mean() == pytest.approx(1, abs=0.01) and scale.std() == pytest.approx(0.2155, abs=0.005)
    turned = degrees[degrees != 0]
    assert len(turned) / len(degrees) == pytest.approx(0.6, abs=0.015)
    assert np.abs(turned).max() == 80 and turned.mean() == pytest.approx(0, abs=1.5)
    assert np.mean(np.abs(turned) < 79.99) == pytest.approx(0.954, abs=0.01)
    assert np.mean(np.abs(turned) < 40) == pytest.approx(0.683, abs=0.02)
    assert set(drawn["flip"]) == {0, 1} and drawn["flip"].mean() == pytest.approx(0.5, abs=0.015)
    assert not drawn["shift"].any() and not drawn["half"].any()


def released_draws(count, seed):
    """As the release draws, one person after the other: (scale, degrees, flip)."""
    random = np.random.RandomState(seed)
    rows = []
    for _ in range(count):
        scale = np.clip(random.randn() * 0.3 + 1, 1 - 0.3, 1 + 0.3)
        degrees = np.clip(random.randn() * 40, -40 * 2, 40 * 2) if random.rand() <= 0.6 else 0
        rows.append((scale, degrees, random.rand() <= 0.5))
    return np.array(rows, np.float64)


def test_draws_agree_with_the_releases_over_five_seeds():
    """Every moment's mean over the seeds within four deviations of sampling noise of the release's."""
    ours, theirs = [], []
    for seed in range(5):
        drawn = draw(AugmentationConfig(), 5402, seed=seed, step=seed)
        columns = np.stack([drawn["scale"], drawn["degrees"], drawn["flip"]], axis=-1).astype(np.float64)
        for found, rows in ((ours, columns), (theirs, released_draws(5402, seed))):
            scale, degrees, flip = rows.T
            at_limits = [scale < 0.7 + 1e-6, scale > 1.3 - 1e-6, np.abs(degrees) >= 80, degrees == 0]
            found.append([scale, scale**2, degrees / 80, (degrees / 80) ** 2, np.abs(degrees / 80), flip, *at_limits])
    ours, theirs = (
        np.array(found, np.float64).transpose(1, 0, 2).reshape(len(found[0]), -1) for found in (ours, theirs)
    )
    noise = np.sqrt((ours.var(axis=1) + theirs.var(axis=1)) / ours.shape[1])
    apart = np.abs(ours.mean(axis=1) - theirs.mean(axis=1)) / noise
    assert apart.max() < 4, apart


def test_the_newer_draws():
    drawn = draw(EVERYTHING)
    shifted = drawn["shift"][drawn["shift"].any(axis=1)]
    assert len(shifted) / 20_000 == pytest.approx(0.25, abs=0.015)
    assert 0.159 < np.abs(shifted).max() <= np.float32(0.16)
    np.testing.assert_allclose(shifted.std(axis=0), 0.16 / np.sqrt(3), atol=0.003)
    assert abs(np.corrcoef(shifted.T)[0, 1]) < 0.05
    shares = {value: np.mean(drawn["half"] == value) for value in (-1, 0, 1)}
    assert shares == pytest.approx({-1: 0.15, 0: 0.7, 1: 0.15}, abs=0.012)


# Deviations of a uniform draw in ±1, and of a standard normal cut off there.
@pytest.mark.parametrize(("mode", "deviation"), [("uniform", 3**-0.5), ("truncated", 0.5396)])
def test_other_ways_to_draw_the_scale(mode, deviation):
    scale = draw(AugmentationConfig(scale=0.5, scale_mode=mode))["scale"]
    assert 0.5 <= scale.min() < 0.501 and 1.499 < scale.max() <= 1.5 and np.mean(scale == 1.5) < 0.001
    assert scale.mean() == pytest.approx(1, abs=0.01) and scale.std() == pytest.approx(0.5 * deviation, rel=0.02)


def test_draws_are_independent_of_each_other():
    drawn = draw(EVERYTHING)
    columns = [drawn["scale"], np.abs(drawn["degrees"]), drawn["degrees"], drawn["flip"], drawn["half"]]
    columns += [*drawn["shift"].T, np.abs(drawn["shift"][:, 0]), np.abs(drawn["half"])]
    correlations = np.corrcoef(columns)
    # Each with its own absolute value apart, which are uncorrelated as well, the draws being symmetric.
    assert np.abs(correlations - np.eye(len(columns))).max() < 0.04


def test_no_augmentation_is_the_identity():
    none = AugmentationConfig(scale=0, rotation=0, flip_probability=0)
    identity = {name: np.asarray(value) for name, value in identity_transformation(20).to_dict().items()}
    drawn = draw(none, 20)
    for name, value in identity.items():
        np.testing.assert_array_equal(drawn[name], value)


def test_seed_and_step_decide():
    first = draw(EVERYTHING, 100)
    for name, value in draw(EVERYTHING, 100).items():
        np.testing.assert_array_equal(first[name], value)
    compiled = tf.function(lambda step: draw_transformation(3, step, 100, EVERYTHING).to_dict())(np.int64(5))
    for name, value in compiled.items():
        np.testing.assert_allclose(first[name], value, rtol=1e-5)
    for other in (draw(EVERYTHING, 100, step=6), draw(EVERYTHING, 100, seed=4), draw(EVERYTHING, 100, seed=5, step=3)):
        for name in ("scale", "degrees", "flip", "shift", "half"):
            assert (first[name] != other[name]).any()


def dots(count, seed=0):
    """Patches with a bright round dot at the left wrist of each, on black; the other keypoints lie elsewhere."""
    random = np.random.default_rng(seed)
    keypoints = random.uniform(70, 154, (count, 17, 2)).astype(np.float32)
    visible = np.ones((count, 17), np.float32)
    visible[:, RIGHT] = 0
    keypoints[:, LEFT] = random.uniform(107, 117, (count, 2))  # Whole in every crop.
    columns, rows = np.meshgrid(np.arange(PATCH), np.arange(PATCH))
    x, y = (keypoints[:, LEFT, axis, None, None] for axis in (0, 1))
    image = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2))
    return {
        "image": np.repeat(image[..., None], 3, axis=-1).round().astype(np.uint8),
        "keypoints": keypoints,
        "visible": visible,
        "center": np.full((count, 2), PATCH / 2, np.float32),
        "crop_width": random.uniform(90, 120, count).astype(np.float32),
    }


def found_dots(crops):
    """The centres of mass (x, y) of what is bright."""
    brightness = np.asarray(crops)[..., 0].astype(np.float64)
    columns, rows = np.arange(brightness.shape[2]), np.arange(brightness.shape[1])[:, None]
    mass = brightness.sum((1, 2))
    return np.stack([(brightness * columns).sum((1, 2)) / mass, (brightness * rows).sum((1, 2)) / mass], axis=-1)


def drawn_once(count, **changes):
    fields = {"scale": np.ones(count), "shift": np.zeros((count, 2))}
    fields |= {name: np.zeros(count) for name in ("degrees", "flip", "half")}
    return Transformation(**{name: np.asarray(value, np.float32) for name, value in (fields | changes).items()})


RANDOM = np.random.default_rng(7)
CHANGES = {
    "nothing": {},
    "scale": {"scale": RANDOM.uniform(0.7, 1.3, 8)},
    "rotation": {"degrees": RANDOM.uniform(-80, 80, 8)},
    "flip": {"flip": np.ones(8)},
    "shift": {"shift": RANDOM.uniform(-0.16, 0.16, (8, 2))},
}
CHANGES["everything"] = {name: value for change in list(CHANGES.values()) for name, value in change.items()}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=list(CHANGES))
def test_keypoints_land_where_their_pixels_do(changes):
    batch, transformation = dots(8), drawn_once(8, **changes)
    crops, keypoints, visible = apply_transformation(batch, transformation, SPEC)
    mirrored = "flip" in changes
    joint, other = (RIGHT, LEFT) if mirrored else (LEFT, RIGHT)  # In a mirror the left wrist is a right one.
    np.testing.assert_allclose(found_dots(crops), np.asarray(keypoints)[:, joint], atol=0.15)
    assert np.asarray(visible)[:, joint].all() and not np.asarray(visible)[:, other].any()


def test_a_larger_scale_shows_more_and_a_shift_moves_the_window():
    batch = dots(1)
    batch["keypoints"][:] = batch["center"][:, None] + [10, 20]
    batch["crop_width"][:] = 96

    def nose(**changes):
        return np.asarray(apply_transformation(batch, drawn_once(1, **changes), SPEC)[1])[0, 0]

    np.testing.assert_allclose(nose(), [58, 84], atol=1e-4)
    np.testing.assert_allclose(nose(scale=[1.25]), [56, 80], atol=1e-4)
    np.testing.assert_allclose(nose(shift=[[0.1, -0.1]]), [48.4, 96.8], atol=1e-4)
    np.testing.assert_allclose(nose(flip=[1]), [38, 84], atol=1e-4)
    np.testing.assert_allclose(nose(degrees=[90]), [48 + 20, 64 - 10], atol=1e-4)


def test_the_identity_is_the_plain_crop():
    batch = dots(4)
    crops, keypoints, visible = apply_transformation(batch, identity_transformation(4), SPEC)
    assert crops.shape == (4, 128, 96, 3) and crops.dtype == "float32"
    np.testing.assert_array_equal(visible, batch["visible"])
    for index in range(4):
        matrix = crop_matrix(batch["center"][index], batch["crop_width"][index], SPEC.input_size).astype(np.float64)
        expected = cv2.warpAffine(batch["image"][index], matrix, (96, 128), flags=cv2.INTER_LINEAR)
        assert np.abs(np.asarray(crops)[index] - expected).mean() <= 0.5
        points = batch["keypoints"][index] @ matrix[:, :2].T + matrix[:, 2]
        np.testing.assert_allclose(np.asarray(keypoints)[index], points, atol=1e-3)


def test_targets_are_those_of_the_moved_keypoints():
    batch, transformation = dots(8), drawn_once(8, **CHANGES["everything"])
    crops, keypoints, visible = apply_transformation(batch, transformation, SPEC)
    ours = training_batch(batch, transformation, SPEC)
    targets, weights = codecs.encode(keypoints, visible, SPEC)
    for value, other in zip(ours, (crops, targets, weights, visible * weights), strict=True):
        np.testing.assert_allclose(value, other, atol=1e-5)
    compiled = tf.function(
        lambda batch, fields: training_batch(batch, Transformation(**fields), SPEC), jit_compile=True
    )(batch, transformation.to_dict())
    assert np.abs(np.asarray(compiled[0]) - np.asarray(crops)).mean() < 0.01
    np.testing.assert_array_equal(compiled[2], ours[2])


@pytest.mark.parametrize("half_body_minimum", [0, 5])
def test_flags_travel_with_their_keypoints_and_change_nothing_else(half_body_minimum):
    batch, plain = dots(8), dots(8)
    batch["visible"] = np.random.default_rng(1).integers(0, 3, (8, 17)).astype(np.float32)
    plain["visible"] = np.sign(batch["visible"])
    transformation = drawn_once(8, **CHANGES["everything"], half=np.tile([1, -1], 4))
    transformation = dataclasses.replace(transformation, flip=np.float32([0, 1] * 4))
    crops, targets, weights, flags = training_batch(batch, transformation, SPEC, half_body_minimum)
    others = training_batch(plain, transformation, SPEC, half_body_minimum)
    for ours, other in zip((crops, targets, weights), others, strict=False):
        np.testing.assert_array_equal(ours, other)
    expected = np.array(batch["visible"])
    expected[1::2] = expected[1::2][:, list(COCO17.flip_order)]
    inside = np.asarray(weights) > 0
    np.testing.assert_array_equal(np.asarray(flags), np.where(inside, expected, 0))
    assert set(np.unique(np.asarray(flags))) == {0, 1, 2} and (np.asarray(weights) <= 1).all()


def bodies(labelled):
    """One person per entry, with those of the 17 keypoints labelled."""
    batch = dots(len(labelled))
    batch["visible"] = np.stack([np.isin(np.arange(17), indices) for indices in labelled]).astype(np.float32)
    return batch


def crop_of(batch, index, chosen):
    selected = batch["visible"][index] * np.isin(np.arange(17), chosen)
    return points_to_crop(batch["keypoints"][index], selected, SPEC.input_size)


UPPER, LOWER = range(11), range(11, 17)


def test_the_drawn_half_is_cropped():
    batch = bodies([range(17)] * 3)
    center, width = (np.asarray(value) for value in half_body_crop(batch, np.float32([1, -1, 0]), SPEC, 9))
    for index, half in ((0, UPPER), (1, LOWER)):
        expected = crop_of(batch, index, half)
        np.testing.assert_allclose(center[index], expected[0], rtol=1e-5)
        assert width[index] == pytest.approx(expected[1], rel=1e-5)
    np.testing.assert_array_equal(center[2], batch["center"][2])
    assert width[2] == batch["crop_width"][2]


def test_a_half_with_too_few_keypoints_gives_way_to_the_other():
    labelled = [[*range(8), 11, 12], [0, 1, *range(11, 17)], [*range(8)], [0, 1, 11, 12]]
    batch = bodies(labelled)
    center, width = (np.asarray(value) for value in half_body_crop(batch, np.float32([-1, 1, 1, 1]), SPEC, 4))
    for index, half in ((0, UPPER), (1, LOWER), (2, UPPER)):
        expected = crop_of(batch, index, half)
        np.testing.assert_allclose(center[index], expected[0], rtol=1e-5)
        assert width[index] == pytest.approx(expected[1], rel=1e-5)
    # Two in either half: the whole person stays.
    np.testing.assert_array_equal(center[3], batch["center"][3])


def test_a_person_with_too_few_keypoints_stays_whole():
    batch = bodies([range(8), range(9)])
    center, _ = half_body_crop(batch, np.ones(2, np.float32), SPEC, 9)
    np.testing.assert_array_equal(np.asarray(center)[0], batch["center"][0])
    assert (np.asarray(center)[1] != batch["center"][1]).any()


def test_half_bodies_are_off_unless_asked_for():
    batch, transformation = dots(2), drawn_once(2, half=np.ones(2))
    whole = apply_transformation(batch, drawn_once(2), SPEC)[1]
    np.testing.assert_array_equal(apply_transformation(batch, transformation, SPEC, 0)[1], whole)
    assert (np.asarray(apply_transformation(batch, transformation, SPEC, 9)[1]) != np.asarray(whole)).any()


def test_the_fields_are_those_of_the_training_model():
    from keras_simplepose.training.training_model import TRANSFORMATION_FIELDS

    assert tuple(field.name for field in dataclasses.fields(Transformation)) == TRANSFORMATION_FIELDS
