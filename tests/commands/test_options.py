"""Values that an option does not take, options that are missing, and options without effect, of every command."""

import dataclasses
import math
import sys
import typing
from pathlib import Path

import pytest

from keras_simplepose import config, train
from keras_simplepose.config.options import check, limits
from keras_simplepose.flags import CommandLine, flag_name, run_command, write_flagfile
from keras_simplepose.utils.errors import UserError

COMMANDS = {
    "train": train.CONFIGS,
    "evaluate": (config.EvaluationDataConfig, config.EvaluationConfig, config.CodecConfig),
    "predict": (config.PredictConfig, config.DetectorConfig, config.EvaluationConfig(evaluation_batch_size=16)),
    "detect": (config.DetectionDataConfig, config.DetectorConfig(detector_threshold=0.05)),
    "prepare": (config.PrepareConfig, config.PatchConfig),
    "convert": (config.ConvertConfig,),
    "calibrate": (config.CalibrateConfig,),
    "export": (config.ExportConfig, config.ProofConfig, config.EvaluationConfig),
    "benchmark": (config.BenchmarkConfig,),
    "report": (config.ReportConfig,),
    "check": (config.CheckConfig,),
    "import_data": (config.ImportConfig, config.ImportedSkeletonConfig),
}
# What each command cannot do without.
NEEDED = {
    "train": "--annotations=a.json --images=i --workdir=w",
    "evaluate": "--model=m.keras --annotations=a.json --images=i",
    "predict": "--model=m.keras --input=i --output=o --detector=d.onnx",
    "detect": "--annotations=a.json --images=i --output=o --detector=d.onnx",
    "prepare": "--annotations=a.json --images=i --output=o",
    "convert": "--checkpoint=c.pth --output=m.keras",
    "calibrate": "--model=m.keras --annotations=a.json --images=i --output=o.keras",
    "export": "--model=m.keras --output=o",
    "benchmark": "--annotations=a.json --images=i",
    "check": "--annotations=a.json --images=i --output=o",
    "import_data": "--input=export --output=o",
    "report": "--results=r.json --annotations=a.json --images=i --output=o",
}
CONFIGS = [kind for kind in vars(config).values() if dataclasses.is_dataclass(kind) and kind != config.TrainingConfig]


def command_line(name):
    return CommandLine(name, "", *COMMANDS[name])


def read(name, flags=""):
    return command_line(name).read([*NEEDED[name].split(), *flags.split()])


WRONG = {
    "train": """
        rotation=nan rotation=inf rotation=-1 rotation=181
        sigma=-1 sigma=0 sigma=nan scale=-1 scale=1.5 scale=1 scale=inf
        learning_rate=-1 learning_rate=0 learning_rate=inf warmup_steps=-1 adam_epsilon=-1 adam_epsilon=0 drop_factor=-1
        drop_factor=0 drop_epochs=-1 drop_epochs=3,3 rotation_probability=1.1 flip_probability=-0.1 flip_probability=nan
        shift=-0.1 shift_probability=2 half_body_probability=7 half_body_minimum=0 maximum_persons=-1 batch_size=0
        batch_size=-8 seed=-1 seed=4294967296 shuffle_buffer=-1 shuffle_buffer=0 evaluate_every=0 evaluate_every=-1
        epochs=0 picture_count=-1 alpha=0 alpha=nan input_size=256 input_size=250,192 input_size=0,0 input_size=-32,32
        deconv_filters=0,1,1 deconv_kernels=5,5,5 deconv_filters=1,1,1,1,1,1 synthetic_images=-1
        synthetic_validation_images=0 evaluation_batch_size=0 nms_threshold=nan nms_threshold=0 nms_threshold=2
        soft_nms_keep=0 keypoint_threshold=nan
        brightness=-1 contrast=2 saturation=nan hue=181 photometric_probability=2 erasing_probability=-1 erasing_area=0
        accumulation_steps=0 hard_keypoints=0 weight_decay=-1 gradient_clip_norm=-1 ema_decay=1 ema_decay=-0.1
        occluded_weight=-0.1 occluded_weight=1.5
        checkpoint_every=0 checkpoint_every=min checkpoint_every=1.5min checkpoint_every=-5""",
    "evaluate": """evaluation_batch_size=0 nms_threshold=-1 minimum_box_score=-1 minimum_box_score=nan stride=0 sigma=0
        input_size=250,192 input_size=256 stride=-4""",
    "predict": "maximum_frames=-1 detector_size=100 detector_size=0 detector_threshold=1.5 detector_overlap=-1 "
    "person_class=-2 soft_nms_keep=0",
    "detect": "detector_threshold=nan detector_size=7",
    "prepare": "persons_per_shard=0 jpeg_quality=0 jpeg_quality=101 workers=-1 input_size=100,100 scale=1.5",
    "convert": "sigma=-1 sigma=inf mean=1,2 std=1,0,1 std=1,nan,1 mean=1,inf,2 input_size=64 input_size=60,64",
    "export": """format= format=tensorrt format=tflite,tflite quantize=int4 quantize= quantize=int8,int8 version=-1
        calibration_count=0 proof_count=0 tolerance=-1 tolerance=nan quantized_tolerance=-1 maximum_ap_loss=inf""",
    "benchmark": """suites= suites=speed suites=input,input rounds=0 persons=31 training_batch=0 training_steps=0
        export_batch=1 frames=0 reference_workers= reference_workers=-1""",
    "calibrate": "evaluation_batch_size=0",
    "check": "cases=0 fix=everything fix=areas,areas input_size=256",
    "import_data": "keypoints=a,a",
    "report": "resamples=-1 resampling_seed=-1 cases=4 photograph_side=-1",
}


