"""Models by name: published checkpoints, fetched and converted once."""

from dataclasses import replace
from pathlib import Path

import keras

from keras_simplepose.config import ConvertConfig
from keras_simplepose.conversion.converter import convert_checkpoint, report
from keras_simplepose.conversion.torch_files import import_torch
from keras_simplepose.models import files
from keras_simplepose.models.fetching import HUB, cached_path, fetch, hub_folder
from keras_simplepose.models.presets import BACKBONE, POSE_NETWORK, Preset, find_preset
from keras_simplepose.utils.errors import UserError

# Part of the converted files' names: raise it when `convert` makes something else of the same checkpoint.
CONVERSION = 1


def model_file(name: str | Path) -> Path:
    """The file, or Keras folder, of a model: a path as it is, a name's fetched and converted unless it is there.

    Args:
        name: a path; what the package ships, such as `small`; a pose network of `models/presets.toml`; or hf://OWNER/NAME.

    Raises:
        UserError: the name is unknown or of something else than a pose network, or its file is not to be had.
    """
    path = files.model_path(name)
    if path.exists() or str(name) in files.SHIPPED:
        return path
    if str(name).startswith(HUB):
        return hub_folder(str(name))
    preset = find_preset(str(name), POSE_NETWORK)
    return path if preset is None else _converted(preset)


def load_model(name: str | Path) -> keras.Model:
    """Loads a pose network.

    Args:
        name: a .keras file; or a name: `small`, which the package ships, or one of those that
            `python -m keras_simplepose.presets` lists; or hf://OWNER/NAME.

    Raises:
        UserError: there is no such file or name, the file is damaged or no pose network, or is not to be had.

    Example:
        >>> from keras_simplepose import load_model
        >>> load_model("small").output_shape
        (None, 64, 48, 17)
    """
    return files.load_model(model_file(name))


def converted_path(preset: Preset) -> Path:
    """Where the Keras model made of a preset's file is, or will be."""
    return cached_path(preset).with_name(f"{preset.name}-{preset.sha256 or 'unchecked'}-{CONVERSION}.keras")


def with_checkpoint(config: ConvertConfig) -> ConvertConfig:
    """A configuration whose checkpoint may be a name, with its file, and what its publisher says of it for guesses.

    Raises:
        UserError: as `find_preset` and `fetch`.
    """
    if Path(config.checkpoint).exists():
        return config
    if config.checkpoint in files.SHIPPED:
        raise UserError(f"{config.checkpoint}: ships with the package as a .keras model; nothing is to be converted")
    preset = find_preset(config.checkpoint, BACKBONE if config.source == "torchvision" else POSE_NETWORK)
    if preset is None:
        return config
    import_torch()  # Before hundreds of megabytes are fetched in vain.
    skeleton, codec = config.skeleton or preset.skeleton, config.codec or preset.codec
    return replace(config, checkpoint=str(fetch(preset)), skeleton=skeleton, codec=codec)


def _converted(preset: Preset) -> Path:
    path = converted_path(preset)
    if not path.is_file():
        conversion = convert_checkpoint(with_checkpoint(ConvertConfig(checkpoint=preset.name)))
        print(report(conversion.settings))
        files.save_model(conversion.model, path)
        print(f"{preset.name}: converted once, to {path}")
    return path
