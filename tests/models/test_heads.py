import numpy as np
import pytest
from small_runs import tiny_network

from keras_simplepose.config import ModelConfig
from keras_simplepose.core.skeletons import COCO17, SKELETONS
from keras_simplepose.models.build import build_from_config
from keras_simplepose.models.heads import with_skeleton
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.utils.errors import UserError


@pytest.mark.parametrize("name", ["posetrack15", "posetrack18"])
def test_heatmaps_go_by_the_joints_names(name):
    network, skeleton = tiny_network(), SKELETONS[name]
    changed = with_skeleton(network, skeleton)
    assert pose_spec(changed).skeleton == skeleton and pose_spec(network).skeleton == COCO17
    crops = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    before, after = network.predict(crops, verbose=0), changed.predict(crops, verbose=0)
    assert after.shape[-1] == len(skeleton.keypoints)
    for place, joint in enumerate(skeleton.keypoints):
        if joint in COCO17.keypoints:
            np.testing.assert_allclose(after[..., place], before[..., COCO17.keypoints.index(joint)], atol=1e-6)
        else:
            assert not any(np.allclose(after[..., place], before[..., old], atol=1e-3) for old in range(17))


def test_several_stages_are_refused():
    config = ModelConfig(architecture="hourglass", stacks=2, input_size=(64, 64))
    with pytest.raises(UserError, match="cannot take another skeleton"):
        with_skeleton(build_from_config(config), SKELETONS["posetrack15"])
