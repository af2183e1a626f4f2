import collections
import json
import pickle
import resource
import sys
import types
import zipfile

import numpy as np
import pytest

from keras_simplepose.conversion import torch_files as checkpoints
from keras_simplepose.conversion.torch_files import is_checkpoint, open_checkpoint, read_checkpoint, write_checkpoint
from keras_simplepose.utils.errors import UserError

torch = pytest.importorskip("torch")


@pytest.fixture
def state():
    return collections.OrderedDict(
        [
            ("conv1.weight", torch.arange(24.0).reshape(2, 3, 2, 2)),
            ("bn1.weight", torch.tensor([1.5, -2.0])),
            ("bn1.num_batches_tracked", torch.tensor(7)),
        ]
    )


def same(tensors):
    return (
        set(tensors) == {"conv1.weight", "bn1.weight"}
        and np.array_equal(tensors["conv1.weight"], np.arange(24.0).reshape(2, 3, 2, 2))
        and np.array_equal(tensors["bn1.weight"], [1.5, -2.0])
        and all(value.dtype == np.float32 for value in tensors.values())
    )


def test_layouts_of_the_release(state, tmp_path):
    path = tmp_path / "a.pth.tar"
    parallel = {f"module.{name}": value for name, value in state.items()}
    training = {"epoch": 3, "model": "pose_resnet", "state_dict": parallel, "perf": np.float64(0.7), "optimizer": {}}
    for content in (state, parallel, training, training | {"state_dict": state}):
        torch.save(content, path)
        assert same(read_checkpoint(path))


@pytest.mark.parametrize("prefix", ["model.", "_orig_mod.", "model._orig_mod.", "module.model.", "_orig_mod.module."])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_prefixes_of_wrappers_are_taken_off(state, prefix, suffix, tmp_path):
    wrapped = {prefix + name: value for name, value in state.items()}
    path = tmp_path / f"a{suffix}"
    if suffix == ".pth":
        torch.save({"state_dict": wrapped, "epoch": 3}, path)
    else:
        write_checkpoint({name: value.numpy() for name, value in wrapped.items()}, path)
    assert same(read_checkpoint(path))


def test_a_prefix_that_some_names_lack_stays(state, tmp_path):
    torch.save({"model.a.weight": torch.ones(1), "b.weight": torch.ones(1)}, tmp_path / "a.pth")
    assert read_checkpoint(tmp_path / "a.pth").keys() == {"model.a.weight", "b.weight"}


def averaged(state):
    """As PyTorch and mmengine store them, with their counter."""
    return {f"module.{name}": value + 1 for name, value in state.items()} | {"n_averaged": torch.tensor(9)}


@pytest.mark.parametrize("key", ["state_dict_ema", "ema_state_dict", "model_ema"])
@pytest.mark.parametrize("nest", [lambda content: content, lambda content: {"model": content}], ids=["", "nested"])
def test_averaged_weights_are_taken_when_asked_for(state, key, nest, tmp_path):
    torch.save(nest({"state_dict": state, key: averaged(state)}), tmp_path / "a.pth")
    plain = open_checkpoint(tmp_path / "a.pth")
    assert same(plain.tensors) and plain.taken.endswith("state_dict") and plain.others == (key,)
    other = open_checkpoint(tmp_path / "a.pth", "ema")
    assert np.array_equal(other.tensors["bn1.weight"], [2.5, -1.0]) and other.others == ("state_dict",)
    assert other.taken.endswith(key) and other.tensors.keys() == plain.tensors.keys()


def test_averaged_weights_alone_are_taken_and_missing_ones_named(state, tmp_path):
    torch.save({"state_dict_ema": averaged(state)}, tmp_path / "a.pth")
    assert open_checkpoint(tmp_path / "a.pth").taken == "state_dict_ema"
    torch.save({"state_dict": state}, tmp_path / "b.pth")
    write_checkpoint({"a": np.ones(1)}, tmp_path / "c.safetensors")
    for name in ("b.pth", "c.safetensors"):
        with pytest.raises(UserError, match=f"{name}: .*weights"):
            open_checkpoint(tmp_path / name, "ema")


