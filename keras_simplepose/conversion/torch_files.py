"""Reading and writing PyTorch checkpoints as named arrays; no checkpoint can run code.

PyTorch is an optional extra, loaded only here and where networks are compared, and only when it is needed.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.utils.archives import check_archive, check_size
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path

INSTALL = "pip install 'keras_simplepose[torch]'"
# Before this a crafted file can run code in spite of weights_only (CVE-2025-32434, CVE-2026-24747).
SAFE_TORCH = (2, 10)
TORCH_SUFFIXES = (".pth.tar", ".pth", ".pt", ".bin")
SAFETENSORS_SUFFIX = ".safetensors"
_NESTED_KEYS = ("state_dict", "model_state_dict", "model")
_AVERAGED_KEYS = ("state_dict_ema", "ema_state_dict", "model_ema", "ema")  # timm; mmengine; others.
_WRAPPERS = ("module.", "model.", "_orig_mod.")  # DataParallel and averaging; Lightning; torch.compile.
_COUNTER = "num_batches_tracked"
_AVERAGING_COUNTERS = ("n_averaged", "steps")  # PyTorch's and mmengine's, beside averaged weights.

# What training frameworks pickle beside the weights. They are replaced by `_Ignored`, never imported: mmengine's
# curves, and the NumPy numbers the release's `perf` and mmengine's curves consist of.
_IGNORED_GLOBALS = (
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",  # How pickle spells the methods a HistoryBuffer lists.
    "numpy.ndarray",
    "numpy.dtype",
    *(f"numpy.{core}.multiarray.{function}" for core in ("core", "_core") for function in ("_reconstruct", "scalar")),
)


class _Ignored:
    """Stands for an object that is not wanted: accepts whatever it is given and keeps nothing."""

    def __new__(cls, *args: Any, **kwargs: Any) -> "_Ignored":
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any):
        """Takes any arguments."""

    def __setstate__(self, state: Any) -> None:
        """Takes any state."""


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Attributes:
        tensors: name → float32 array in PyTorch's axis order, wrappers' prefixes taken off.
        taken: the key its weights stood under, "" for a bare state dictionary.
        others: keys of the weights that were not taken.
        data_set: the name of the data set as mmpose notes it, or "".
        configuration: text of mmpose's configuration, or "".
    """

    tensors: dict[str, np.ndarray]
    taken: str = ""
    others: tuple[str, ...] = ()
    data_set: str = ""
    configuration: str = ""


def is_checkpoint(path: str | Path) -> bool:
    """Whether the name is that of a PyTorch or safetensors file."""
    return str(path).lower().endswith((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX))


def import_torch() -> Any:
    """The torch module.

    Raises:
        UserError: it is not installed, or too old to read a stranger's file safely.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(f"this needs PyTorch, which is not installed: {INSTALL}") from error
    version = re.match(r"(\d+)\.(\d+)", torch.__version__)
    if version is None or tuple(map(int, version.groups())) < SAFE_TORCH:
        least = ".".join(map(str, SAFE_TORCH))
        raise UserError(f"PyTorch {torch.__version__} cannot read checkpoints safely; {least} can: {INSTALL}")
    return torch


def read_checkpoint(path: str | Path) -> dict[str, np.ndarray]:
    """The floating-point tensors of a checkpoint: see `open_checkpoint`."""
    return open_checkpoint(path).tensors


def open_checkpoint(path: str | Path, weights: str = "auto") -> Checkpoint:
    """Reads the floating-point tensors of a checkpoint and what is noted beside them.

    A bare state dictionary, one under "state_dict" (or "model_state_dict", "model") beside other things, and
    safetensors are understood; the prefixes that wrappers put before every name ("module.", "model.", "_orig_mod.")
    are taken off. `num_batches_tracked`, which no network computes with, is left out.

    Args:
        path: the file; its content decides the PyTorch format, the suffix .safetensors that one.
        weights: "auto" takes the averaged weights only where there are no others; "ema" takes those.

    Returns:
        the tensors; float16 and bfloat16 are widened, float64 is rounded.

    Raises:
        UserError: the file is missing, damaged or holds no such thing, or wants to import something.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    if path.suffix.lower() == SAFETENSORS_SUFFIX:
        if weights == "ema":
            raise UserError(f"{path}: a safetensors file holds one set of weights; leave the option weights at auto")
        checkpoint = Checkpoint(_read_safetensors(path))
    else:
        checkpoint = _read_torch(path, weights)
    tensors = _without_wrappers(
        {name: value for name, value in checkpoint.tensors.items() if not name.endswith(_COUNTER)}
    )
    for name, value in tensors.items():
        if not np.all(np.isfinite(value)):
            raise UserError(f"{path}: tensor {name} holds values that are not finite; fetch the file anew")
    return replace(checkpoint, tensors=tensors)


