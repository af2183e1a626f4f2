"""Writes the SavedModel that TF Serving loads as it is: signatures, sidecar, and requests to warm up with."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.config import ExportConfig
from keras_simplepose.detection.graph import best_persons
from keras_simplepose.exporting.artefact import Artefact
from keras_simplepose.exporting.person_finder import PersonFinder
from keras_simplepose.exporting.signatures import (
    Endpoint,
    crops_endpoint,
    heatmaps_endpoint,
    image_endpoint,
    persons_bytes_endpoint,
    persons_endpoint,
    serving_endpoint,
)
from keras_simplepose.exporting.subpixel import in_subpixel_form
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.prediction.exported_model import METADATA_NAME, ArtefactMetadata

FOLDER = "savedmodel"
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"  # Where TF Serving looks for them, and under this name.
_WARMUP_IMAGE = (480, 640)  # Height and width of the photograph in the warm-up requests.


def endpoints(
    model: keras.Model,
    metadata: ArtefactMetadata,
    honour_orientation: bool,
    jit_compile: bool,
    finder: PersonFinder | None = None,
) -> dict[str, Endpoint]:
    """The SavedModel's signatures; all call one traced network, those of everybody's poses a detector before it."""
    if jit_compile:
        model = in_subpixel_form(model)  # XLA's transposed convolutions on CPUs take twice the time.
    crop = tf.TensorSpec((None, *metadata.spec.input_size, 3), tf.float32)
    some_crops = tf.function(
        lambda crops: model(crops, training=False), input_signature=[crop], jit_compile=jit_compile or None
    )

    def network(crops: Any) -> Any:
        # oneDNN's convolutions answer an empty batch with one of the wrong shape, so that one gets a blank crop.
        count = tf.shape(crops)[0]
        blank = tf.cast(count == 0, tf.int32)
        return some_crops(tf.pad(crops, [[0, blank], [0, 0], [0, 0], [0, 0]]))[:count]

    image = image_endpoint(network, metadata)
    everybody: dict[str, Endpoint] = {}
    if finder:
        find = lambda photograph: best_persons(*finder.candidates(photograph), finder.threshold)  # noqa: E731
        persons = persons_endpoint(find, image[0])
        everybody = {"persons": persons_bytes_endpoint(persons[0], honour_orientation), "persons_image": persons}
    return {
        "serving_default": serving_endpoint(image[0], honour_orientation),
        "image": image,
        "crops": crops_endpoint(network, metadata),
        "crops_uint8": crops_endpoint(network, metadata, dtype="uint8"),
        "heatmaps": heatmaps_endpoint(network, metadata.spec),
        **everybody,
    }


def names(config: ExportConfig, output: Path) -> list[str]:
    """The folder, under the version asked for or the next one."""
    return [f"{FOLDER}/{config.version or next_version(output / FOLDER)}"]


def plan(
    config: ExportConfig, model: keras.Model, whole: ArtefactMetadata, output: Path, reading: ImageReading
) -> list[Artefact]:
    """One folder."""
    (name,) = names(config, output)
    finder = PersonFinder.from_config(config)
    if finder:
        whole = dataclasses.replace(whole, persons=finder.to_dict())
    flags = (config.honour_orientation, config.jit_compile, finder)
    return [Artefact(name, whole, lambda path: write_saved_model(model, path, whole, *flags), finder)]


def next_version(folder: Path) -> int:
    """One more than the highest numbered folder there, 1 where there is none."""
    numbers = [int(child.name) for child in folder.glob("*") if child.name.isdecimal()]
    return max(numbers, default=0) + 1


def write_saved_model(
    model: keras.Model,
    folder: Path,
    metadata: ArtefactMetadata,
    honour_orientation: bool = False,
    jit_compile: bool = False,
    finder: PersonFinder | None = None,
) -> None:
    """Writes a SavedModel.

    Args:
        model: a float32 pose network.
        folder: to write to; TF Serving wants its name to be a number.
        metadata: spec and flip test.
        honour_orientation: `serving_default` turns photographs as their EXIF data say.
        jit_compile: the network is compiled by XLA when first called with a number of crops.
        finder: the person detector for the signatures `persons` and `persons_image`; None: they are left out.
    """
    archive = keras.export.ExportArchive()
    for name, (function, signature) in endpoints(model, metadata, honour_orientation, jit_compile, finder).items():
        archive.add_endpoint(name, function, signature)
    archive.write_out(str(folder), verbose=False)
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / METADATA_NAME).write_text(metadata.to_json() + "\n")
    warmup = folder / WARMUP_FILE
    warmup.parent.mkdir()
    with tf.io.TFRecordWriter(str(warmup)) as writer:
        for name, inputs in warmup_inputs(metadata, finder is not None).items():
            writer.write(prediction_log(name, inputs))


def warmup_inputs(metadata: ArtefactMetadata, with_persons: bool = False) -> dict[str, dict[str, np.ndarray]]:
    """One small request for each signature."""
    height, width = _WARMUP_IMAGE
    image = np.full((height, width, 3), 128, np.uint8)
    boxes = np.array([[width / 4, height / 4, width / 4, height / 2]], np.float32)
    crops = np.full((1, *metadata.spec.input_size, 3), 128, np.float32)
    jpeg = np.array(tf.io.encode_jpeg(image).numpy(), object)
    return {
        "serving_default": {"image_bytes": jpeg, "boxes": boxes},
        "image": {"image": image, "boxes": boxes},
        "crops": {"crops": crops},
        "crops_uint8": {"crops": crops.astype(np.uint8)},
        "heatmaps": {"crops": crops},
        **({"persons": {"image_bytes": jpeg}, "persons_image": {"image": image}} if with_persons else {}),
    }


def prediction_log(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """TF Serving's protobuf message `PredictionLog` of one predict request.

    Written by hand: its classes come in tensorflow-serving-api alone. Fields by number: PredictionLog.predict_log
    6, PredictLog.request 1, PredictRequest.model_spec 1 and inputs 2 (a map: key 1, value 2), ModelSpec.signature_name
    3.
    """
    request = _field(1, _field(3, signature.encode()))
    for name, value in inputs.items():
        tensor = tf.make_tensor_proto(value).SerializeToString()
        request += _field(2, _field(1, name.encode()) + _field(2, tensor))
    return _field(6, _field(1, request))


def _field(number: int, payload: bytes) -> bytes:
    """A protobuf field of wire type 2: its tag, the payload's length as a varint, the payload."""
    length, digits = len(payload), bytearray([number << 3 | 2])
    while length > 0x7F:
        digits.append(length & 0x7F | 0x80)
        length >>= 7
    digits.append(length)
    return bytes(digits) + payload
