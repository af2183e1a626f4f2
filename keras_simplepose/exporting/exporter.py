"""Exports a model: writes the artefacts aside, proves each against the model, and only then puts them in place."""

import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_simplepose.config import EvaluationConfig, ExportConfig, ProofConfig
from keras_simplepose.conversion.named_models import load_model, model_file
from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.exporting import onnx, saved_model, tflite
from keras_simplepose.exporting.artefact import Artefact, ExportFormat
from keras_simplepose.exporting.examples import Photograph, drawn_photographs, read_photographs
from keras_simplepose.exporting.persons_proof import prove_persons
from keras_simplepose.exporting.proof import (
    Comparison,
    faults,
    make_reference,
    prove_file,
    prove_saved_model,
    table,
    with_precision,
)
from keras_simplepose.media.orientation import ImageReading, Orientation
from keras_simplepose.models.stages import decoded_by, last_stage, pose_spec
from keras_simplepose.prediction.exported_model import ArtefactMetadata, import_openvino
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs, file_hash, record_results, write_json
from keras_simplepose.utils.names import look_up


def _of(module: Any) -> ExportFormat:
    return ExportFormat(module.names, module.plan, module.__doc__)


# A new format is a module with `names` and `plan`, and a line here.
FORMATS: dict[str, ExportFormat] = {
    "savedmodel": _of(saved_model),
    "tflite": _of(tflite),
    "onnx": _of(onnx),
}
REPORT = "export_report.json"


def export(
    config: ExportConfig,
    proof: ProofConfig | None = None,
    protocol: EvaluationConfig | None = None,
    show: Callable[[str], None] = print,
) -> list[Comparison]:
    """Exports a model as the configuration says.

    Args:
        config: what and where to.
        proof: what the artefacts are proven on, and within which limits.
        protocol: flip test, shift and threshold, which go into the artefacts; the rest counts where AP is measured.
        show: is given the table of the proof.

    Returns:
        the proof. The artefacts and export_report.json are in the output folder.

    Raises:
        UserError: a package is missing, or an artefact is not the model: then none is left behind.
    """
    proof, protocol = proof or ProofConfig(), protocol or EvaluationConfig()
    if proof.openvino:
        import_openvino()
    output, reading = Path(config.output), ImageReading(config.orientation)
    inputs = [config.model, config.calibration, config.calibration_annotations, config.detector]
    check_outputs(
        [output / name for name in (*_names(config, output), REPORT)],
        [*inputs, proof.proof_images, proof.proof_annotations],
    )
    model = decoded_by(in_float32(last_stage(load_model(config.model))), protocol.decoding)
    evidence = _evidence(proof, pose_spec(model), reading)
    is_new = not output.exists()
    try:
        output.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".export-", dir=output))
    except OSError as error:
        raise UserError(f"cannot write to {output}: {error.strerror or error}") from error
    try:
        artefacts = plan(config, protocol, model, output, reading)
        _check_space(model, {output: len(artefacts), Path(tempfile.gettempdir()): 2})
        with _full_disk_named(output, staging):
            for artefact in artefacts:
                artefact.write(_parent(staging / artefact.name))
        rows = _prove(proof, protocol, model, artefacts, staging, show, evidence)
        with _full_disk_named(output, staging):
            for artefact in artefacts:
                _move(staging / artefact.name, _parent(output / artefact.name))
        write_json(output / REPORT, report(config, proof, protocol, rows))
        record_results(*(output / name for name in (*(each.name for each in artefacts), REPORT)))
        if warning := reading.warning():
            show(f"warning: {warning}")
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if is_new:
            shutil.rmtree(output, ignore_errors=True)
        raise
    shutil.rmtree(staging, ignore_errors=True)
    return rows


def _check_space(model: keras.Model, copies: Mapping[Path, int]) -> None:
    """Refuses folders without room for so many copies of the weights, before TensorFlow writes a part of them."""
    size = sum(weight.numpy().nbytes for weight in model.weights)
    for folder, count in copies.items():
        free = shutil.disk_usage(folder).free
        if free < count * size:
            raise UserError(
                f"cannot write to {folder}: {free / 1e6:.1f} MB are free, {count * size / 1e6:.1f} are needed; "
                "free space or choose another place (for temporary files by the variable TMPDIR)"
            )


@contextlib.contextmanager
def _full_disk_named(output: Path, staging: Path) -> Iterator[None]:
    """Raises the UserError behind a file that cannot be written, as Python and as TensorFlow say it."""
    try:
        yield
    except OSError as error:
        reason, cause = error.strerror or str(error), error
    except tf.errors.OpError as error:
        scratch = tempfile.gettempdir()  # Where TensorFlow Lite's converter works.
        place = next((each for each in (staging, scratch) if str(each) in error.message), None)
        if place is None:
            raise
        output = output if place == staging else Path(scratch)
        reason, cause = error.message.rpartition("; ")[2].partition(" [Op:")[0], error
    else:
        return
    raise UserError(f"cannot write to {output}: {reason[:100]}; free space or choose another place") from cause


