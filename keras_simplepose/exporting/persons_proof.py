"""The proof of a file with a person detector inside: everybody's pose beside those of the Keras networks."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np

from keras_simplepose.config import EvaluationConfig
from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.suppression import overlaps
from keras_simplepose.exporting.artefact import Artefact
from keras_simplepose.exporting.examples import Photograph
from keras_simplepose.exporting.person_finder import PersonFinder
from keras_simplepose.exporting.proof import (
    BOXES,
    NOISE,
    Comparison,
    best_time,
    compare,
    folder_bytes,
    make_reference,
    run_saved_model,
    to_crop,
)
from keras_simplepose.prediction.exported_model import tflite_signature
from keras_simplepose.utils.errors import UserError

SAME_PERSON = 0.5  # IoU from which on a quantised file's box is the Keras detector's.


def prove_persons(
    path: Path,
    artefact: Artefact,
    model: keras.Model,
    photographs: Sequence[Photograph],
    protocol: EvaluationConfig,
) -> list[Comparison]:
    """Compares everybody's poses with those of the Keras networks.

    The boxes are held to the Keras detector's, the keypoints to the Keras pose network's in the file's own boxes: a box
    that is off by noise would move a crop's rounded pixels.

    Raises:
        UserError: nobody is found in the photographs, so that nothing would be proven.
    """
    finder, images = artefact.finder, [each.image for each in photographs]
    assert finder is not None
    detect = finder.reference()
    wanted = [detect(image) for image in images]
    if not any(map(len, wanted)):
        raise UserError(
            f"{artefact.name}: the detector finds nobody in the photographs of the proof; give some as proof_images, "
            "or another detector_threshold"
        )
    answers, milliseconds, size = (_run_folder if path.is_dir() else _run_file)(path, images)
    quantized, rows = artefact.metadata.quantize != "none", []
    row: dict[str, Any] = {"artefact": artefact.name, "bytes": size}
    room = None if path.is_dir() else finder.most
    for signature, results in answers.items():
        found = [_present(each) for each in results]
        compared = [
            _box_differences(persons, each, image.shape[:2], finder, room, quantized)
            for persons, each, image in zip(wanted, found, images, strict=True)
        ]
        distances = [distance for each, _ in compared for distance in each]
        rows.append(
            Comparison(
                signature=signature + BOXES,
                quantized=quantized,
                points=sum(len(each.boxes[:room]) for each in wanted),
                compared=len(distances),
                largest=max(distances, default=float("inf")),
                mean=float(np.mean(distances)) if distances else float("inf"),
                score=max((score for _, each in compared for score in each), default=0.0),
                milliseconds=None,
                **row,
            )
        )
        boxed = [
            Photograph(image, each["boxes"]) for image, each in zip(images, found, strict=True) if len(each["boxes"])
        ]
        if not boxed:
            continue
        reference = make_reference(model, boxed, protocol)
        keypoints = to_crop(reference.matrices, np.concatenate([each["keypoints"] for each in found]))
        threshold = protocol.keypoint_threshold if quantized else None
        row_time = milliseconds.get(signature)
        rows.append(compare(reference, keypoints, threshold, signature=signature, milliseconds=row_time, **row))
    return rows


def _run_folder(path: Path, images: Sequence[np.ndarray]) -> tuple[dict[str, list], dict[str, float], int]:
    """Results of a SavedModel by signature and photograph; milliseconds a photograph; its bytes."""
    inputs: dict[str, np.ndarray] = {}
    numbers = range(len(images))
    for number, image in enumerate(images):
        inputs[f"{number}/persons/image_bytes"] = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        inputs[f"{number}/persons_image/image"] = image
    outputs = run_saved_model(path, inputs)
    names, signatures = ("boxes", "box_scores", "keypoints", "scores"), ("persons", "persons_image")
    results = {
        key: [{name: outputs[f"{number}/{key}/{name}"] for name in names} for number in numbers]
        for key in (signature + loader for loader in ("", "@session") for signature in signatures)
    }
    seconds = {key: np.mean([outputs[f"{number}/{key}/seconds"] for number in numbers]) for key in signatures}
    return results, {key: 1e3 * float(value) for key, value in seconds.items()}, folder_bytes(path)


def _run_file(path: Path, images: Sequence[np.ndarray]) -> tuple[dict[str, list], dict[str, float], int]:
    """The same of a TFLite file."""
    runner = tflite_signature(path, "persons_image")
    # What a runner gives is overwritten by its next call.
    results = [{name: np.array(value) for name, value in runner(image=image).items()} for image in images]
    return (
        {"persons_image": results},
        {"persons_image": best_time(lambda: runner(image=images[-1]))},
        path.stat().st_size,
    )


def _present(result: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the rows that stand for nobody."""
    kept = result["box_scores"] > 0
    return {name: value[kept] for name, value in result.items()}


def _box_differences(
    wanted: PersonBoxes,
    found: dict[str, np.ndarray],
    image_size: tuple[int, int],
    finder: PersonFinder,
    room: int | None,
    quantized: bool,
) -> tuple[list[float], list[float]]:
    """How far corners are off in the detector's input pixels, and scores; infinitely for who is missing or made up.

    One who scores nearer than noise to the threshold, or to the last whom there is room for, may be missing or there;
    of a quantised file anybody may, since its limits are on averages.
    """
    lowest = max([finder.threshold, *(wanted.scores[room : room + 1] if room else ())])
    scale = min(side / limit for side, limit in zip(finder.spec.input_size, image_size, strict=True))
    boxes = wanted.boxes[:room]
    shares = np.array(overlaps(np.concatenate([boxes, found["boxes"]])))[: len(boxes), len(boxes) :]
    distances, scores, taken = [], [], set()
    for index, row in enumerate(shares):
        best = int(row.argmax()) if len(row) else -1
        if best < 0 or row[best] < SAME_PERSON:
            if wanted.scores[index] > lowest + NOISE and not quantized:
                distances.append(float("inf"))
            continue
        taken.add(best)
        shares[:, best] = 0  # Each serves one person: two may overlap by more than half.
        difference = boxes[index] - found["boxes"][best]
        corners = np.concatenate([difference[:2], difference[:2] + difference[2:]])
        distances.append(float(np.abs(corners).max() * scale))
        scores.append(float(abs(wanted.scores[index] - found["box_scores"][best])))
    if not quantized:
        made_up = sum(score > lowest + NOISE for place, score in enumerate(found["box_scores"]) if place not in taken)
        distances += [float("inf")] * made_up
    return distances, scores