def test_notes_of_mmpose_are_read(state, tmp_path):
    notes = {"dataset_meta": {"dataset_name": "ap10k", "sigmas": np.ones(17)}, "cfg": "codec = 1"}
    torch.save({"meta": notes, "state_dict": state}, tmp_path / "a.pth")
    found = open_checkpoint(tmp_path / "a.pth")
    assert (found.data_set, found.configuration) == ("ap10k", "codec = 1")
    torch.save({"meta": {"config": "data = 1"}, "state_dict": state}, tmp_path / "b.pth")
    assert open_checkpoint(tmp_path / "b.pth").configuration == "data = 1"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_torchscript_is_called_so(tmp_path):
    torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), str(tmp_path / "a.pt"))
    with pytest.raises(UserError, match="TorchScript.*state_dict"):
        read_checkpoint(tmp_path / "a.pt")


def test_the_format_of_early_pytorch(state, tmp_path):
    torch.save(state, tmp_path / "a.pth.tar", _use_new_zipfile_serialization=False)
    assert not zipfile.is_zipfile(tmp_path / "a.pth.tar")
    assert same(read_checkpoint(tmp_path / "a.pth.tar"))


def test_mmengine_curves_are_passed_over_without_mmengine(state, tmp_path, monkeypatch):
    class HistoryBuffer:
        def __init__(self):
            self.values = np.array([0.5, 0.25])

        def mean(self):
            return self.values.mean()

        def __getstate__(self):
            return self.__dict__ | {"statistics_methods": {"mean": HistoryBuffer.mean}}

    module = types.ModuleType("mmengine.logging.history_buffer")
    module.HistoryBuffer, HistoryBuffer.__module__ = HistoryBuffer, module.__name__
    HistoryBuffer.__qualname__, HistoryBuffer.mean.__qualname__ = "HistoryBuffer", "HistoryBuffer.mean"
    HistoryBuffer.mean.__module__ = module.__name__
    names = ("mmengine", "mmengine.logging", module.__name__)
    with monkeypatch.context() as patch:
        for name in names:
            patch.setitem(sys.modules, name, module)
        content = {"meta": {"epoch": 210}, "message_hub": {"loss": HistoryBuffer()}, "state_dict": state}
        torch.save(content, tmp_path / "a.pth")
    assert b"HistoryBuffer" in (tmp_path / "a.pth").read_bytes()
    assert same(read_checkpoint(tmp_path / "a.pth"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_precision_is_widened_exactly(dtype, suffix, tmp_path):
    values = torch.tensor([1.0, 0.333, -7.25]).to(dtype)
    path = tmp_path / f"a{suffix}"
    if suffix == ".pth":
        torch.save({"a.weight": values}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file({"a.weight": values}, path)
    assert np.array_equal(read_checkpoint(path)["a.weight"], values.float().numpy())


@pytest.mark.parametrize("name", ["a.pth.tar", "a.pth", "a.pt", "a.safetensors"])
def test_written_checkpoints_are_read_back(name, state, tmp_path):
    if name.endswith("safetensors"):
        pytest.importorskip("safetensors")
    transposed = np.ascontiguousarray(state["conv1.weight"].numpy().transpose(2, 3, 1, 0)).transpose(3, 2, 0, 1)
    write_checkpoint({"conv1.weight": transposed, "bn1.weight": state["bn1.weight"].numpy()}, tmp_path / name)
    assert is_checkpoint(tmp_path / name)
    assert same(read_checkpoint(tmp_path / name))


def test_other_suffixes_are_not_written(tmp_path):
    with pytest.raises(UserError, match=r"a\.h5.*\.pth"):
        write_checkpoint({}, tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


class Evil:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_a_pickle_that_imports_something_is_refused_and_not_run(state, tmp_path):
    marker = tmp_path / "marker"
    for content in (
        state | {"x": Evil(open, str(marker), "w")},
        {"state_dict": state, "meta": Evil(open, str(marker), "w")},
    ):
        torch.save(content, tmp_path / "a.pth")
        with pytest.raises(
            UserError, match=r"a\.pth: refused, because it wants to import (_?io|builtins)\.open"
        ) as caught:
            read_checkpoint(tmp_path / "a.pth")
        assert "\n" not in str(caught.value)
    (tmp_path / "b.pth").write_bytes(pickle.dumps(Evil(exec, f"open({str(marker)!r}, 'w')")))
    with pytest.raises(UserError, match=r"b\.pth"):
        read_checkpoint(tmp_path / "b.pth")
    assert not marker.exists()


def test_what_is_passed_over_gives_no_way_to_an_attribute(state, tmp_path):
    """`builtins.getattr` is among the names that are replaced: it must not look anything up."""
    torch.save(state | {"x": Evil(getattr, state, "clear")}, tmp_path / "a.pth")
    with pytest.raises(UserError, match="entry 'x' is no plain tensor"):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_truncated_files_are_named(suffix, share, state, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"a{suffix}"
    write_checkpoint({"conv1.weight": state["conv1.weight"].numpy()}, path)
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=rf"a\{suffix}: ") as caught:
        read_checkpoint(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ([1, 2], "list"),
        ({}, "no state dictionary"),
        ({"a": 1}, "'a' is no plain tensor"),
        ({"a": torch.zeros(2, dtype=torch.int8)}, "torch.int8"),
        ({"a": torch.tensor([0.0, float("nan")])}, "tensor a holds values that are not finite"),
        ({"a": torch.zeros(2).to_sparse()}, "'a' is no plain tensor"),
    ],
)
def test_other_content_is_refused(content, named, tmp_path):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(UserError, match=named):
        read_checkpoint(tmp_path / "a.pth")


def test_integers_in_safetensors_are_refused(tmp_path):
    pytest.importorskip("safetensors.numpy").save_file({"a": np.zeros(2, np.int8)}, tmp_path / "a.safetensors")
    with pytest.raises(UserError, match="tensor a is int8"):
        read_checkpoint(tmp_path / "a.safetensors")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.pth: no such checkpoint"):
        read_checkpoint(tmp_path / "absent.pth")


def test_without_torch_the_error_says_how_to_get_it(state, tmp_path, monkeypatch):
    torch.save(state, tmp_path / "a.pth")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UserError, match=r"pip install 'keras_simplepose\[torch\]'"):
        read_checkpoint(tmp_path / "a.pth")


def test_safetensors_need_no_torch(state, tmp_path, monkeypatch):
    pytest.importorskip("safetensors")
    write_checkpoint({name: state[name].numpy() for name in ("conv1.weight", "bn1.weight")}, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert same(read_checkpoint(tmp_path / "a.safetensors"))


def test_an_old_torch_is_not_trusted(state, tmp_path, monkeypatch):
    torch.save(state, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(UserError, match=r"2\.5\.1.*2\.10"):
        read_checkpoint(tmp_path / "a.pth")


def test_names_of_checkpoints():
    assert all(map(is_checkpoint, ("a.pth", "b/a.PTH.TAR", "a.pt", "a.safetensors", "a.bin")))
    assert not any(map(is_checkpoint, ("imagenet", "a.h5", "a.keras", "a.tar", "a.weights.h5")))
    assert checkpoints.SAFE_TORCH >= (2, 10)


def rezipped(path):
    with zipfile.ZipFile(path) as source:
        members = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name, content in members.items():
            target.writestr(name, content)


def huge_safetensors(path):
    header = json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))


def huge_early(path, state):
    torch.save(state, path, _use_new_zipfile_serialization=False)
    number = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")
    path.write_bytes(path.read_bytes().replace(b"K\x18", number, 1))  # How many numbers its first storage has.


@pytest.mark.parametrize(
    ("name", "write", "fault"),
    [
        ("a.pth", lambda path, _: torch.save({"a": torch.zeros(1).expand(1 << 40)}, path), "its tensors would unpack"),
        ("a.pth", lambda path, _: torch.save({"a": torch.empty(1 << 40, device="meta")}, path), "is no plain tensor"),
        ("a.pth", lambda path, _: (torch.save({"a": torch.zeros(1 << 25)}, path), rezipped(path)), "would unpack to"),
        ("a.pth", huge_early, "not a whole PyTorch checkpoint"),
        ("a.safetensors", lambda path, _: huge_safetensors(path), "not a whole safetensors file"),
    ],
    ids=["view", "meta", "deflated", "early", "safetensors"],
)
def test_a_small_file_that_asks_for_much_memory_is_refused(name, write, fault, state, tmp_path):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    path = tmp_path / name
    write(path, state)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=fault) as caught:
        open_checkpoint(path)
    assert "\n" not in str(caught.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 18  # KiB
