"""Suppression of duplicate poses."""

import numpy as np

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core import oks
from keras_simplepose.core.geometry import box_to_crop
from keras_simplepose.core.poses import Poses
from keras_simplepose.core.spec import PoseSpec


def suppress(poses: Poses, spec: PoseSpec, config: EvaluationConfig) -> tuple[np.ndarray, np.ndarray]:
    """Suppresses duplicate poses of one image by OKS, the area of a pose being that of its padded crop.

    Returns:
        indices of the poses kept, best first, and their scores. Without suppression all are kept, in their order.
    """
    if config.nms == "none" or not len(poses):
        return np.arange(len(poses)), poses.scores
    _, crop_width = box_to_crop(poses.boxes.astype(np.float64), spec.input_size, spec.box_padding)
    areas = crop_width**2 * (spec.input_size[0] / spec.input_size[1])
    arguments = (poses.keypoints[..., :2], areas, poses.scores, np.array(spec.skeleton.sigmas), config.nms_threshold)
    return oks.nms(*arguments) if config.nms == "hard" else oks.soft_nms(*arguments, config.soft_nms_keep)
