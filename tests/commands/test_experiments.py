"""Every flagfile of experiments/ says what it is, states only what differs, and builds the network it promises."""

import dataclasses
import math
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_training import patches

from keras_simplepose import train, train_detector
from keras_simplepose.config import TrainingConfig
from keras_simplepose.core.skeletons import load_skeleton
from keras_simplepose.flags import CommandLine
from keras_simplepose.models.build import FAMILIES, build_from_config
from keras_simplepose.models.stages import last_stage, pose_spec
from keras_simplepose.training.trainer import make_optimizer
from keras_simplepose.training.training_model import TrainingModel

FOLDER = Path(__file__).parents[2] / "experiments"
FLAGFILES = sorted(FOLDER.glob("*.cfg"))

# Published by the paper (Table 2; its release's tables) and by mmpose's model zoo.
AP = {
    "coco_r50_256x192": 70.4,
    "coco_r50_256x192_deconv2": 67.9,
    "coco_r50_256x192_kernel2": 70.1,
    "coco_r50_256x192_kernel3": 70.3,
    "coco_r101_256x192": 71.4,
    "coco_r152_256x192": 72.0,
    "coco_r50_128x96": 60.6,
    "coco_r50_384x288": 72.2,
    "coco_r101_384x288": 73.6,
    "coco_r152_384x288": 74.3,
    "coco_r50_256x192_210epochs": 71.8,
    "coco_r50_256x192_udp": 72.4,
    "coco_mobilenetv2_256x192": 64.8,
    "coco_hourglass8_256x192": 66.9,
    "coco_cpn50_256x192": 69.4,
}
# Other networks than the paper's, or trained otherwise.
OTHERS = ("coco_r50_256x192_udp", "coco_mobilenetv2_256x192", "coco_hourglass8_256x192", "coco_cpn50_256x192")
# Trainable parameters with 17 keypoints, counted in PyTorch.
PARAMETERS = {
    "coco_r50_256x192": 33_999_697,
    "coco_r50_256x192_deconv2": 32_950_609,
    "coco_r50_256x192_kernel2": 26_135_377,
    "coco_r50_256x192_kernel3": 29_412_177,
    "coco_r101_256x192": 52_991_825,
    "coco_r152_256x192": 68_635_473,
    "coco_r50_128x96": 33_999_697,
    "coco_r50_384x288": 33_999_697,
    "coco_r101_384x288": 52_991_825,
    "coco_r152_384x288": 68_635_473,
    "coco_r50_256x192_210epochs": 33_999_697,
    "coco_r50_256x192_udp": 33_999_697,
    "coco_hourglass8_256x192": 25_437_960,  # By the paper's figures.
}
HEATMAPS = {
    "coco_r50_256x192_deconv2": (32, 24),
    "coco_r50_128x96": (32, 24),
    "coco_r50_384x288": (96, 72),
    "coco_r101_384x288": (96, 72),
    "coco_r152_384x288": (96, 72),
    **{f"mpii_r{depth}_256x256": (64, 64) for depth in (50, 101, 152)},
}


def parse(path):
    configs = CommandLine("train", "", *train.CONFIGS).parse([f"--flagfile={path}"])
    return {type(each).__name__.removesuffix("Config"): each for each in configs}


def stated(path):
    return dict(re.match(r"--(\w+)=(.*)", line).groups() for line in path.read_text().splitlines() if line[0] != "#")


def build(path):
    model = parse(path)["Model"]
    has_backbone = "backbone_weights" in FAMILIES[model.architecture].options
    return build_from_config(dataclasses.replace(model, backbone_weights="none") if has_backbone else model)


def trainable(network):
    return sum(math.prod(variable.shape) for variable in network.trainable_variables)


def deep(path):
    return any(name in path.stem for name in ("r101", "r152", "hourglass8"))


def test_every_row_of_the_paper_is_there():
    assert set(AP) | {f"mpii_r{depth}_256x256" for depth in (50, 101, 152)} <= {path.stem for path in FLAGFILES}


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_opens_with_its_command_and_result(path):
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# python -m keras_simplepose.train --flagfile=experiments/{path.name}")
    comments = " ".join(line for line in lines if line.startswith("#"))
    assert re.search(r"Published: .*\d|Expected", comments)
    if path.stem in AP:
        assert f"AP {AP[path.stem]}" in comments


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_states_only_what_differs(path):
    defaults = {
        field.name: getattr(config(), field.name) for config in train.CONFIGS for field in dataclasses.fields(config)
    }
    values = {name: value for config in parse(path).values() for name, value in dataclasses.asdict(config).items()}
    names = stated(path)
    assert names
    for name in names:
        assert values[name] != defaults[name], f"--{name} is the default"
    differing = {name for name in values if values[name] != defaults[name]}
    assert differing == set(names)


@pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)
def test_paper_constants_hold(path):
    if not path.stem.startswith(("coco", "mpii")) or path.stem in OTHERS:
        pytest.skip("not one of the paper's")
    configs = parse(path)
    model, augmentation, optimization = configs["Model"], configs["Augmentation"], configs["Optimization"]
    assert model.sigma == (3 if max(model.input_size) == 384 else 2)
    assert model.backbone.endswith("_pytorch") and set(model.deconv_filters) == {256}
    assert augmentation.flip_probability == 0.5 and augmentation.rotation_probability == 0.6
    assert optimization.adam_epsilon == 1e-8 and optimization.drop_factor == 0.1
    schedule = (
        optimization.epochs,
        optimization.batch_size,
        optimization.learning_rate,
        optimization.drop_epochs,
        optimization.warmup_steps,
    )
    drawn = (augmentation.scale, augmentation.rotation, augmentation.shift, augmentation.half_body_probability)
    if path.stem.endswith("210epochs"):
        assert schedule == (210, 512, 5e-4, (170, 200), 500) and drawn == (0.5, 40, 0.16, 0.3)
    else:
        assert schedule == (140, 128, 1e-3, (90, 120), 0)
        assert drawn == ((0.25, 30, 0, 0) if path.stem.startswith("mpii") else (0.3, 40, 0, 0))


def check_network(path):
    network, model = build(path), parse(path)["Model"]
    spec = pose_spec(network)
    assert spec.input_size == model.input_size and spec.sigma == model.sigma
    assert spec.skeleton.keypoints == load_skeleton(model.skeleton).keypoints
    if path.stem in PARAMETERS:
        assert trainable(network) == PARAMETERS[path.stem]
    if path.stem.startswith(("coco", "mpii")):
        assert last_stage(network).output_shape[1:3] == HEATMAPS.get(path.stem, (64, 48))


@pytest.mark.parametrize("path", [path for path in FLAGFILES if not deep(path)], ids=lambda path: path.stem)
def test_network_builds(path):
    check_network(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in FLAGFILES if deep(path)], ids=lambda path: path.stem)
def test_deep_network_builds(path):
    check_network(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_three_steps_of_it_learn(name):
    """On small crops and, of an hourglass, two stacks, as the flagfile says otherwise."""
    configs = parse(FOLDER / f"{name}.cfg")
    is_hourglass = configs["Model"].architecture == "hourglass"
    # Its lowest level, a 64th of the crop, would be one pixel: two values have no statistics to speak of.
    small = {"input_size": (128, 64), "stacks": 2} if is_hourglass else {"input_size": (64, 64)}
    small |= {} if is_hourglass else {"backbone_weights": "none"}
    model, config = dataclasses.replace(configs["Model"], **small), TrainingConfig()
    config = dataclasses.replace(config, model=model, optimization=configs["Optimization"])
    trainer = TrainingModel(build_from_config(model), 9, config.optimization)
    trainer.compile(optimizer=make_optimizer(config, 100, trainer.network))
    trainer.optimizer.build(trainer.network.trainable_variables)
    step, before = tf.function(trainer.train_step), np.array(trainer.network.trainable_variables[0].numpy())
    losses = [float(step(patches(4))["loss"]) for _ in range(3)]
    assert np.isfinite(losses).all() and (trainer.network.trainable_variables[0].numpy() != before).any()


@pytest.mark.parametrize("path", sorted((FOLDER / "person_detector").glob("*.cfg")), ids=lambda path: path.stem)
def test_a_detectors_flagfile_states_only_what_differs(path):
    configs = CommandLine("train_detector", "", *train_detector.CONFIGS).parse([f"--flagfile={path}"])
    values = {name: value for config in configs for name, value in dataclasses.asdict(config).items()}
    defaults = {name: value for kind in train_detector.CONFIGS for name, value in dataclasses.asdict(kind()).items()}
    assert all(values[name] != defaults[name] for name in stated(path))
    assert {name for name in values if values[name] != defaults[name]} == set(stated(path))
