import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch_states import pose_state  # noqa: E402

from keras_simplepose import convert  # noqa: E402
from keras_simplepose.config import ConvertConfig  # noqa: E402
from keras_simplepose.conversion import proof as verification  # noqa: E402
from keras_simplepose.flags import run_command  # noqa: E402
from keras_simplepose.models.files import load_model  # noqa: E402
from keras_simplepose.models.stages import pose_spec  # noqa: E402


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    _, state = pose_state(filters=(16, 8), kernels=(4, 4))
    path = tmp_path_factory.mktemp("weights") / "pose_resnet_50_64x96.pth.tar"
    torch.save(state, path)
    return path


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command in this process: (exit status, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            run_command(convert.main, "convert", convert.DESCRIPTION, ConvertConfig)
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return run


def refused(result, output, named):
    status, _, error = result
    assert status == 1 and error.startswith("error: ") and error.count("\n") == 1 and named in error
    assert not output.exists() and not list(output.parent.iterdir())


def test_there_and_back(checkpoint, command, tmp_path):
    status, out, error = command(f"--checkpoint={checkpoint}", f"--output={tmp_path / 'a.keras'}", "--verify")
    assert status == 0 and not error
    assert "resnet50_pytorch" in out and "bgr" in out and "random" in out and f"wrote {tmp_path / 'a.keras'}" in out
    model = load_model(tmp_path / "a.keras")
    assert pose_spec(model).input_size == (64, 96)
    status, out, _ = command("--to_torch", f"--checkpoint={tmp_path / 'a.keras'}", f"--output={tmp_path / 'b.pth'}")
    assert status == 0 and "bgr" in out
    first, second = (torch.load(path, weights_only=True) for path in (checkpoint, tmp_path / "b.pth"))
    assert all(torch.equal(first[name], value) for name, value in second.items())
    assert {name for name in first if not name.endswith("num_batches_tracked")} == second.keys()


def test_a_network_that_is_not_pytorchs_is_not_written(checkpoint, command, tmp_path, monkeypatch):
    output = tmp_path / "out" / "a.keras"
    output.parent.mkdir()
    monkeypatch.setattr(verification, "HEATMAP_LIMIT", 0.0)  # Not even PyTorch itself is that near.
    result = command(f"--checkpoint={checkpoint}", f"--output={output}", "--verify")
    refused(result, output, "is not PyTorch's; nothing was written")
    assert "limit" in result[1]


class Evil:
    def __reduce__(self):
        return print, ("the checkpoint's code ran",)


def truncated(path, state):
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-1000])


def hrnet(path, state):
    torch.save(state | {"stage4.0.fuse_layers.0.1.0.weight": torch.zeros(1)}, path)


def incomplete(path, state):
    torch.save({name: value for name, value in state.items() if name != "layer3.2.bn2.running_var"}, path)


def evil(path, state):
    torch.save(state | {"x": Evil()}, path)


@pytest.mark.parametrize(
    ("write", "named"),
    [
        (truncated, "not a whole"),
        (hrnet, "HRNet"),
        (incomplete, "layer3.2.bn2.running_var"),
        (evil, "wants to import print"),
    ],
)
def test_bad_checkpoints_leave_no_file(write, named, checkpoint, command, tmp_path):
    write(tmp_path / "bad_64x64.pth", torch.load(checkpoint, weights_only=True))
    output = tmp_path / "out" / "a.keras"
    output.parent.mkdir()
    result = command(f"--checkpoint={tmp_path / 'bad_64x64.pth'}", f"--output={output}", "--verify")
    refused(result, output, named)
    assert "bad_64x64.pth" in result[2] and "code ran" not in result[1]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ([], "--checkpoint is missing"),
        (["--checkpoint=a.pth"], "--output is missing"),
        (["--checkpoint=a.pth", "--output=OUT/a.h5"], "ends in .keras"),
        (["--checkpoint=absent.pth", "--output=OUT/a.keras"], "absent.pth: no such checkpoint"),
        (["--checkpoint=absent.pth", "--output=OUT/a.keras", "--verify_images=x"], "--verify"),
        (["--to_torch", "--checkpoint=absent.keras", "--output=OUT/a.pth"], "absent.keras: no such model"),
    ],
)
def test_wrong_flags_are_named(arguments, named, command, tmp_path):
    output = tmp_path / "a.keras"
    refused(command(*(each.replace("OUT", str(tmp_path)) for each in arguments)), output, named)


def test_as_a_user_runs_it(tmp_path):
    np.zeros(10).tofile(tmp_path / "a.pth.tar")
    arguments = [f"--checkpoint={tmp_path / 'a.pth.tar'}", f"--output={tmp_path / 'a.keras'}"]
    done = subprocess.run(
        [sys.executable, "-m", "keras_simplepose.convert", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.splitlines()[-1].startswith(f"error: {tmp_path / 'a.pth.tar'}: ")
    assert not (tmp_path / "a.keras").exists()