@pytest.mark.parametrize(("command", "flag"), [(name, flag) for name, flags in WRONG.items() for flag in flags.split()])
def test_a_value_out_of_range_is_one_line_with_the_range(command, flag):
    name, _, value = flag.partition("=")
    with pytest.raises(UserError) as caught:
        read(command, f"--{flag}")
    field = next(field for field in every_field(command) if field.name == name)
    expected = limits(field, flag_name) or "a finite number"
    assert str(caught.value) == f"--{name} is {written(field, value)}; it must be {expected}"


def every_field(command):
    return [field for kind in COMMANDS[command] for field in dataclasses.fields(kind)]


def written(field, value):
    if not value:
        return "empty"
    kind = typing.get_args(field.type)[0] if typing.get_origin(field.type) is tuple else field.type
    return ",".join(str(kind(part)) for part in value.split(","))


@pytest.mark.parametrize(
    ("command", "flags", "option"),
    [
        ("train", "--drop_epochs=5 --schedule=cosine", "drop_epochs"),
        ("train", "--drop_factor=0.5 --schedule=cosine", "drop_factor"),
        ("train", "--drop_factor=0.5 --drop_epochs=", "drop_factor"),
        ("train", "--rotation=0 --rotation_probability=0.5", "rotation_probability"),
        ("train", "--shift_probability=0.5", "shift_probability"),
        ("train", "--half_body_minimum=4", "half_body_minimum"),
        ("train", "--photometric_probability=1", "photometric_probability"),
        ("train", "--erasing_area=0.1", "erasing_area"),
        ("train", "--hard_keypoints=4", "hard_keypoints"),
        ("train", "--prepared=p", "annotations"),
        ("train", "--annotations= --images= --prepared=p --maximum_persons=3", "maximum_persons"),
        ("train", "--annotations= --images= --prepared=p --skip_damaged", "skip_damaged"),
        ("train", "--evaluate_every=2", "evaluate_every"),
        ("train", "--noflip_test", "flip_test"),
        ("train", "--synthetic_validation_images=5", "synthetic_validation_images"),
        ("train", "--validation_images=v", "validation_images"),
        ("train", "--annotations= --images= --synthetic_images=5 --validation_annotations=a", "validation_annotations"),
        ("train", "--initial_model=m.keras --backbone=resnet18_pytorch", "backbone"),
        ("evaluate", "--input_size=128,96", "input_size"),
        ("evaluate", "--codec_only --sigma=3", "sigma"),
        ("evaluate", "--codec_only --metric=pckh", "metric"),
        ("evaluate", "--codec_only --noflip_test", "flip_test"),
        ("evaluate", "--head_boxes=h.mat", "head_boxes"),
        ("evaluate", "--metric=pckh --detections=d.json", "detections"),
        ("evaluate", "--metric=pckh --nms=none", "nms"),
        ("evaluate", "--codec_only --detections=d.json", "detections"),
        ("evaluate", "--minimum_box_score=0.5", "minimum_box_score"),
        ("evaluate", "--noflip_test --noflip_shift", "flip_shift"),
        ("evaluate", "--nms=none --nms_threshold=0.5", "nms_threshold"),
        ("evaluate", "--soft_nms_keep=5", "soft_nms_keep"),
        ("predict", "--detector=none --detector_size=640", "detector_size"),
        ("predict", "--detector=keras_hub:preset --detector_size=640", "detector_size"),
        ("predict", "--detector=none --detector_threshold=0.5", "detector_threshold"),
        ("predict", "--heatmaps --nodraw", "heatmaps"),
        ("predict", "--boxes=b.json", "detector"),
        ("predict", "--detector=person_detector --boxes=b.json --person_class=2", "person_class"),
        ("predict", "--detector=person_detector --boxes=b.json --detector_threshold=0.5", "detector_threshold"),
        ("predict", "--detector=person_detector --person_class=2", "person_class"),
        ("predict", "--soft_nms_keep=5", "soft_nms_keep"),
        ("detect", "--detector=none --detector_overlap=0.5", "detector_overlap"),
        ("prepare", "--half_body_minimum=4", "half_body_minimum"),
        ("convert", "--verify_images=i", "verify_images"),
        ("convert", "--to_torch --verify", "verify"),
        ("convert", "--to_torch --sigma=3", "sigma"),
        ("export", "--format=onnx --honour_orientation", "honour_orientation"),
        ("export", "--format=onnx --jit_compile", "jit_compile"),
        ("export", "--format=onnx --quantize=float16", "quantize"),
        ("export", "--format=onnx --version=7", "version"),
        ("export", "--format=savedmodel --decode=none", "decode"),
        ("export", "--calibration=c", "calibration"),
        ("export", "--quantize=int8 --calibration=c --format=onnx", "quantize"),
        ("export", "--calibration_annotations=a.json", "calibration_annotations"),
        ("export", "--calibration_count=7", "calibration_count"),
        ("export", "--proof_annotations=a.json", "proof_annotations"),
        ("export", "--maximum_ap_loss=0.1", "maximum_ap_loss"),
        ("export", "--quantized_tolerance=1", "quantized_tolerance"),
        ("export", "--nms=soft", "nms"),
        ("export", "--detector=own.keras", "detector"),
        ("export", "--with_detector --format=savedmodel --most_persons=3", "most_persons"),
        ("export", "--with_detector --format=onnx", "with_detector"),
        ("benchmark", "--frames=7", "frames"),
        ("benchmark", "--suites=training --annotations=a", "annotations"),
        ("benchmark", "--suites=export --annotations= --images= --training_batch=4", "training_batch"),
        ("benchmark", "--reference_workers=1", "reference_workers"),
    ],
)
def test_a_flag_without_effect_beside_the_others_is_refused(command, flags, option):
    with pytest.raises(UserError, match=f"^--{option} has no effect here; it counts only with") as caught:
        read(command, flags)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        ("train", "--workdir=", "--workdir is missing: folder for checkpoints"),
        (
            "train",
            "--annotations= --images=",
            r"--annotations is missing.*\(needed without --prepared or --synthetic_im",
        ),
        ("train", "--validation_annotations=v.json", r"--validation_images is missing.*with --validation_annotations"),
        ("evaluate", "--images=", "--images is missing: folder of the images"),
        ("predict", "--detector=", r"--detector is missing.*or none.*\(needed without --boxes\)"),
        ("detect", "--detector=", "--detector is missing: [^(]*$"),
        ("export", "--quantize=int8", r"--calibration is missing.*with --format=tflite and --quantize=int8"),
        ("benchmark", "--annotations=", r"--annotations is missing.*\(needed with --suites=input\)"),
        *((name, "--output=", "--output is missing") for name in ("predict", "detect", "prepare", "convert", "export")),
    ],
)
def test_what_is_missing_is_named_with_its_purpose(command, flags, message):
    with pytest.raises(UserError, match=message):
        read(command, flags)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        *((name, "") for name in COMMANDS),
        ("train", "--scale=0 --rotation=0 --picture_count=0 --drop_epochs="),
        (
            "train",
            "--initial_model=m.keras --validation_annotations=v --validation_images=i --nms=soft --soft_nms_keep=9",
        ),
        ("train", "--annotations= --images= --synthetic_images=9 --initial_model=m.keras --input_size=64,64"),
        ("evaluate", "--model= --images= --codec_only --input_size=250,190 --stride=5 --sigma=1.5"),
        ("predict", "--detector=person_detector --boxes=b.json --nodraw --show --heatmaps"),
        ("predict", "--detector=own.keras --detector_threshold=0.2 --detector_overlap=0.5"),
        ("predict", "--detector=keras_hub:preset --person_class=3 --detector_threshold=0"),
        ("convert", "--mean=0,0,0 --std=1,1,1 --verify --verify_images=i"),
        ("export", "--quantize=none,int8 --calibration=c --calibration_count=5 --quantized_tolerance=1 --version=7"),
        ("benchmark", "--suites=video --annotations= --images= --frames=9 --detector=d.onnx"),
    ],
)
def test_what_belongs_together_is_taken(command, flags, capsys):
    read(command, flags)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_written_flagfile_is_read_back_without_a_word(command, tmp_path, capsys):
    """It lists every option, also those that have no effect at their defaults."""
    write_flagfile(tmp_path / "flags.cfg", command, *read(command))
    assert command_line(command).read([f"--flagfile={tmp_path / 'flags.cfg'}"]) == read(command)
    assert capsys.readouterr().err == ""