def _without_wrappers(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Takes off what wrappers, also several around one another, put before every name."""
    while prefix := next((w for w in _WRAPPERS if tensors and all(name.startswith(w) for name in tensors)), ""):
        tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        import ml_dtypes  # noqa: F401  TensorFlow's; gives NumPy the bfloat16 that safetensors asks it for.
        from safetensors import SafetensorError
        from safetensors.numpy import load_file
    except ImportError as error:
        raise UserError(f"{path}: reading it needs safetensors, which is not installed: {INSTALL}") from error
    try:
        content = load_file(path)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({_first_line(error)})") from error
    kinds = {name: value.dtype for name, value in content.items()}
    _check_floating({name: kind for name, kind in kinds.items() if kind.kind != "f" and kind != "bfloat16"}, path)
    return {name: np.asarray(value, np.float32) for name, value in content.items()}


def _check_floating(others: Mapping[str, Any], path: Path) -> None:
    """Refuses tensors of other types, but the counters of batch normalisation."""
    for name, kind in others.items():
        if not name.endswith(_COUNTER):
            raise UserError(f"{path}: tensor {name} is {kind}, not floating point; quantised weights do not port")


def _read_torch(path: Path, weights: str) -> Checkpoint:
    torch = import_torch()
    if _is_torchscript(path):
        raise UserError(
            f"{path}: is a TorchScript archive, a program with its weights, not a checkpoint; save the state_dict() "
            "of what torch.jit.load reads, and convert that"
        )
    check_archive(path)
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED_GLOBALS]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {_refusal(error)}") from error
    except Exception as error:  # Zip, pickle and storage readers raise whatever they meet.
        raise UserError(f"{path}: not a whole PyTorch checkpoint ({_first_line(error)}); fetch it anew") from error
    state, taken, others = _state_dict(content, path, weights)
    state = {str(name): value for name, value in state.items() if name not in _AVERAGING_COUNTERS}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.is_meta:
            raise UserError(f"{path}: entry {name!r} is no plain tensor, so this is no state dictionary")
    _check_floating({name: value.dtype for name, value in state.items() if not value.is_floating_point()}, path)
    # A tensor may be a view that counts each number of its storage many times.
    check_size(path, sum(value.numel() * value.element_size() for value in state.values()), "its tensors would unpack")
    tensors = {name: value.detach().float().numpy() for name, value in state.items()}
    return Checkpoint(tensors, taken, others, *_notes(content))


def _is_torchscript(path: Path) -> bool:
    """Whether a file is an archive with a program's text in it."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(re.match(r"[^/]+/code/", name) for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _notes(content: Any) -> tuple[str, str]:
    """Data set and configuration, as mmpose 0.x (meta: config) and 1.x (meta: dataset_meta, cfg) note them."""
    meta = content.get("meta") if isinstance(content, Mapping) else None
    if not isinstance(meta, Mapping):
        return "", ""
    data_set = meta.get("dataset_meta")
    name = data_set.get("dataset_name") if isinstance(data_set, Mapping) else None
    texts = [meta.get(key) for key in ("cfg", "config")]
    return name if isinstance(name, str) else "", next((text for text in texts if isinstance(text, str)), "")


def _refusal(error: Exception) -> str:
    """What the restricted unpickler would not do, in a few words."""
    wanted = re.search(r"GLOBAL\s+([\w.]+)", str(error))
    if wanted:
        return f"refused, because it wants to import {wanted.group(1)}: a checkpoint of weights needs no code"
    return "not a PyTorch checkpoint of weights alone, or a damaged one"


def _state_dict(content: Any, path: Path, weights: str) -> tuple[Mapping[str, Any], str, tuple[str, ...]]:
    """Finds the state dictionary in what a checkpoint holds: it, its key, and the keys of other weights."""
    taken: list[str] = []
    others: list[str] = []
    for _ in range(2):
        if not isinstance(content, Mapping) or not content:
            raise UserError(f"{path}: holds no state dictionary but {type(content).__name__}")
        plain, averaged = (
            [key for key in keys if isinstance(content.get(key), Mapping)][:1]
            for keys in (_NESTED_KEYS, _AVERAGED_KEYS)
        )
        found = averaged + plain if weights == "ema" else plain + averaged
        if not found:
            break
        taken, others = [*taken, found[0]], [*others, *found[1:]]
        content = content[found[0]]
    if weights == "ema" and not set(taken) & set(_AVERAGED_KEYS):
        raise UserError(f"{path}: holds no averaged weights ({', '.join(_AVERAGED_KEYS)}); leave weights at auto")
    return content, ".".join(taken), tuple(others)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]


def write_checkpoint(tensors: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes a bare state dictionary, whole or not at all.

    Args:
        tensors: name → float32 array in PyTorch's axis order.
        path: .safetensors, or a suffix of PyTorch's.

    Raises:
        UserError: another suffix, the package for it is not installed, or the place cannot be written to.
    """
    if not is_checkpoint(path):
        suffixes = ", ".join((*TORCH_SUFFIXES, SAFETENSORS_SUFFIX))
        raise UserError(f"{path}: a checkpoint's name ends in one of {suffixes}")
    contiguous = {name: np.array(value, np.float32, order="C") for name, value in tensors.items()}
    if str(path).lower().endswith(SAFETENSORS_SUFFIX):
        try:
            from safetensors.numpy import save
        except ImportError as error:
            raise UserError(f"{path}: writing it needs safetensors, which is not installed: {INSTALL}") from error
        content = save(contiguous)
    else:
        torch, buffer = import_torch(), io.BytesIO()
        torch.save({name: torch.from_numpy(value) for name, value in contiguous.items()}, buffer)
        content = buffer.getvalue()
    # Through memory: `atomic_path` knows what a full disk says, PyTorch's writer has errors of its own for it.
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
