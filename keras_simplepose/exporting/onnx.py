"""Writes an ONNX file with the decoding inside, by Keras's own exporter (which rests on tf2onnx)."""

import warnings
from pathlib import Path
from typing import Any

import keras

from keras_simplepose.config import ExportConfig
from keras_simplepose.exporting.artefact import Artefact
from keras_simplepose.exporting.signatures import crops_endpoint
from keras_simplepose.media.orientation import ImageReading
from keras_simplepose.prediction.exported_model import METADATA_KEY, ArtefactMetadata
from keras_simplepose.utils.errors import UserError

FILE_NAME = "pose.onnx"
BATCH = "batch"  # The name of the first dimension of every input and output.


class _Crops(keras.Model):
    """Signature `crops` as a Keras model, the form in which the exporter takes it."""

    def __init__(self, model: keras.Model, metadata: ArtefactMetadata):
        super().__init__(name="pose")
        self.model, self.metadata = model, metadata

    def call(self, crops: Any) -> dict[str, Any]:
        endpoint, _ = crops_endpoint(lambda x: self.model(x, training=False), self.metadata)
        return endpoint(crops)


def names(config: ExportConfig, output: Path) -> list[str]:
    """One file."""
    return [FILE_NAME]


def plan(
    config: ExportConfig, model: keras.Model, whole: ArtefactMetadata, output: Path, reading: ImageReading
) -> list[Artefact]:
    """One file."""
    return [Artefact(FILE_NAME, whole, lambda path: write_onnx(model, path, whole))]


def write_onnx(model: keras.Model, path: Path, metadata: ArtefactMetadata) -> None:
    """Writes an ONNX file: crops [B, H, W, 3] float32 → keypoints [B, K, 3], scores [B].

    Raises:
        UserError: onnx or tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError("ONNX export needs onnx and tf2onnx: pip install 'keras_simplepose[onnx]'") from error
    wrapper = _Crops(model, metadata)
    shape = (*metadata.spec.input_size, 3)
    wrapper(keras.ops.zeros((1, *shape)))
    signature = [keras.InputSpec(shape=(None, *shape), dtype="float32", name="crops")]
    with warnings.catch_warnings():
        # Keras mends tf2onnx for NumPy 2 by asking for numpy.object, which warns.
        warnings.simplefilter("ignore", FutureWarning)
        wrapper.export(str(path), format="onnx", verbose=False, input_signature=signature)
    document = onnx.load(str(path))
    for value in (*document.graph.input, *document.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = BATCH  # tf2onnx says unk__916 and such.
    onnx.helper.set_model_props(document, {METADATA_KEY: metadata.to_json()})
    onnx.save(document, str(path))
