import subprocess
import sys
import threading
import types
import zipfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from published_files import beginning_of_hash, published  # noqa: E402
from stand_ins import SPEC, tiny_network  # noqa: E402
from torch_states import random_state  # noqa: E402

from keras_simplepose import PosePredictor, convert, load_model, pose_spec, save_model  # noqa: E402
from keras_simplepose.config import ConvertConfig, DetectorConfig, ModelConfig, TrainingConfig  # noqa: E402
from keras_simplepose.conversion.architecture import Architecture  # noqa: E402
from keras_simplepose.conversion.named_models import model_file  # noqa: E402
from keras_simplepose.conversion.preset_table import details, matching, table  # noqa: E402
from keras_simplepose.conversion.tensor_names import model_tensors  # noqa: E402
from keras_simplepose.detection import detectors  # noqa: E402
from keras_simplepose.models.fetching import cache_folder  # noqa: E402
from keras_simplepose.models.files import SHIPPED  # noqa: E402
from keras_simplepose.training.network import build_network  # noqa: E402
from keras_simplepose.utils.errors import UserError  # noqa: E402

TINY = {"backbone": "resnet18_pytorch", "alpha": 0.125}


def served(folder, state, name):
    """Puts a checkpoint into a folder, named as mmpose and PyTorch name theirs; the entry of the list."""
    torch.save(state, folder / "checkpoint")
    digits = beginning_of_hash(folder / "checkpoint")
    (folder / "checkpoint").rename(folder / name.format(digits))
    return f'file = "{name.format(digits)}", sha256 = "{digits}", figure = "AP .5"'


@pytest.fixture(scope="module")
def states():
    pose = random_state(Architecture(**TINY, deconv_filters=(8,), deconv_kernels=(4,), keypoints=17))
    return pose, random_state(Architecture(**TINY))


@pytest.fixture
def server(tmp_path, monkeypatch, states):
    """A server of a pose network in mmpose's layout, a backbone in torchvision's, and something called a detector."""
    folder = tmp_path / "served"
    folder.mkdir()
    pose, backbone = states
    prefixes = {name: "head." if name.startswith(("deconv", "final")) else "backbone." for name in pose}
    mmpose = {"meta": {"epoch": 1}, "state_dict": {prefixes[name] + name: value for name, value in pose.items()}}
    (folder / "yolox_nano.onnx").write_bytes(b"a detector")
    with published(folder, monkeypatch, tmp_path / "home") as (server, list_presets):
        skeleton = 'skeleton = "posetrack18", codec = "dark"'
        list_presets(
            pose_network={
                "tiny": served(folder, mmpose, "td-hm_res18_8xb64-64x96-{}_20200101.pth") + f", {skeleton}",
                "hourglass52": f'file = "h.pth", obstacle = "nobody reads it", {skeleton}',
            },
            backbone={"features": served(folder, backbone, "resnet18-{}.pth")},
            person_detector={"yolox_nano": 'file = "yolox_nano.onnx", input_side = 96'},
        )
        yield server


def test_a_name_is_fetched_and_converted_once(server, states, capsys):
    model = load_model("tiny")
    spec = pose_spec(model)
    assert (spec.skeleton.name, spec.codec, spec.input_size) == ("posetrack18", "dark", (64, 96))
    assert all(np.array_equal(states[0][name], value) for name, value in model_tensors(model).items())
    (converted,) = cache_folder().glob("*.keras")
    printed = capsys.readouterr().out
    assert f"tiny: converted once, to {converted}" in printed and "AP .5" in printed
    before = converted.stat().st_mtime_ns
    assert PosePredictor.load("tiny").spec == spec and model_file("tiny") == converted
    assert converted.stat().st_mtime_ns == before and len(server.asked) == 1 and not capsys.readouterr().out


def test_convert_takes_a_name_and_what_is_given_beside_it(server, tmp_path, capsys):
    output = tmp_path / "out.keras"
    convert.main(ConvertConfig(checkpoint="tiny", output=str(output), skeleton="ochuman17", verify=True))
    spec = pose_spec(load_model(output))
    assert (spec.skeleton.name, spec.codec) == ("ochuman17", "dark") and "random" in capsys.readouterr().out
    with pytest.raises(UserError, match="small: ships with the package as a .keras model"):
        convert.main(ConvertConfig(checkpoint="small", output=str(tmp_path / "b.keras")))


