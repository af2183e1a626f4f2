"""Published files, fetched once into a folder of the user's."""

import os
import urllib.error
from pathlib import Path

from keras_simplepose.models.presets import Preset, find_preset
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path, file_hash

HUB = "hf://"  # How Keras writes the address of a model on the Hugging Face Hub.
_INSTALL_HUB = "pip install 'keras_simplepose[hub]'"


def cache_folder() -> Path:
    """Where fetched and converted files are kept: below KERAS_HOME, else below .keras in the home folder."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras_simplepose"


def cached_path(preset: Preset) -> Path:
    """Where a preset's file is, or will be."""
    return cache_folder() / preset.file


def fetch(preset: Preset) -> Path:
    """A preset's file, from the cache or its address; it shows its progress.

    Every process writes to a place of its own and renames, so that several may fetch the same file at once.

    Raises:
        UserError: it is not to be had, and what to do; or its hash is not the publisher's.
    """
    path = cached_path(preset)
    if not path.is_file():
        _download(preset, path)
    elif fault := _fault(preset, path):
        raise UserError(f"{path}: {fault}; delete it, and it is fetched anew")
    return path


def _download(preset: Preset, path: Path) -> None:
    import keras

    with atomic_path(path) as temporary:
        figure = f"{preset.figure} ({preset.protocol}); " if preset.figure else ""
        print(f"{preset.name}: {figure}licence: {preset.licence}; {preset.source}")
        try:
            keras.utils.get_file(temporary.name, preset.address, cache_dir=str(temporary.parent), cache_subdir="")
        except Exception as error:  # Keras raises bare exceptions; urllib and sockets theirs.
            if isinstance(error.__context__, urllib.error.HTTPError):
                error.__context__.close()  # It is the answer too, which Keras leaves open.
            raise UserError(
                f"{preset.name}: cannot be fetched ({_reason(error, preset.address)}); get {preset.address} in another "
                f"way and put it into {path.parent}"
            ) from error
        if fault := _fault(preset, temporary):
            raise UserError(f"{preset.name}: what {preset.address} gave {fault}; try again later")


def _fault(preset: Preset, path: Path) -> str:
    """What is wrong with a file's hash, or ""."""
    digest = file_hash(path)
    if digest.startswith(preset.sha256):
        return ""
    return f"has the SHA-256 {digest[: len(preset.sha256)]}… instead of {preset.sha256}…, so it is damaged or another"


def _reason(error: Exception, address: str) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text.removeprefix(f"URL fetch failure on {address}: ").removeprefix("None -- ")[:160]


def weights_file(text: str, kind: str) -> str:
    """The file of what was given for one: a path as it is, a name's file fetched.

    Raises:
        UserError: as `find_preset` and `fetch`.
    """
    if Path(text).exists():
        return text
    preset = find_preset(text, kind)
    return text if preset is None else str(fetch(preset))


def hub_folder(address: str) -> Path:
    """The files of a model on the Hugging Face Hub, which `keras.saving.load_model` reads as a folder.

    Args:
        address: hf://OWNER/NAME, as for `keras.saving.load_model`.

    Raises:
        UserError: huggingface_hub is not installed, or the files are not to be had.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(f"{address}: needs huggingface_hub, which is not installed: {_INSTALL_HUB}") from error
    try:
        return Path(huggingface_hub.snapshot_download(address.removeprefix(HUB), library_name="keras"))
    except Exception as error:  # Of the hub, of its HTTP library, of the disk.
        raise UserError(f"{address}: cannot be fetched ({_reason(error, address)})") from error
