"""The proof of an export: every artefact run beside the Keras model, each signature on the same photographs.

Decoding jumps: where two heatmap values that decide a point differ by less than float32's noise, two right
implementations may answer a pixel or more apart; and where a map is nearly flat, a second-order step makes a tenth of a
pixel of such noise. Such points are counted and left out of the pixel difference, but not
of the proof: their heatmap value must still be the Keras model's.
"""

import dataclasses
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from keras_simplepose.config import EvaluationConfig, ProofConfig
from keras_simplepose.core import codecs
from keras_simplepose.core.geometry import transform_points
from keras_simplepose.exporting import saved_model_process
from keras_simplepose.exporting.examples import Photograph, crops_of
from keras_simplepose.models.stages import pose_spec
from keras_simplepose.prediction import exported_model as artefacts
from keras_simplepose.prediction.exported_model import ArtefactMetadata
from keras_simplepose.prediction.graph import predict_heatmaps
from keras_simplepose.utils.errors import UserError

NOISE = 1e-4  # Of a crop's largest heatmap value: ten times what sums in another order were seen to differ by.
BOXES = " boxes"  # Ends the name of a signature whose boxes are compared.
_BATCH = 8
_ROUNDS = 3


@dataclass(frozen=True)
class Reference:
    """The Keras model's answers, and what they were given for.

    Attributes:
        photographs: with P boxes between them.
        crops: [P, H, W, 3] float32.
        matrices: [P, 2, 3], image → crop.
        keypoints: [P, K, 2] in crop pixels.
        maxima: [P, K].
        decided: [P, K] bool, no decision of the decoder hangs on noise.
        scale: [P], largest absolute heatmap value.
        milliseconds: a crop, in graph mode.
    """

    photographs: Sequence[Photograph]
    crops: np.ndarray
    matrices: np.ndarray
    keypoints: np.ndarray
    maxima: np.ndarray
    decided: np.ndarray
    scale: np.ndarray
    milliseconds: float


@dataclass(frozen=True)
class Comparison:
    """One signature of one artefact beside the Keras model.

    Attributes:
        artefact: its file or folder.
        signature: of it.
        quantized: the network's arithmetic is not float32, so that other limits hold.
        points: all points.
        compared: those whose distance counts: decided ones, or for a quantised file confident ones.
        largest: largest distance of a compared point, in crop pixels.
        mean: of those distances.
        score: largest difference of a heatmap value, as a share of the crop's largest.
        bytes: size of the artefact.
        milliseconds: a crop; None where it was not timed.
        average_precision: on the annotated images, if given.
    """

    artefact: str
    signature: str
    quantized: bool
    points: int
    compared: int
    largest: float
    mean: float
    score: float
    bytes: int
    milliseconds: float | None
    average_precision: float | None = None


def make_reference(
    model: keras.Model, photographs: Sequence[Photograph], protocol: EvaluationConfig, rounded: bool = False
) -> Reference:
    """Runs the Keras model on all boxes of the photographs, on crops rounded to whole numbers if asked to."""
    spec = pose_spec(model)
    crops, matrices = crops_of(photographs, spec)
    crops = np.rint(crops) if rounded else crops
    run = tf.function(
        lambda x: predict_heatmaps(lambda y: model(y, training=False), x, spec, protocol),
        input_signature=[tf.TensorSpec((None, *spec.input_size, 3), tf.float32)],
    )
    heatmaps = np.concatenate([run(crops[first : first + _BATCH]).numpy() for first in range(0, len(crops), _BATCH)])
    milliseconds = best_time(lambda: run(crops[:_BATCH]).numpy()) / len(crops[:_BATCH])
    keypoints, maxima = (np.asarray(value) for value in codecs.decode(heatmaps, spec))
    scale = np.abs(heatmaps).max(axis=(1, 2, 3))
    decided = codecs.decision_margins(heatmaps, spec) > NOISE * scale[:, None]
    return Reference(photographs, crops, matrices, keypoints, maxima, decided, scale, milliseconds)


