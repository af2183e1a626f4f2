"""Slow, obvious versions of the release's formulas: one person, one keypoint, one pixel after the other."""

import cv2
import numpy as np

# Up to 4.10 at least, OpenCV interpolates between places rounded to 1/32 of a pixel; from 5 on between exact ones.
OPENCV_IS_EXACT = int(cv2.__version__.split(".")[0]) >= 5


def release_crop(image, box, input_size):
    """The crop of a box (x, y, width, height) as the release cuts it: an affine of three float32 points, in OpenCV.

    Returns the crop [H, W, C] uint8 and the matrix [2, 3] float64, image pixels → crop pixels.
    """
    height, width = input_size
    x, y, box_width, box_height = map(float, box)
    side = max(box_width, box_height * width / height) * 1.25
    corner = np.array([[0, 0], [0, -0.5], [-0.5, -0.5]])  # The middle, the point above it, the one left of that.
    source = np.array([x + box_width / 2, y + box_height / 2]) + corner * side
    target = np.array([width / 2, height / 2]) + corner * width
    matrix = cv2.getAffineTransform(source.astype(np.float32), target.astype(np.float32))
    return cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR), matrix


def generate_target(joints, visible, heatmap_size, stride, sigma):
    """Target heatmaps of one person, drawn as the release draws them: a patch pasted at a rounded place.

    joints [K, 2] (x, y) in crop pixels, visible [K]; heatmap_size (h, w). Returns [K, h, w] and weights [K].
    """
    h, w = heatmap_size
    radius = int(sigma * 3)
    side = 2 * radius + 1
    target = np.zeros((len(joints), h, w), np.float32)
    weights = np.array(visible, np.float32)
    steps = np.arange(side, dtype=np.float32)
    patch = np.exp(-((steps[None] - side // 2) ** 2 + (steps[:, None] - side // 2) ** 2) / (2 * sigma**2))
    for index, (x, y) in enumerate(joints):
        middle_x, middle_y = int(x / stride + 0.5), int(y / stride + 0.5)
        left, top = middle_x - radius, middle_y - radius
        right, bottom = middle_x + radius + 1, middle_y + radius + 1  # Exclusive.
        if left >= w or top >= h or right < 0 or bottom < 0:
            weights[index] = 0
            continue
        if weights[index] > 0.5:
            for row in range(max(0, top), min(bottom, h)):
                for column in range(max(0, left), min(right, w)):
                    target[index, row, column] = patch[row - top, column - left]
    return target, weights


def final_prediction(heatmap):
    """The point (x, y) in heatmap pixels of one heatmap [h, w], and its maximum."""
    h, w = heatmap.shape
    best, x, y = heatmap[0, 0], 0, 0
    for row in range(h):
        for column in range(w):
            if heatmap[row, column] > best:
                best, x, y = heatmap[row, column], column, row
    if best <= 0:
        return np.zeros(2), best
    point = np.array([x, y], np.float64)
    if 1 < x < w - 1 and 1 < y < h - 1:
        point[0] += 0.25 * np.sign(heatmap[y, x + 1] - heatmap[y, x - 1])
        point[1] += 0.25 * np.sign(heatmap[y + 1, x] - heatmap[y - 1, x])
    return point, best


def keypoint_mse(predictions, targets, weights):
    """The release's loss of a batch, heatmaps [B, K, h, w], weights [B, K]: mean over joints of half an MSE."""
    loss, count = 0.0, predictions.shape[1]
    for joint in range(count):
        weight = weights[:, joint, None, None]
        loss += 0.5 * np.mean((predictions[:, joint] * weight - targets[:, joint] * weight) ** 2)
    return loss / count


def correct_keypoints(predictions, targets, weights):
    """How many keypoints of [B, K, h, w] lie within 0.5 of a tenth of the heatmap, and how many have weight."""
    h, w = predictions.shape[2:]
    right = 0.0
    for prediction, target, weight in zip(predictions, targets, weights, strict=True):
        for joint in range(len(prediction)):
            found = np.unravel_index(np.argmax(prediction[joint]), (h, w))
            true = np.unravel_index(np.argmax(target[joint]), (h, w))
            distance = np.linalg.norm([(found[0] - true[0]) / (h / 10), (found[1] - true[1]) / (w / 10)])
            right += weight[joint] * (distance < 0.5)
    return right, float(np.sum(weights))
