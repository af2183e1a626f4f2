"""Writes TFLite files of built-in operators: keypoints out, or bare heatmaps, with the network quantised or not."""

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_simplepose.config import ExportConfig
from keras_simplepose.detection.graph import fixed_number
from keras_simplepose.exporting.artefact import Artefact
from keras_simplepose.exporting.examples import calibration_crops
from keras_simplepose.exporting.person_finder import PersonFinder
from keras_simplepose.exporting.signatures import (
    Endpoint,
    crops_endpoint,
    heatmaps_endpoint,
    image_endpoint,
    persons_endpoint,
)
from keras_simplepose.exporting.subpixel import in_subpixel_form
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.models.pyramid import joints
from keras_simplepose.models.visibility import head_features
from keras_simplepose.prediction.exported_model import ArtefactMetadata
from keras_simplepose.utils.errors import UserError

QUANTIZATIONS = ("none", "float16", "dynamic", "int8")


def file_name(quantize: str) -> str:
    """The name of the TFLite file: float32 is called so, whatever is quantised says how."""
    return f"pose_{'float32' if quantize == 'none' else quantize}.tflite"


def names(config: ExportConfig, output: Path) -> list[str]:
    """A file for each quantisation, and those with a person detector."""
    with_detector = _persons_quantizations(config)
    return [*map(file_name, config.quantize), *(persons_file_name(quantize) for quantize in with_detector)]


def persons_file_name(quantize: str) -> str:
    """The name of the TFLite file with a person detector inside."""
    return file_name(quantize).replace("pose_", "persons_")


def _persons_quantizations(config: ExportConfig) -> list[str]:
    """Those in which a file with a detector can be written: 8-bit arithmetic would spoil coordinates."""
    if not config.with_detector:
        return []
    usable = [quantize for quantize in config.quantize if quantize in ("none", "float16")]
    if not usable:
        raise UserError("with_detector: a TFLite file with a detector can be of quantize none and float16 alone")
    return usable


def plan(
    config: ExportConfig, model: keras.Model, whole: ArtefactMetadata, output: Path, reading: ImageReading
) -> list[Artefact]:
    """A file for each quantisation."""
    crops, artefacts = None, []
    if "int8" in config.quantize:
        crops = calibration_crops(
            config.calibration,
            config.calibration_annotations,
            whole.spec,
            config.calibration_count,
            reading,
        )
    for quantize in config.quantize:
        metadata = ArtefactMetadata(
            whole.spec, whole.protocol, config.decode != "none", config.decode == "gather_free", quantize
        )

        def write(path: Path, metadata: ArtefactMetadata = metadata) -> None:
            write_tflite(model, path, metadata, crops)

        artefacts.append(Artefact(file_name(quantize), metadata, write))
    finder = PersonFinder.from_config(config)
    for quantize in _persons_quantizations(config) if finder else ():
        assert finder is not None
        metadata = ArtefactMetadata(whole.spec, whole.protocol, quantize=quantize, persons=finder.to_dict())

        def write_persons(path: Path, metadata: ArtefactMetadata = metadata) -> None:
            write_persons_tflite(model, finder, path, metadata)

        artefacts.append(Artefact(persons_file_name(quantize), metadata, write_persons, finder, takes_boxes=False))
    return artefacts


def write_persons_tflite(model: keras.Model, finder: PersonFinder, path: Path, metadata: ArtefactMetadata) -> None:
    """Writes a TFLite file with the one signature `persons_image`, whose shapes are fixed: detector and pose network.

    Args:
        model: a float32 pose network.
        finder: the detector, and how many persons there is room for. The pose network runs for all of them.
        path: of the file.
        metadata: spec, flip test and quantisation, "none" or "float16".

    Raises:
        UserError: as `write_tflite`.
    """
    tflite_graph = _import_tflite_graph()
    pose_network = in_subpixel_form(model)

    def find(photograph: Any) -> tuple[Any, Any]:
        return fixed_number(*finder.candidates(photograph), finder.threshold, finder.most)

    poses, _ = image_endpoint(lambda crops: pose_network(crops, training=False), metadata, finder.most)
    settings = _quantizer(metadata.quantize, 1, None)
    content = tflite_graph.read_model(
        convert({"persons_image": persons_endpoint(find, poses)}, (pose_network, finder.network), settings)
    )
    tflite_graph.check_operators(content, path.name)
    for graph in content.subgraphs:
        tflite_graph.make_names_unique(graph)
    path.write_bytes(tflite_graph.write_model(content))
    tflite_graph.append_metadata(path, metadata.to_json())