def compare(reference: Reference, keypoints: np.ndarray, threshold: float | None, **row: Any) -> Comparison:
    """Compares keypoints [P, K, 3] in crop pixels with the reference.

    Args:
        reference: the Keras model's answers.
        keypoints: the artefact's.
        threshold: None for float32. For a quantised file: points above it are confident, and compared; if there is
            none, as with an untrained network, all are.
        **row: the rest of the `Comparison`.
    """
    distance = np.linalg.norm(keypoints[..., :2] - reference.keypoints, axis=-1)
    compared = reference.decided
    if threshold is not None:
        confident = reference.maxima > threshold
        compared = confident if confident.any() else np.ones_like(confident)
    score = np.abs(keypoints[..., 2] - reference.maxima) / np.maximum(
        reference.scale[:, None], np.finfo("float32").tiny
    )
    chosen = distance[compared]
    return Comparison(
        quantized=threshold is not None,
        points=distance.size,
        compared=int(compared.sum()),
        largest=float(chosen.max()) if chosen.size else float("inf"),
        mean=float(chosen.mean()) if chosen.size else float("inf"),
        score=float(score.max()),
        **row,
    )


def prove_saved_model(
    folder: Path, name: str, model: keras.Model, reference: Reference, protocol: EvaluationConfig
) -> list[Comparison]:
    """Runs all signatures in a fresh process that does not know this package."""
    bare = make_reference(model, reference.photographs, EvaluationConfig(flip_test=False))
    rounded = make_reference(model, reference.photographs, protocol, rounded=True)
    inputs: dict[str, np.ndarray] = {
        "all/crops/crops": reference.crops,
        "all/crops_uint8/crops": rounded.crops.astype(np.uint8),
        "all/heatmaps/crops": reference.crops,
    }
    numbers = [str(number) for number in range(len(reference.photographs))]
    for number, photograph in zip(numbers, reference.photographs, strict=True):
        png = cv2.imencode(".png", cv2.cvtColor(photograph.image, cv2.COLOR_RGB2BGR))[1]
        inputs[f"{number}/image/image"] = photograph.image
        inputs[f"{number}/serving_default/image_bytes"] = png
        for signature in ("image", "serving_default"):
            inputs[f"{number}/{signature}/boxes"] = photograph.boxes
    outputs = run_saved_model(folder, inputs)
    size, rows = folder_bytes(folder), []

    def add(signature: str, loader: str, beside: Reference, keypoints: np.ndarray, cases: Sequence[str]) -> None:
        seconds = sum(float(outputs[f"{case}/{signature}/seconds"]) for case in cases)
        # A session is how TF Serving runs it, but Python's is not worth timing.
        milliseconds = None if loader else 1e3 * seconds / len(beside.crops)
        row = {"artefact": name, "signature": signature + loader, "bytes": size, "milliseconds": milliseconds}
        rows.append(compare(beside, keypoints, None, **row))

    for loader in ("", "@session"):
        for signature in ("serving_default", "image"):
            keypoints = np.concatenate([outputs[f"{number}/{signature}{loader}/keypoints"] for number in numbers])
            add(signature, loader, reference, to_crop(reference.matrices, keypoints), numbers)
        for signature, beside in (("crops", reference), ("crops_uint8", rounded)):
            add(signature, loader, beside, outputs[f"all/{signature}{loader}/keypoints"], ["all"])
        points, maxima = codecs.decode(outputs[f"all/heatmaps{loader}/heatmaps"], pose_spec(model))
        add("heatmaps", loader, bare, np.concatenate([points, maxima[..., None]], axis=-1), ["all"])
    return rows


