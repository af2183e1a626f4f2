import cv2
import keras
import numpy as np
import tensorflow as tf
from oracles import OPENCV_IS_EXACT

from keras_simplepose.core.geometry import crop_matrix, invert, transform_points
from keras_simplepose.core.warp import warp, warp_rounded

SIZE = (64, 48)


def natural_image(height=120, width=150, seed=0):
    """Noise at several scales, whose spectrum falls as a photograph's does."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.float32)
    for deviation in (1.0, 2.0, 4.0, 8.0, 16.0):
        image += deviation * cv2.GaussianBlur(random.normal(size=image.shape).astype(np.float32), (0, 0), deviation)
    return cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def matrices(count, seed=0, center=(75.0, 60.0)):
    """Crops with scale, rotation and flip, some reaching outside."""
    random = np.random.default_rng(seed)
    centers = np.array(center) + random.uniform(-30, 30, (count, 2))
    flip = (np.arange(count) % 2).astype(np.float64)
    return crop_matrix(centers, random.uniform(40, 130, count), SIZE, random.uniform(-80, 80, count), flip).astype(
        np.float32
    )


def test_it_agrees_with_opencv():
    image, affines = natural_image(), matrices(12)
    ours = np.asarray(warp(image[None], affines, SIZE, np.zeros(12, np.int32)))
    for output, matrix in zip(ours, affines, strict=True):
        theirs = cv2.warpAffine(image, matrix.astype(np.float64), SIZE[::-1], flags=cv2.INTER_LINEAR)
        assert np.abs(output - theirs).mean() <= 0.5  # OpenCV rounds positions to 1/32 pixel.


def test_rounded_it_is_opencvs_byte_for_byte():
    image, affines = natural_image(), matrices(12)
    ours = np.asarray(warp_rounded(image[None], affines, SIZE, np.zeros(12, np.int32)))
    theirs = [
        cv2.warpAffine(image, matrix.astype(np.float64), SIZE[::-1], flags=cv2.INTER_LINEAR) for matrix in affines
    ]
    difference = np.abs(ours - np.stack(theirs))
    if OPENCV_IS_EXACT:
        assert difference.max() <= 1 and np.mean(difference > 0) < 5e-3
    else:
        assert difference.mean() <= 0.5


def test_halves_round_as_opencv_rounds_them():
    image = np.arange(0, 40, dtype=np.uint8).reshape(1, 1, 40, 1)  # Half a pixel on lies half a level on.
    half = np.array([[1, 0, 0.5], [0, 1, 0]], np.float32)
    ours = np.asarray(warp_rounded(image, half[None], (1, 40)))[0, 0, :, 0]
    np.testing.assert_array_equal(ours, np.round(np.arange(40) - 0.5).clip(0))
    np.testing.assert_array_equal(ours, cv2.warpAffine(image[0], half.astype(np.float64), (40, 1))[0])


def test_it_agrees_with_tensorflow():
    images = np.stack([natural_image(seed=seed) for seed in range(6)]).astype(np.float32)
    affines = matrices(6)
    projective = np.concatenate([invert(affines.astype(np.float64)).reshape(6, 6), np.zeros((6, 2))], axis=1)
    theirs = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=projective.astype(np.float32),
        output_shape=SIZE,
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    )
    np.testing.assert_allclose(warp(images, affines, SIZE), theirs, atol=0.02)


def test_it_agrees_with_tensorflow_addons(shared_data):
    with np.load(shared_data / "tfa_transform.npz") as archive:
        images, transforms, expected = archive["images"], archive["transforms"], archive["output"]
    to_source = transforms[:, :6].reshape(-1, 2, 3)
    assert not transforms[:, 6:].any()
    output = warp(images, invert(to_source), expected.shape[1:3])
    difference = np.abs(np.asarray(output) - expected)
    # The archive's images were rounded to uint8 after the outputs were made, so even TensorFlow's own kernel is off.
    assert difference.max() <= 1.0 and difference.mean() <= 0.1


def test_every_way_of_running_it_agrees():
    images = np.stack([natural_image(seed=seed) for seed in range(3)])
    affines = matrices(3)
    expected = np.asarray(warp(images, affines, SIZE))
    assert expected.shape == (3, *SIZE, 3) and expected.dtype == np.float32 and expected.std() > 10

    def run(images, affines):
        return warp(images, affines, SIZE)

    mapped = tf.data.Dataset.from_tensors((images, affines)).map(run)
    compiled = tf.function(run, jit_compile=True)
    for output in (tf.function(run)(images, affines), compiled(images, affines), next(iter(mapped))):
        np.testing.assert_allclose(output, expected, atol=0.05)  # Positions round otherwise in fused kernels.


def test_sizes_may_be_dynamic():
    signature = [tf.TensorSpec([None, None, None, 3], tf.uint8), tf.TensorSpec([None, 2, 3], tf.float32)]
    dynamic = tf.function(lambda images, affines: warp(images, affines, SIZE), input_signature=signature)
    for height, width in ((120, 150), (33, 70)):
        images, affines = natural_image(height, width)[None], matrices(1, center=(width / 2, height / 2))
        np.testing.assert_allclose(dynamic(images, affines), warp(images, affines, SIZE), atol=0.05)


def test_image_indices_choose_the_image():
    images = np.stack([natural_image(seed=seed) for seed in range(3)])
    affines, indices = matrices(5), np.array([2, 0, 0, 1, 2], np.int32)
    np.testing.assert_array_equal(warp(images, affines, SIZE, indices), warp(images[indices], affines, SIZE))


def test_a_useless_matrix_gives_black():
    values = np.array([np.nan, np.inf, -np.inf, 0.0, 1e30], np.float32)
    images = np.full((5, 20, 20, 3), 255, np.uint8)
    bad = np.broadcast_to(values[:, None, None], (5, 2, 3))
    compiled = tf.function(lambda *arguments: warp(*arguments, SIZE), jit_compile=True)
    for output in (warp(images, bad, SIZE), compiled(images, bad)):
        np.testing.assert_array_equal(output, np.zeros((5, *SIZE, 3)))


def test_a_bad_matrix_does_not_harm_its_neighbours():
    images = np.stack([natural_image(), natural_image()])
    affines = matrices(2)
    expected = np.asarray(warp(images, affines, SIZE))[1]
    affines[0, 0, 0] = np.nan
    output = np.asarray(warp(images, affines, SIZE))
    assert not output[0].any()
    np.testing.assert_array_equal(output[1], expected)


def test_the_identity_gives_the_image_and_black_beyond_it():
    image = natural_image(30, 40)
    output = np.asarray(warp(image[None], np.array([[[1, 0, 0], [0, 1, 0]]], np.float32), SIZE))[0]
    np.testing.assert_array_equal(output[:30, :40], image)
    assert not output[30:].any() and not output[:, 40:].any()


def test_half_a_pixel_is_a_mean_and_the_edge_fades():
    image = np.array([[10, 20, 40]], np.float32)[None, :, :, None]
    output = warp(image, np.array([[[1, 0, 0.5], [0, 1, 0]]], np.float32), (1, 5))
    np.testing.assert_allclose(np.asarray(output).ravel(), [5, 15, 30, 20, 0])


def test_a_dot_lands_where_its_point_does():
    """A round dot, warped: its centre of mass is the transformed point."""
    random = np.random.default_rng(0)
    columns, rows = np.meshgrid(np.arange(150), np.arange(120))
    affines = crop_matrix(
        np.array([75.0, 60.0]) + random.uniform(-8, 8, (8, 2)),
        random.uniform(70, 110, 8),
        SIZE,
        random.uniform(-80, 80, 8),
        (np.arange(8) % 2).astype(np.float64),
    ).astype(np.float32)
    for matrix in affines:
        point = np.array([75.0, 60.0]) + random.uniform(-10, 10, 2)
        dot = 255 * np.exp(-((columns - point[0]) ** 2 + (rows - point[1]) ** 2) / (2 * 4.0**2))
        output = np.asarray(warp(dot[None, :, :, None].astype(np.float32), matrix[None], SIZE))[0, :, :, 0]
        there_x, there_y = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
        found = np.array([(output * there_x).sum(), (output * there_y).sum()]) / output.sum()
        np.testing.assert_allclose(found, transform_points(matrix, point[None])[0], atol=0.1)


def test_any_number_of_channels():
    image = natural_image()[None, :, :, :1]
    assert keras.ops.shape(warp(image, matrices(1), SIZE)) == (1, *SIZE, 1)
