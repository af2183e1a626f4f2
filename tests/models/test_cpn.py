import numpy as np
import pytest

from keras_simplepose.config import ModelConfig
from keras_simplepose.models.build import build_from_config
from keras_simplepose.models.cpn import build_cpn
from keras_simplepose.models.files import load_model, save_model
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.utils.errors import UserError


def normalised(inputs, outputs, kernel=1):
    return inputs * outputs * kernel**2 + 2 * outputs


def paper_count(keypoints=17, features=256):
    """Trainable parameters beside the backbone's, as the paper's figure 1 and its text have the network."""
    half, final = features // 2, 9 * features * keypoints + keypoints
    block = normalised(features, half) + normalised(half, half, 3) + normalised(half, features)
    laterals = sum(normalised(channels, features) for channels in (256, 512, 1024, 2048))
    merges, global_maps = 3 * normalised(features, features), 4 * (normalised(features, features) + final)
    last = block - features * half + 4 * features * half + normalised(4 * features, features)
    return laterals + merges + global_maps + 6 * block + last + final


def test_the_head_has_the_papers_parameters_and_the_whole_27_million():
    model = build_from_config(
        ModelConfig(architecture="cpn", backbone="resnet50_pytorch", backbone_weights="none", input_size=(64, 64))
    )
    count = sum(int(np.prod(variable.shape)) for variable in model.trainable_variables)
    resnet50 = 23_508_032  # torchvision's without its classifier.
    assert count == resnet50 + paper_count()
    assert round(count / 1e6, 1) == 27.0
    assert [output.shape for output in model.outputs] == [(None, 16, 16, 17)] * 5


def test_its_last_stage_counts_after_loading(tmp_path):
    model = build_cpn("mobilenetv2", input_size=(64, 96), features=8, alpha=0.35, codec="udp")
    crops = np.random.default_rng(0).integers(0, 256, (2, 64, 96, 3), np.uint8)
    stages = model(crops)
    assert [stage.shape for stage in stages] == [(2, 16, 24, 17)] * 5
    save_model(model, tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(last_stage(loaded)(crops), stages[-1])
    assert pose_spec(loaded).codec == "udp"


def test_sizes_and_backbones_that_do_not_serve_are_named():
    with pytest.raises(UserError, match="multiples of 32"):
        build_cpn("mobilenetv2", input_size=(60, 96))
