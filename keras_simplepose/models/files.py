"""Pose networks and person detectors as .keras files."""

from collections.abc import Callable
from pathlib import Path

import keras

from keras_simplepose.models.model_checks import check_detector, check_model_archive, check_network
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import atomic_path

# Each has a card, such as docs/small.md.
SHIPPED = {name: Path(__file__).parents[1] / "weights" / f"{name}.keras" for name in ("small", "person_detector")}


def model_path(name: str | Path) -> Path:
    """The file that a model's name or path stands for; a file of that very name comes before what the package ships."""
    path = Path(name)
    return path if path.exists() else SHIPPED.get(str(name), path)


def load_model(path: str | Path) -> keras.Model:
    """Loads a pose network from a .keras file or its unpacked folder, or one that the package ships by its name.

    `conversion.named_models` knows the names of what must be fetched first.

    Raises:
        UserError: the file is missing, damaged, or no pose network.
    """
    return _load(model_path(path), check_network)


def load_person_detector(path: str | Path) -> keras.Model:
    """Loads a person detector from a .keras file, or the one that the package ships by its name, `person_detector`.

    Raises:
        UserError: the file is missing, damaged, or no person detector.
    """
    return _load(model_path(path), check_detector)


def _load(path: Path, check: Callable[[keras.Model], None]) -> keras.Model:
    """The model in a file, if `check` raises no error."""
    if not (path.is_file() or (path / "config.json").is_file()):
        raise UserError(f"{path}: no such model file")
    check_model_archive(path)
    try:
        model = keras.saving.load_model(path, compile=False)
    except UserError:
        raise
    except Exception as error:  # Keras raises whatever the zip, HDF5 and JSON readers raise.
        raise UserError(
            f"{path}: not a Keras model this version can read ({str(error).splitlines()[0][:200]})"
        ) from error
    try:
        check(model)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return model


def save_model(model: keras.Model, path: str | Path) -> None:
    """Saves a pose network as a .keras file, whole or not at all.

    Raises:
        UserError: the place cannot be written to.

    Example:
        >>> import tempfile
        >>> from keras_simplepose import UserError, build_pose_model, save_model
        >>> small = {"input_size": (64, 64), "deconv_filters": (8,), "deconv_kernels": (4,)}
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     try:
        ...         save_model(build_pose_model("mobilenetv2", alpha=0.35, **small), f"{file.name}/pose.keras")
        ...     except UserError as error:
        ...         print("cannot write" in str(error))
        True
    """
    with atomic_path(path, durable=True) as temporary:
        model.save(temporary)