def test_a_run_starts_from_names(server, states):
    network = build_network(TrainingConfig(ModelConfig(initial_model="tiny")))
    assert pose_spec(network).skeleton.name == "posetrack18"
    head = {"deconv_filters": (8,), "deconv_kernels": (4,), "input_size": (64, 64)}
    network = build_network(TrainingConfig(ModelConfig(backbone_weights="features", **TINY, **head)))
    tensors = model_tensors(network)
    assert all(np.array_equal(value, tensors[name]) for name, value in states[1].items() if name in tensors)
    with pytest.raises(UserError, match="tiny names a pose network, and a backbone is wanted"):
        build_network(TrainingConfig(ModelConfig(backbone_weights="tiny", **TINY, **head)))


def test_a_detector_of_a_name_has_its_own_input(server, monkeypatch):
    monkeypatch.setattr(detectors, "YoloxDetector", lambda config: config)
    config = detectors.load_detector(DetectorConfig(detector="yolox_nano", detector_threshold=0.1))
    assert (config.detector_size, config.detector_threshold) == (96, 0.1)
    assert config.detector == str(cache_folder() / "yolox_nano.onnx")
    assert (cache_folder() / "yolox_nano.onnx").read_bytes() == b"a detector"


def test_what_cannot_be_used_is_refused_before_it_is_fetched(server, monkeypatch):
    with pytest.raises(UserError, match="hourglass52: nobody reads it; it is published at http://127"):
        load_model("hourglass52")
    with pytest.raises(UserError, match="'tinny' is unknown; there is tiny, hourglass52"):
        PosePredictor.load("tinny")
    with pytest.raises(UserError, match="absent.keras: no such model file"):
        load_model("absent.keras")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match="needs PyTorch, which is not installed: pip install"):
        load_model("tiny")
    assert not server.asked


def test_a_file_of_that_name_comes_first(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_model(tiny_network(SPEC), "tiny.keras")
    (tmp_path / "tiny.keras").rename("tiny")
    with pytest.raises(UserError, match="tiny: not a Keras model"):  # It has not the suffix that Keras wants.
        load_model("tiny")
    assert not server.asked


def test_the_list_says_what_is_here(server):
    def states():
        return {line.split()[0]: line.split("  ")[-1].strip() for line in table(matching(())).splitlines()[1:]}

    assert states() == {
        "tiny": "to be fetched",
        "hourglass52": "not usable yet",
        "features": "to be fetched",
        "yolox_nano": "to be fetched",
    }
    load_model("tiny")
    assert states()["tiny"] == "converted"
    (each,) = matching(("ti*",))
    assert f"{cache_folder() / each.file}" in details(each) and each.address in details(each)
    with pytest.raises(UserError, match="'r50' matches none of tiny, "):
        matching(("r50",))


def test_addresses_of_the_hub(tmp_path, monkeypatch):
    save_model(tiny_network(SPEC), tmp_path / "a.keras")
    with zipfile.ZipFile(tmp_path / "a.keras") as archive:
        archive.extractall(tmp_path / "snapshot")
    hub = types.ModuleType("huggingface_hub")
    asked = []

    def snapshot_download(name, **options):
        asked.append(name)
        if name != "somebody/pose":
            raise OSError("404 Client Error")
        return str(tmp_path / "snapshot")

    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert pose_spec(load_model("hf://somebody/pose")) == PosePredictor.load("hf://somebody/pose").spec == SPEC
    assert set(asked) == {"somebody/pose"}
    with pytest.raises(UserError, match=r"hf://somebody/else: cannot be fetched \(404 Client Error\)"):
        load_model("hf://somebody/else")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"hf://somebody/pose: needs huggingface_hub.*keras_simplepose\[hub\]"):
        load_model("hf://somebody/pose")


def test_what_ships_has_its_name():
    assert model_file("small") == SHIPPED["small"]


@pytest.mark.slow
def test_two_processes_at_once_do_not_spoil_the_cache(server, tmp_path):
    code = (
        "import sys, pathlib, keras_simplepose\nfrom keras_simplepose.models import presets\n"
        f"presets.LIST = pathlib.Path({str(tmp_path / 'home' / 'presets.toml')!r})\n"
        "print(keras_simplepose.load_model('tiny').count_params(), file=sys.stderr)"
    )
    server.together = threading.Barrier(2)
    processes = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    counts = [process.communicate(timeout=300)[1].splitlines()[-1] for process in processes]
    assert len(server.asked) == 2 and counts == [str(load_model("tiny").count_params())] * 2
    assert len(list(cache_folder().glob("*"))) == 2 and len(server.asked) == 2
