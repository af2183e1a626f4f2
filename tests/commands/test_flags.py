import dataclasses

import pytest

from keras_simplepose import config, train
from keras_simplepose.flags import CommandLine, write_flagfile
from keras_simplepose.utils.errors import UserError

WHOLE = (config.TrainingConfig, config.DetectorTrainingConfig)  # Made of others.
CONFIGS = [kind for kind in vars(config).values() if dataclasses.is_dataclass(kind) and kind not in WHOLE]


def command(*configs):
    return CommandLine("train", "Trains.", *(configs or (config.ModelConfig, config.OptimizationConfig)))


def test_defaults_are_the_dataclasses():
    assert [command(kind).parse([])[0] for kind in CONFIGS] == [kind() for kind in CONFIGS]


def test_values_are_parsed_by_type():
    model, optimization = command().parse(
        [
            "--input_size=128,96",
            "--alpha=0.35",
            "--skeleton=mpii16",
            "--schedule=cosine",
            "--drop_epochs=",
            "--epochs=3",
        ]
    )
    assert model.input_size == (128, 96) and model.alpha == 0.35 and model.skeleton == "mpii16"
    assert optimization.schedule == "cosine" and optimization.drop_epochs == () and optimization.epochs == 3


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--no_such=1"], "no_such"),
        (["stray"], "stray"),
        (["--epochs=many"], "epochs"),
        (["--epochs=" + 5000 * "9"], "epochs"),
        (["--schedule=linear"], "schedule"),
        (["--input_size=a,b"], "input_size"),
        (["--flagfile=absent.cfg"], "absent.cfg"),
    ],
)
def test_faults_are_one_line_that_names_them(arguments, named):
    with pytest.raises(UserError, match=named) as caught:
        command().parse(arguments)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_written_flagfile_repeats_the_configuration(tmp_path):
    configs = [
        config.ModelConfig(input_size=(128, 96), backbone="mobilenetv2", deconv_filters=()),
        config.OptimizationConfig(drop_epochs=(1, 2), learning_rate=3e-4),
        config.EvaluationConfig(flip_test=False),
    ]
    path = tmp_path / "flags.cfg"
    write_flagfile(path, "train", *configs)
    parsed = CommandLine("train", "", *(type(each) for each in configs)).parse([f"--flagfile={path}"])
    assert parsed == configs


def test_later_flags_win_over_the_flagfile(tmp_path):
    path = tmp_path / "a.cfg"
    path.write_text("# comment\n--epochs=5\n--batch_size=7\n")
    _, optimization = command().parse([f"--flagfile={path}", "--epochs=6"])
    assert (optimization.epochs, optimization.batch_size) == (6, 7)


def test_help_names_every_flag_once_under_its_purpose():
    text = command(*CONFIGS).help()
    for kind in CONFIGS:
        assert kind.__doc__.splitlines()[0].rstrip(".") + ":" in text
        for field in dataclasses.fields(kind):
            assert f"{field.name}" in text
    assert text.count("--[no]flip_test") == 1


def test_a_run_that_has_not_begun_may_be_given_other_flags(tmp_path, capsys):
    def with_options(**options):
        return [
            dataclasses.replace(each, **{name: value for name, value in options.items() if hasattr(each, name)})
            for each in (kind() for kind in train.CONFIGS)
        ]

    train.write_flags(tmp_path, *with_options())
    train.write_flags(tmp_path, *with_options(seed=5))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000000000001.npz").write_bytes(b"")
    train.write_flags(tmp_path, *with_options(seed=5, epochs=150, picture_count=0))
    changed = "--drop_epochs was 90,120, is 3; --seed was 5, is 0"
    with pytest.raises(UserError, match=f"holds a run with other options: {changed}.*--resume=force"):
        train.write_flags(tmp_path, *with_options(drop_epochs=(3,)))
    with pytest.raises(UserError, match="--schedule was steps, is cosine"):
        train.write_flags(tmp_path, *with_options(seed=5, schedule="cosine"))
    train.write_flags(tmp_path, *with_options(resume="force"))
    assert "going on with another option: --seed was 5, is 0" in capsys.readouterr().out
    train.write_flags(tmp_path, *with_options())
    (tmp_path / "flags.cfg").write_text("--epochs=many\n")
    with pytest.raises(UserError, match=r"flags\.cfg: is damaged"):
        train.write_flags(tmp_path, *with_options())
