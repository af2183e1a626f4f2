"""What each codec's decoding costs, without a network: rows for `python -m keras_simplepose.benchmark`."""

import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.benchmarks.exported import Task, timed
from keras_simplepose.benchmarks.rows import Row, interleaved, make_rows
from keras_simplepose.config import BenchmarkConfig, CodecConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.evaluation.codec_ceiling import codec_spec
from keras_simplepose.exporting.tflite import convert
from keras_simplepose.prediction.exported_model import onnx_session, tflite_signature
from keras_simplepose.utils.errors import UserError

_REFERENCE = "quarter_offset"
_SECONDS = 0.15  # What a run lasts at least: a call is so short that a few measure the machine's other work.


def decoding_benchmark(config: BenchmarkConfig) -> Iterator[Row]:
    """Milliseconds a crop of reading 17 keypoints at 256×192, of every codec in every form of a file.

    Each is compared with the paper's codec in the same form.
    """
    with tempfile.TemporaryDirectory() as folder:
        tasks: dict[str, Task] = {}
        for codec in codecs.CODECS:
            spec = codec_spec(CodecConfig(codec=codec))
            heatmaps = noisy_heatmaps(spec, config.export_batch)
            for form, run in _forms(spec, heatmaps, Path(folder)).items():
                calls = _calls(run)
                reference = f"decoding/{_REFERENCE}_{form}"
                tasks[f"decoding/{codec}_{form}"] = Task(_repeated(run, calls), calls * len(heatmaps), reference)
        figures = interleaved({name: timed(task) for name, task in tasks.items()}, config.rounds)
    yield from make_rows(figures, "ms", {name: task.reference for name, task in tasks.items()})


def noisy_heatmaps(spec: PoseSpec, count: int) -> np.ndarray:
    """Targets [B, h, w, K] float32 of random keypoints with a little noise, as a network's answers have."""
    generator, (height, width) = np.random.default_rng(0), spec.input_size
    keypoints = generator.uniform(0, [width, height], (count, len(spec.skeleton.keypoints), 2)).astype(np.float32)
    targets, _ = codecs.encode(keypoints, np.ones(keypoints.shape[:2], np.float32), spec)
    return np.asarray(targets) + generator.normal(0, 0.01, targets.shape).astype(np.float32)


def _calls(run: Callable[[], Any]) -> int:
    """How many fill a run; the first ones trace, compile and fill caches."""
    for _ in range(10):
        run()
    start, calls = time.perf_counter(), 20
    for _ in range(calls):
        run()
    return max(1, round(_SECONDS * calls / (time.perf_counter() - start)))


def _repeated(run: Callable[[], Any], calls: int) -> Callable[[], Any]:
    return lambda: [run() for _ in range(calls)]


class _Decoder(keras.Model):
    """Decoding as a Keras model, the form in which the ONNX exporter takes it."""

    def __init__(self, spec: PoseSpec):
        super().__init__(name="decoder")
        self.spec = spec

    def call(self, heatmaps: Any) -> dict[str, Any]:
        keypoints, maxima = codecs.decode(heatmaps, self.spec)
        return {"keypoints": keypoints, "maxima": maxima}


def _forms(spec: PoseSpec, heatmaps: np.ndarray, folder: Path) -> dict[str, Callable[[], Any]]:
    """Form → a call; those whose packages are missing are left out."""
    decoder, signature = _Decoder(spec), tf.TensorSpec(heatmaps.shape, tf.float32, name="heatmaps")
    graph = tf.function(decoder.call, input_signature=[signature])
    compiled = tf.function(decoder.call, input_signature=[signature], jit_compile=True)
    given = tf.constant(heatmaps)
    forms: dict[str, Callable[[], Any]] = {
        "graph": lambda: graph(given)["keypoints"].numpy(),
        "xla": lambda: compiled(given)["keypoints"].numpy(),
    }
    try:
        path = folder / f"{spec.codec}.tflite"
        path.write_bytes(convert({"decode": (decoder.call, [signature])}))
        runner = tflite_signature(path, "decode")
        forms["tflite"] = lambda: runner(heatmaps=heatmaps)["keypoints"]
        session = onnx_session(_onnx_file(decoder, heatmaps, folder))
        forms["onnx"] = lambda: session.run(None, {"heatmaps": heatmaps})[0]
    except (ImportError, UserError) as error:
        print(f"left out: {error}", file=sys.stderr)
    return forms


def _onnx_file(decoder: _Decoder, heatmaps: np.ndarray, folder: Path) -> Path:
    path = folder / f"{decoder.spec.codec}.onnx"
    decoder(keras.ops.convert_to_tensor(heatmaps))
    signature = [keras.InputSpec(shape=heatmaps.shape, dtype="float32", name="heatmaps")]
    with warnings.catch_warnings():
        # Keras mends tf2onnx for NumPy 2 by asking for numpy.object, which warns.
        warnings.simplefilter("ignore", FutureWarning)
        decoder.export(str(path), format="onnx", verbose=False, input_signature=signature)
    return path
