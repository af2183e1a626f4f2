"""Reading and writing PyTorch checkpoints as named arrays; no checkpoint can run code.

PyTorch is an optional extra, loaded only here and where networks are compared, and only when it is needed.
"""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path

INSTALL = "pip install 'keras_simplepose[torch]'"
# Before this a crafted file can run code in spite of weights_only (CVE-2025-32434, CVE-2026-24747).
SAFE_TORCH = (2, 10)
TORCH_SUFFIXES = (".pth.tar", ".pth", ".pt", ".bin")
SAFETENSORS_SUFFIX = ".safetensors"
_NESTED_KEYS = ("state_dict", "model_state_dict", "model")
_DATA_PARALLEL_PREFIX = "module."
_COUNTER = "num_batches_tracked"

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
    """Reads the floating-point tensors of a checkpoint.

    A bare state dictionary, one under "state_dict" (or "model_state_dict", "model") beside other things, and
    safetensors are understood; a "module." before every name is taken off. `num_batches_tracked`, which no network
    computes with, is left out.

    Args:
        path: the file; its content decides the PyTorch format, the suffix .safetensors that one.

    Returns:
        name → float32 array in PyTorch's axis order; float16 and bfloat16 are widened, float64 is
        rounded.

    Raises:
        UserError: the file is missing, damaged or holds no such thing, or wants to import something.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such checkpoint")
    content = _read_safetensors(path) if path.suffix.lower() == SAFETENSORS_SUFFIX else _read_torch(path)
    tensors = {name: value for name, value in content.items() if not name.endswith(_COUNTER)}
    if all(name.startswith(_DATA_PARALLEL_PREFIX) for name in tensors):
        tensors = {name.removeprefix(_DATA_PARALLEL_PREFIX): value for name, value in tensors.items()}
    for name, value in tensors.items():
        if not np.all(np.isfinite(value)):
            raise UserError(f"{path}: tensor {name} holds values that are not finite; fetch the file anew")
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


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    torch = import_torch()
    try:
        with torch.serialization.safe_globals([(_Ignored, name) for name in _IGNORED_GLOBALS]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: {_refusal(error)}") from error
    except Exception as error:  # Zip, pickle and storage readers raise whatever they meet.
        raise UserError(f"{path}: not a whole PyTorch checkpoint ({_first_line(error)}); fetch it anew") from error
    state = _state_dict(content, path)
    for name, value in state.items():
        if not isinstance(value, torch.Tensor) or value.layout != torch.strided:
            raise UserError(f"{path}: entry {name!r} is no plain tensor, so this is no state dictionary")
    _check_floating({str(name): value.dtype for name, value in state.items() if not value.is_floating_point()}, path)
    return {str(name): value.detach().float().numpy() for name, value in state.items()}


def _refusal(error: Exception) -> str:
    """What the restricted unpickler would not do, in a few words."""
    wanted = re.search(r"GLOBAL\s+([\w.]+)", str(error))
    if wanted:
        return f"refused, because it wants to import {wanted.group(1)}: a checkpoint of weights needs no code"
    return "not a PyTorch checkpoint of weights alone, or a damaged one"


def _state_dict(content: Any, path: Path) -> Mapping[str, Any]:
    """Finds the state dictionary in what a checkpoint holds."""
    for _ in range(2):
        if not isinstance(content, Mapping) or not content:
            raise UserError(f"{path}: holds no state dictionary but {type(content).__name__}")
        nested = next((key for key in _NESTED_KEYS if isinstance(content.get(key), Mapping)), None)
        if nested is None:
            return content
        content = content[nested]
    return content


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
            from safetensors.numpy import save_file
        except ImportError as error:
            raise UserError(f"{path}: writing it needs safetensors, which is not installed: {INSTALL}") from error
        with atomic_path(path) as temporary:
            save_file(contiguous, temporary)
        return
    torch = import_torch()
    with atomic_path(path) as temporary:
        torch.save({name: torch.from_numpy(value) for name, value in contiguous.items()}, temporary)
