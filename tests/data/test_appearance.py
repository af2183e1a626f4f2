import colorsys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance

from keras_simplepose.config import AugmentationConfig
from keras_simplepose.data.appearance import Appearance, apply_appearance, draw_appearance

CROPS = np.random.default_rng(0).integers(40, 200, (3, 8, 6, 3)).astype(np.float32)
EVERYTHING = AugmentationConfig(brightness=0.4, contrast=0.3, saturation=0.2, hue=36, erasing_probability=0.5)


def recolored(brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0):
    colors = np.tile(np.float32([[brightness, contrast, saturation, hue]]), (len(CROPS), 1))
    return np.asarray(apply_appearance(CROPS, Appearance(colors=colors)))


@pytest.mark.parametrize("factor", [0.5, 0.8, 1.2])
@pytest.mark.parametrize("kind", ["Brightness", "Contrast", "Color"])
def test_factors_are_pillows(kind, factor):
    name = {"Color": "saturation"}.get(kind, kind.lower())
    for ours, crop in zip(recolored(**{name: factor}), CROPS, strict=True):
        theirs = getattr(ImageEnhance, kind)(Image.fromarray(crop.astype(np.uint8))).enhance(factor)
        assert np.abs(ours - np.asarray(theirs, np.float32)).max() <= 1  # Pillow cuts off where we round.


def test_hue_turns_in_yiq():
    """The standard library's YIQ has rounder coefficients, hence a level or two."""
    angle = 0.5
    ours = recolored(hue=angle)
    for found, (red, green, blue) in zip(ours.reshape(-1, 3), CROPS.reshape(-1, 3) / 255, strict=True):
        y, i, q = colorsys.rgb_to_yiq(red, green, blue)
        turned = (i * np.cos(angle) - q * np.sin(angle), i * np.sin(angle) + q * np.cos(angle))
        assert np.abs(found - 255 * np.array(colorsys.yiq_to_rgb(y, *turned))).max() < 3


def test_nothing_drawn_changes_nothing():
    assert not draw_appearance(0, 0, 4, AugmentationConfig()).to_dict()
    np.testing.assert_array_equal(apply_appearance(CROPS, Appearance()), CROPS)
    np.testing.assert_array_equal(recolored(), CROPS)


def test_draws_keep_to_their_ranges_and_shares():
    drawn = {name: np.asarray(value) for name, value in draw_appearance(3, 5, 20_000, EVERYTHING).to_dict().items()}
    again = draw_appearance(3, 6, 20_000, EVERYTHING)
    changes = drawn["colors"] - [1, 1, 1, 0]
    limits = np.array([0.4, 0.3, 0.2, np.radians(36)])
    assert (np.abs(changes) <= limits + 1e-6).all() and (np.abs(changes).max(axis=0) > 0.99 * limits).all()
    changed = np.any(changes != 0, axis=1)
    assert changed.mean() == pytest.approx(0.8, abs=0.015)
    # Of a uniform draw in ±limit: deviation limit / √3.
    np.testing.assert_allclose(changes[changed].std(axis=0), limits / np.sqrt(3), rtol=0.03)
    left, top, right, bottom = drawn["erased"][:, :4].T
    area = (right - left) * (bottom - top)
    assert np.mean(area > 0) == pytest.approx(0.5, abs=0.015)
    assert area[area > 0].min() > 0.0199 and area.max() < 0.2001
    assert min(left.min(), top.min()) >= 0 and max(right.max(), bottom.max()) <= 1 + 1e-6
    assert not np.allclose(drawn["colors"], again.colors)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_what_is_erased_has_the_colour_and_the_rest_stays(compiled):
    erased = np.float32([[0, 0, 0, 0, 9, 9, 9], [0.5, 0.25, 1, 0.75, 10, 20, 30], [0, 0, 1, 1, 1, 2, 3]])
    function = tf.function(lambda crops, value: apply_appearance(crops, Appearance(erased=value)), jit_compile=compiled)
    found, expected = np.asarray(function(CROPS, erased)), CROPS.copy()
    expected[1, 2:6, 3:] = [10, 20, 30]
    expected[2] = [1, 2, 3]
    np.testing.assert_array_equal(found, expected)