def run_saved_model(folder: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The outputs of `saved_model_process` for its inputs.

    Raises:
        UserError: the process failed; the message has its last line.
    """
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(Path(scratch) / name) for name in ("inputs.npz", "outputs.npz")]
        np.savez(files[0], allow_pickle=False, **inputs)
        # -I: neither the working folder nor the environment can bring this package in.
        command = [sys.executable, "-I", saved_model_process.__file__, str(folder), *files]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"the SavedModel does not run in a process of its own: {last[:300]}")
        with np.load(files[1]) as outputs:
            return dict(outputs)


def prove_file(
    path: Path,
    metadata: ArtefactMetadata,
    reference: Reference,
    protocol: EvaluationConfig,
    in_openvino: bool = False,
) -> list[Comparison]:
    """Runs a TFLite or ONNX file: `crops`, or the bare heatmaps decoded here, and `image` where there is one.

    With `in_openvino`, also `crops` in OpenVINO.
    """
    predict, _ = artefacts.load_artefact(path, protocol)
    milliseconds = best_time(lambda: predict(reference.crops[:1]))
    threshold = metadata.protocol.keypoint_threshold if metadata.quantize != "none" else None
    points, maxima = predict(reference.crops)
    row = {"artefact": path.name, "bytes": path.stat().st_size}
    signature = "crops" if metadata.decoded else "heatmaps"
    keypoints = np.concatenate([points, maxima[..., None]], axis=-1)
    rows = [compare(reference, keypoints, threshold, signature=signature, milliseconds=milliseconds, **row)]
    if in_openvino and metadata.decoded:
        predict = artefacts.openvino_crops(path)
        milliseconds = best_time(lambda: predict(reference.crops[:1]))
        points, maxima = predict(reference.crops)
        keypoints = np.concatenate([points, maxima[..., None]], axis=-1)
        row_name = "crops@openvino"
        rows.append(compare(reference, keypoints, threshold, signature=row_name, milliseconds=milliseconds, **row))
    if path.suffix == ".tflite" and metadata.decoded:
        runner = artefacts.tflite_signature(path, "image")
        calls = [{"image": each.image, "boxes": box[None]} for each in reference.photographs for box in each.boxes]
        keypoints = to_crop(reference.matrices, np.concatenate([runner(**call)["keypoints"] for call in calls]))
        milliseconds = best_time(lambda: runner(**calls[-1]))
        rows.append(compare(reference, keypoints, threshold, signature="image", milliseconds=milliseconds, **row))
    return rows


def to_crop(matrices: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
    """Keypoints [P, K, 3] from image pixels to crop pixels."""
    return np.concatenate([transform_points(matrices, keypoints[..., :2]), keypoints[..., 2:]], axis=-1)


def faults(row: Comparison, limits: ProofConfig, keras_precision: float | None) -> list[str]:
    """What of a comparison is past the limits, in words."""
    where = f"{row.artefact}, {row.signature}"
    point, value = ("box", "score") if row.signature.endswith(BOXES) else ("keypoint", "heatmap value")
    if not row.compared:
        return [
            f"{where}: not one of {row.points} {point} positions is decided by more than noise, so nothing is proven"
        ]
    found = []
    if not row.quantized:
        if not row.largest <= limits.tolerance:
            found.append(f"{where}: a {point} is {row.largest:.3g} px off (tolerance is {limits.tolerance:g})")
        if not row.score <= NOISE:
            found.append(f"{where}: a {value} is {row.score:.2g} of the largest off (limit {NOISE:g})")
    elif row.average_precision is not None and keras_precision is not None:
        loss = keras_precision - row.average_precision
        if not loss <= limits.maximum_ap_loss:
            found.append(f"{where}: AP is {loss:.4f} lower (maximum_ap_loss is {limits.maximum_ap_loss:g})")
    elif not row.mean <= limits.quantized_tolerance:
        limit = f"quantized_tolerance is {limits.quantized_tolerance:g}"
        found.append(f"{where}: {point} positions are {row.mean:.3g} px off on average ({limit})")
    return found


def table(rows: Sequence[Comparison], reference: Reference) -> str:
    """The comparisons as lines of text."""
    lines = [
        f"{'artefact':<21} {'signature':<23} {'MB':>7} {'compared':>12} {'largest px':>11} {'mean px':>9} "
        f"{'score':>8} {'ms/crop':>8} {'AP':>6}"
    ]
    for row in rows:
        precision = "" if row.average_precision is None else f"{row.average_precision:.4f}"
        milliseconds = "" if row.milliseconds is None else f"{row.milliseconds:.1f}"
        lines.append(
            f"{row.artefact:<21} {row.signature:<23} {row.bytes / 1e6:>7.2f} {row.compared:>5} of {row.points:<4}"
            f" {row.largest:>10.5f} {row.mean:>9.5f} {row.score:>8.1e} {milliseconds:>8} {precision:>6}"
        )
    lines.append(f"The Keras model takes {reference.milliseconds:.1f} ms a crop in graph mode.")
    return "\n".join(lines)


def folder_bytes(folder: Path) -> int:
    """The size of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def with_precision(rows: Sequence[Comparison], precision: float | None) -> list[Comparison]:
    """The rows with the artefact's AP."""
    return [dataclasses.replace(row, average_precision=precision) for row in rows]


def best_time(call: Callable[[], Any]) -> float:
    """The best of a few calls, in milliseconds."""
    call()
    seconds = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return 1e3 * min(seconds)