def test_flags_of_a_flagfile_may_be_without_effect_and_are_reported(tmp_path, capsys):
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text("--backbone=resnet18_pytorch\n--drop_epochs=3\n--resume=off\n")
    read("train", f"--flagfile={recipe} --schedule=cosine --initial_model=m.keras")
    notes = capsys.readouterr().err.splitlines()
    assert notes == [
        "note: --backbone has no effect here; it counts only with --architecture=simple|cpn, without --initial_model",
        "note: --drop_epochs has no effect here; it counts only with --schedule=steps",
    ]
    with pytest.raises(UserError, match="--drop_epochs has no effect"):
        read("train", f"--flagfile={recipe} --schedule=cosine --drop_epochs=4")
    recipe.write_text("--scale=1.5\n")
    with pytest.raises(UserError, match="--scale is 1.5"):
        read("train", f"--flagfile={recipe}")


def test_a_command_does_not_start_on_a_wrong_value(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train", *NEEDED["train"].split(), "--batch_size=0"])
    with pytest.raises(SystemExit) as caught:
        run_command(lambda *configs: pytest.fail("it started"), "train", "", *COMMANDS["train"])
    output = capsys.readouterr()
    assert caught.value.code == 1 and output.out == ""
    assert output.err == "error: --batch_size is 0; it must be at least 1\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_no_number_may_be_nan_or_infinite(value):
    count = 0
    for kind in CONFIGS:
        for field in dataclasses.fields(kind):
            if field.type is float or field.type == tuple[float, ...]:
                count += 1
                wrong = (value,) * 3 if field.type is not float else value
                with pytest.raises(UserError, match=f"^{field.name} is "):
                    check(kind(**{field.name: wrong}))
    assert count > 20


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_every_range_default_and_need(command):
    text = " ".join(command_line(command).help().split())
    for field in every_field(command):
        assert limits(field, flag_name) in text
        described = text.split(f"{field.name}", 1)[1]
        assert "default:" in described or "required" in described
    assert "<" not in text.replace("<version>", "")


def test_python_users_have_the_same_check_with_names_of_options():
    run = config.RunConfig(workdir="w")
    data = config.TrainingDataConfig(annotations="a", images="i")
    assert check(config.TrainingConfig(data=data, run=run)) == []
    wrong = config.TrainingConfig(data=data, run=run, optimization=config.OptimizationConfig(batch_size=0))
    with pytest.raises(UserError, match="^batch_size is 0; it must be at least 1$"):
        check(wrong)
    with pytest.raises(UserError, match="^images is missing: .*needed without prepared"):
        check(
            dataclasses.replace(
                wrong, data=config.TrainingDataConfig(annotations="a"), optimization=config.OptimizationConfig()
            )
        )


@pytest.mark.parametrize(
    "wrong",
    [
        config.OptimizationConfig(batch_size="8"),
        config.OptimizationConfig(batch_size=8.5),
        config.OptimizationConfig(batch_size=True),
        config.OptimizationConfig(schedule="linear"),
        config.OptimizationConfig(drop_epochs=(1, "2")),
        config.OptimizationConfig(drop_epochs=5),
        config.ModelConfig(backbone=None),
        config.EvaluationConfig(flip_test=1),
    ],
)
def test_values_of_another_type_are_named(wrong):
    with pytest.raises(UserError, match=r"^\w+ is .*; it must be "):
        check(wrong)


def test_a_huge_number_is_only_out_of_range():
    with pytest.raises(UserError, match=r"^--seed is 9+; it must be from 0 to 4294967295$") as caught:
        read("train", f"--seed={4000 * '9'}")
    assert len(str(caught.value)) < 200


def test_paths_and_numbers_of_numpy_are_taken():
    import numpy as np

    check(config.OptimizationConfig(batch_size=np.int64(8), learning_rate=np.float32(0.1)))
    check(config.ProofConfig(proof_images=Path("images")))


def test_what_can_be_chosen_is_what_there_is():
    from keras_simplepose.benchmarks.input import BATCH_SIZE
    from keras_simplepose.benchmarks.suites import SUITES
    from keras_simplepose.exporting.tflite import QUANTIZATIONS
    from keras_simplepose.models.backbones.registry import STRIDE

    def rules(kind, name):
        return kind.__dataclass_fields__[name].metadata["rules"]

    assert rules(config.BenchmarkConfig, "suites").choices == tuple(SUITES)
    assert set(rules(config.ExportConfig, "quantize").choices) == set(QUANTIZATIONS)
    assert rules(config.ModelConfig, "input_size").multiple_of == STRIDE
    assert rules(config.BenchmarkConfig, "persons").minimum == BATCH_SIZE