def write_tflite(
    model: keras.Model,
    path: Path,
    metadata: ArtefactMetadata,
    calibration: np.ndarray | None = None,
) -> None:
    """Writes a TFLite file.

    Args:
        model: a float32 pose network.
        path: of the file.
        metadata: spec, flip test (None: signature `heatmaps` alone) and quantisation.
        calibration: [N, H, W, 3] float32 crops, for int8.

    Raises:
        UserError: ai-edge-litert is not installed, or the converter needed operators outside the bare runtime.
    """
    tflite_graph = _import_tflite_graph()
    batch = 2 if metadata.decoded and metadata.protocol.flip_test else 1
    cut = _cut(model)
    head = keras.Model(cut, model.output)
    shell = tflite_graph.read_model(convert(_shell_endpoints(head, metadata, batch), (head,)))
    features = keras.Model(model.input, cut)
    if metadata.quantize in (
        "none",
        "float16",
    ):  # XNNPACK's 8-bit transposed convolution is fast, its float one is not.
        features = in_subpixel_form(features)
    crop = tf.TensorSpec((batch, *metadata.spec.input_size, 3), tf.float32, name="crops")
    network: Endpoint = (lambda crops: {"features": features(crops, training=False)}, [crop])
    settings = _quantizer(metadata.quantize, batch, calibration)
    joined = tflite_graph.join(shell, tflite_graph.read_model(convert({"network": network}, (features,), settings)))
    tflite_graph.check_operators(joined, path.name)
    path.write_bytes(tflite_graph.write_model(joined))
    tflite_graph.append_metadata(path, metadata.to_json())


def _import_tflite_graph() -> Any:
    try:
        from keras_simplepose.exporting import tflite_graph
    except ImportError as error:
        raise UserError("TFLite export needs ai-edge-litert: pip install 'keras_simplepose[tflite]'") from error
    return tflite_graph


def _cut(model: keras.Model) -> Any:
    """What goes into the last convolution that all of a network goes through, or into its end where there is none.

    That and what comes after it stay float32 in every file: heatmaps in 8 bits have ties where the maximum is. Where a
    visibility head hears the features beside that convolution, the features.
    """
    ways = joints(model.layers)
    features = head_features(model)
    if features is not None and any(layer.output is features for layer in ways):
        return features
    return next((layer for layer in reversed(ways) if isinstance(layer, keras.layers.Conv2D)), ways[-1]).input


def _shell_endpoints(head: keras.Model, metadata: ArtefactMetadata, batch: int) -> dict[str, Endpoint]:
    """The signatures with a hole in place of all before the network's head: its argument goes out, its result in."""
    from keras_simplepose.exporting.tflite_graph import HOLE_INPUT, HOLE_OUTPUT

    hole = tf.TensorSpec((batch, *head.input.shape[1:]), tf.float32, name=HOLE_INPUT)

    def with_hole(make: Callable[[Callable[[Any], Any]], Endpoint]) -> Endpoint:
        _, signature = make(lambda crops: crops)

        def shell(*arguments: Any) -> dict[str, Any]:
            seen = []

            def network(crops: Any) -> Any:
                seen.append(crops)
                return head(arguments[-1])

            return make(network)[0](*arguments[:-1]) | {HOLE_OUTPUT: ops.reshape(seen[0], (batch, *seen[0].shape[1:]))}

        return shell, [*signature, hole]

    if not metadata.decoded:
        return {"heatmaps": with_hole(lambda network: heatmaps_endpoint(network, metadata.spec, 1))}
    return {
        "crops": with_hole(lambda network: crops_endpoint(network, metadata, 1)),
        "image": with_hole(lambda network: image_endpoint(network, metadata, 1)),
    }


def convert(
    endpoints: dict[str, Endpoint],
    networks: Sequence[keras.Model] = (),
    settings: Callable[[tf.lite.TFLiteConverter], None] | None = None,
) -> bytes:
    """Converts functions to a TFLite file, through Keras's archive: other ways lose signature names, or the weights."""
    archive = keras.export.ExportArchive()
    for network in networks:
        archive.track(network)
    for name, (function, signature) in endpoints.items():
        archive.add_endpoint(name, function, signature)
    with tempfile.TemporaryDirectory() as folder:
        archive.write_out(folder, verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(endpoints))
        if settings is not None:
            settings(converter)
        with warnings.catch_warnings():
            # Its own calibration runs what TensorFlow warns users of.
            warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)
            return converter.convert()


def _quantizer(quantize: str, batch: int, calibration: np.ndarray | None) -> Callable[[tf.lite.TFLiteConverter], None]:
    """The converter's settings for a quantisation."""

    def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
        for crop in () if calibration is None else calibration:
            # The mirror image is what a flip test shows the network beside the crop.
            yield "network", {"crops": np.stack([crop, crop[:, ::-1]][:batch])}

    def settings(converter: tf.lite.TFLiteConverter) -> None:
        if quantize == "none":
            return
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if quantize == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if quantize == "int8":
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]

    return settings
