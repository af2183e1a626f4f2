"""Exported files as functions of crops: what lets `PosePredictor` and `evaluate` run a SavedModel, TFLite or ONNX."""

import json
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.prediction.graph import predict_crops
from keras_simplepose.utils.errors import UserError

METADATA_NAME = "keras_simplepose.json"  # In assets/ of a SavedModel, in the ZIP that ends a TFLite file.
METADATA_KEY = "keras_simplepose"  # Among an ONNX file's properties.

# Maps crops [B, H, W, 3] float32 RGB 0–255 to keypoints [B, K, 2] in crop pixels and maxima [B, K], all NumPy.
CropFunction = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
# Runs one signature: arguments by name to results by name.
Signature = Callable[..., Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class ArtefactMetadata:
    """What an artefact says about itself.

    Attributes:
        spec: of the network.
        protocol: the flip test inside and the threshold of the pose scores it computes; what else it holds is the
            caller's business.
        decoded: whether it gives keypoints; False where it gives bare heatmaps, without any flip test.
        gather_free: whether it decodes without gathers.
        quantize: "none", or how a TFLite file's weights are stored.
        persons: what there is to say of a person detector inside; None without one.
    """

    spec: PoseSpec
    protocol: EvaluationConfig
    decoded: bool = True
    gather_free: bool = False
    quantize: str = "none"
    persons: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """The metadata as text; the first keys are for readers that know nothing of this package."""
        values: dict[str, Any] = {
            "decode": self.decoded,
            "flip_test": self.decoded and self.protocol.flip_test,
            "flip_shift": self.decoded and self.protocol.flip_shift and self.spec.has_flip_shift,
            "keypoint_threshold": self.protocol.keypoint_threshold,
            "quantize": self.quantize,
            "channels": "RGB, 0 to 255",
        }
        if self.persons:
            values["persons"] = dict(self.persons)
        return json.dumps(values | self.spec.to_dict(), indent=2)

    @classmethod
    def from_json(cls, text: str, where: str) -> "ArtefactMetadata":
        """Reads what `to_json` wrote.

        Raises:
            UserError: it is damaged; the message names the artefact.
        """
        try:
            values = json.loads(text)
            protocol = EvaluationConfig(
                flip_test=bool(values["flip_test"]),
                flip_shift=bool(values["flip_shift"]),
                keypoint_threshold=float(values["keypoint_threshold"]),
            )
            return cls(
                spec=PoseSpec.from_dict(values),
                protocol=protocol,
                decoded=bool(values["decode"]),
                quantize=str(values["quantize"]),
            )
        except (KeyError, TypeError, ValueError, UserError) as error:
            raise UserError(f"{where}: its metadata are damaged ({error}); export it again") from error


def is_artefact(path: str | Path) -> bool:
    """Whether a path looks like an exported artefact: a .tflite or .onnx file, or a folder."""
    path = Path(path)
    return path.suffix in (".tflite", ".onnx") or path.is_dir()


def load_artefact(path: str | Path, config: EvaluationConfig | None = None) -> tuple[CropFunction, PoseSpec]:
    """An artefact as a function of crops.

    Args:
        path: a .tflite or .onnx file, a SavedModel's folder, or the folder of its numbered versions.
        config: protocol. None takes the flip test as the artefact has it.

    Returns:
        the function, for any number of crops, and the network's specification.

    Raises:
        UserError: it is missing, damaged, not of this package, needs a package that is not installed, or has another
            flip test inside than `config` asks for.
    """
    path = Path(path)
    if not path.exists():
        raise UserError(f"{path}: no such model")
    loaders = {".tflite": _load_tflite, ".onnx": _load_onnx}
    metadata, signature = loaders.get(path.suffix, _load_saved_model)(path)
    if not metadata.decoded:
        config = config or EvaluationConfig()
        spec = metadata.spec.decoded_by(config.decoding)
        return _decoded(signature, spec, config), spec
    if config:
        _check_protocol(path, metadata, config)

    def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keypoints = signature(crops=crops)["keypoints"]
        return keypoints[..., :2], keypoints[..., 2]

    return predict, metadata.spec


def _check_protocol(path: Path, metadata: ArtefactMetadata, wanted: EvaluationConfig) -> None:
    """Refuses options that the artefact cannot follow: silently it would be another protocol's AP."""
    inside = metadata.protocol
    if wanted.decoding not in ("model", metadata.spec.codec):
        raise UserError(
            f"{path} decodes inside, by {metadata.spec.codec}; export it anew with decoding {wanted.decoding}"
        )
    names = ["flip_test", "flip_shift"] if metadata.spec.has_flip_shift else ["flip_test"]
    for name in names if inside.flip_test or wanted.flip_test else ():
        has, asked = getattr(inside, name), getattr(wanted, name)
        if has != asked:
            state = "on" if has else "off"
            raise UserError(f"{path} was exported with {name} {state}: turn it {state} here too, or export it anew")


def _decoded(heatmaps: Signature, spec: PoseSpec, protocol: EvaluationConfig) -> CropFunction:
    """Decodes, and flips if asked to, around an artefact that gives bare heatmaps."""

    def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        network = lambda x: heatmaps(crops=np.asarray(x))["heatmaps"]  # noqa: E731
        keypoints, maxima = predict_crops(network, crops, spec, protocol)
        return np.asarray(keypoints), np.asarray(maxima)

    return predict


def _load_saved_model(path: Path) -> tuple[ArtefactMetadata, Signature]:
    import tensorflow as tf

    folder = saved_model_folder(path)
    metadata = ArtefactMetadata.from_json(_read_text(folder / "assets" / METADATA_NAME, path), str(path))
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # Protobuf, checkpoint and file errors of many types.
        raise UserError(f"{folder}: not a SavedModel this TensorFlow can load ({_first_line(error)})") from error

    def run(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        # Through `loaded`: a signature alone does not hold the variables.
        return {name: value.numpy() for name, value in loaded.signatures["crops"](crops=tf.constant(crops)).items()}

    return metadata, run


def saved_model_folder(path: Path) -> Path:
    """The folder with saved_model.pb: the path itself, or its highest numbered version.

    Raises:
        UserError: there is none.
    """
    versions = [child for child in path.iterdir() if child.name.isdecimal()] if path.is_dir() else []
    for folder in (path, *sorted(versions, key=lambda child: -int(child.name))):
        if (folder / "saved_model.pb").is_file():
            return folder
    raise UserError(f"{path}: neither a SavedModel nor a folder of numbered versions of one")


def _load_tflite(path: Path) -> tuple[ArtefactMetadata, Signature]:
    metadata = ArtefactMetadata.from_json(_read_tflite_metadata(path), str(path))
    name = "crops" if metadata.decoded else "heatmaps"
    runner = tflite_signature(path, name)

    def run(crops: np.ndarray) -> Mapping[str, np.ndarray]:
        results = [runner(crops=crop[None]) for crop in np.asarray(crops, np.float32)]
        return {name: np.concatenate([result[name] for result in results]) for name in results[0]}

    return metadata, run


def tflite_signature(path: Path, name: str) -> Signature:
    """One signature of a TFLite file, run by ai-edge-litert on all cores.

    Raises:
        UserError: the file is damaged, or ai-edge-litert is not installed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise UserError("TFLite files are run by ai-edge-litert: pip install 'keras_simplepose[tflite]'") from error
    try:
        return Interpreter(str(path), num_threads=os.cpu_count()).get_signature_runner(name)
    except (ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not a TFLite file with a signature {name!r} ({_first_line(error)})") from error


def _load_onnx(path: Path) -> tuple[ArtefactMetadata, Signature]:
    session = onnx_session(path)
    properties = session.get_modelmeta().custom_metadata_map
    if METADATA_KEY not in properties:
        raise UserError(f"{path}: not exported by keras_simplepose; it says nothing about its skeleton and codec")
    names = [output.name for output in session.get_outputs()]
    run = lambda **arguments: dict(zip(names, session.run(None, arguments), strict=True))  # noqa: E731
    return ArtefactMetadata.from_json(properties[METADATA_KEY], str(path)), run


def onnx_session(path: Path) -> Any:
    """An ONNX Runtime session on the processor.

    Raises:
        UserError: the file is damaged, or onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError("ONNX files are run by onnxruntime: pip install 'keras_simplepose[onnx]'") from error
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base class but this.
        raise UserError(f"{path}: not an ONNX file that onnxruntime can load ({_first_line(error)})") from error


def import_openvino() -> Any:
    """The openvino module.

    Raises:
        UserError: it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise UserError(
            "running files in OpenVINO needs openvino, which is not installed: pip install 'keras_simplepose[openvino]'"
        ) from error
    return openvino


def openvino_crops(path: Path) -> CropFunction:
    """A TFLite or ONNX file with decoding inside, run by OpenVINO on the processor, in float32 throughout.

    OpenVINO knows no signatures: it runs a TFLite file's first, which is `crops`.

    Raises:
        UserError: OpenVINO cannot read the file, or is not installed.
    """
    openvino = import_openvino()
    core = openvino.Core()
    try:
        # By default it may compute in bfloat16 where the processor can, which moves points.
        compiled = core.compile_model(core.read_model(str(path)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise UserError(f"{path}: OpenVINO cannot read it ({_first_line(error)})") from error
    place = next(index for index, output in enumerate(compiled.outputs) if len(output.partial_shape) == 3)

    def predict(crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        keypoints = np.concatenate([compiled(crop[None])[place] for crop in np.asarray(crops, np.float32)])
        return keypoints[..., :2], keypoints[..., 2]

    return predict


def _read_tflite_metadata(path: Path) -> str:
    """The metadata in the ZIP archive at the end of a TFLite file, where TFLite keeps associated files."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(METADATA_NAME).decode()
    except (zipfile.BadZipFile, KeyError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not exported by keras_simplepose, or damaged; it carries no metadata") from error


def _read_text(path: Path, where: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise UserError(f"{where}: not exported by keras_simplepose; it carries no {METADATA_NAME}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