def in_float32(model: keras.Model) -> keras.Model:
    """The model with float32 arithmetic, which serves on every device; itself if it has it already."""
    if all(layer.compute_dtype == "float32" for layer in model.layers):
        return model

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("class_name") == "DTypePolicy":
                return value | {"config": {"name": "float32"}}
            return {key: replaced(each) for key, each in value.items()}
        return type(value)(map(replaced, value)) if isinstance(value, list | tuple) else value

    copy = model.__class__.from_config(replaced(model.get_config()))
    copy.set_weights(model.get_weights())
    return copy


def _names(config: ExportConfig, output: Path) -> list[str]:
    """The artefacts that the options ask for, by their paths below the output."""
    return [file for name in config.format for file in look_up("format", name, FORMATS).names(config, output)]


def plan(
    config: ExportConfig, protocol: EvaluationConfig, model: keras.Model, output: Path, reading: ImageReading
) -> list[Artefact]:
    """The artefacts that are asked for."""
    whole = ArtefactMetadata(pose_spec(model), protocol)
    kinds = [look_up("format", name, FORMATS) for name in config.format]
    return [artefact for kind in kinds for artefact in kind.plan(config, model, whole, output, reading)]


class _Evidence(NamedTuple):
    """What a proof is made on: photographs, and what measures a predictor's AP, None without annotations."""

    photographs: list[Photograph]
    precision_of: Callable[[PosePredictor], float] | None


def _evidence(proof: ProofConfig, spec: PoseSpec, reading: ImageReading) -> _Evidence:
    """Reads it all, before the long work: its files may be none of their kind."""
    if proof.proof_images:
        photographs = read_photographs(proof.proof_images, proof.proof_annotations, spec, proof.proof_count, reading)
    else:
        photographs = drawn_photographs(proof.proof_count)
    return _Evidence(photographs, _precision_measure(proof, spec.skeleton, reading.orientation))


def _prove(
    proof: ProofConfig,
    protocol: EvaluationConfig,
    model: keras.Model,
    artefacts: list[Artefact],
    staging: Path,
    show: Callable[[str], None],
    evidence: _Evidence,
) -> list[Comparison]:
    """Compares every artefact with the model and shows the table.

    Raises:
        UserError: one is past its limits.
    """
    photographs, precision_of = evidence
    reference = make_reference(model, photographs, protocol)
    keras_precision = precision_of(PosePredictor.from_model(model, protocol)) if precision_of else None
    rows: list[Comparison] = []
    for artefact in artefacts:
        path = staging / artefact.name
        if artefact.finder:
            rows += prove_persons(path, artefact, model, photographs, protocol)
        if not artefact.takes_boxes:
            continue
        if path.is_dir():
            found = prove_saved_model(path, artefact.name, model, reference, protocol)
        else:
            found = prove_file(path, artefact.metadata, reference, protocol, proof.openvino)
        precision = precision_of(PosePredictor.load(path, protocol)) if precision_of else None
        rows += with_precision(found, precision)
    text = table(rows, reference)
    show(text if keras_precision is None else f"{text}\nIts AP is {keras_precision:.4f}.")
    wrong = [fault for row in rows for fault in faults(row, proof, keras_precision)]
    if wrong:
        more = f"; and {len(wrong) - 1} more of the kind" if len(wrong) > 1 else ""
        raise UserError(f"{wrong[0]}{more}; nothing was exported")
    return rows


def _precision_measure(
    proof: ProofConfig, skeleton: Skeleton, orientation: Orientation
) -> Callable[[PosePredictor], float] | None:
    """What measures AP on the proof's images in their annotations' boxes, read once; None without annotations."""
    if not proof.proof_annotations:
        return None
    from keras_simplepose.data.annotations import load_annotations
    from keras_simplepose.evaluation.evaluator import evaluate_predictor

    persons = load_annotations(proof.proof_annotations, proof.proof_images, skeleton)
    return lambda predictor: evaluate_predictor(
        predictor, persons, proof.proof_images, progress=False, orientation=orientation
    ).metrics["AP"]


def report(
    config: ExportConfig, proof: ProofConfig, protocol: EvaluationConfig, rows: list[Comparison]
) -> dict[str, Any]:
    """What export_report.json says."""
    return {
        "model": config.model,
        "model_sha256": file_hash(model_file(config.model)),
        "flags": dataclasses.asdict(config) | dataclasses.asdict(proof) | dataclasses.asdict(protocol),
        "comparisons": [dataclasses.asdict(row) for row in rows],
    }


def _parent(path: Path) -> Path:
    """The path, its folder made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _move(source: Path, target: Path) -> None:
    """Puts an artefact in place of an earlier one."""
    if target.is_dir():
        shutil.rmtree(target)
    os.replace(source, target)
