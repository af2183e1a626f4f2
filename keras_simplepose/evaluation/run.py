"""One evaluation from files: a model or none, annotations, images, boxes."""

import os
from dataclasses import replace

from keras_simplepose.config import CodecConfig, EvaluationConfig, EvaluationDataConfig
from keras_simplepose.core.spec import PoseSpec
from keras_simplepose.data.annotations import load_configured
from keras_simplepose.data.coco import load_detections
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.evaluation.codec_ceiling import codec_ceiling, codec_spec
from keras_simplepose.evaluation.evaluator import EvaluationResult, evaluate_pckh, evaluate_predictor
from keras_simplepose.media.images import check_image_folder
from keras_simplepose.prediction.predictor import PosePredictor
from keras_simplepose.utils.files import check_writable
from keras_simplepose.utils.workers import Workers


def evaluate(
    config: EvaluationDataConfig,
    evaluation: EvaluationConfig,
    codec: CodecConfig,
    output: str | os.PathLike = "",
    progress: bool = True,
    workers: Workers | None = None,
) -> tuple[EvaluationResult, PersonSet, PoseSpec]:
    """Evaluates what a configuration names.

    Args:
        config: model, annotations, images, boxes and metric.
        evaluation: the protocol.
        codec: the frame, if there is no model.
        output: folder the result is going to be written to, which is checked before the work; "" for none.
        progress: shows a progress bar.
        workers: the processes to share the images out among; see `evaluate_predictor`.

    Returns:
        the result, the persons it was measured on, and the frame of the network.

    Raises:
        UserError: a file is missing or faulty, files do not fit each other, or the output cannot be written to.
    """
    if config.images:
        check_image_folder(config.images)
    predictor = PosePredictor.load(config.model, evaluation) if config.model else None
    spec = predictor.spec if predictor else codec_spec(codec)
    persons = load_configured(config, spec.skeleton)
    notes: dict[str, int] = {}
    detections = load_detections(config.detections, persons, notes) if config.detections else None
    if output:
        check_writable(output)
    if config.codec_only or predictor is None:
        result = codec_ceiling(persons, spec, evaluation)
    elif config.metric == "pckh":
        result = evaluate_pckh(
            predictor,
            persons,
            config.images,
            config.head_boxes,
            progress=progress,
            skip_damaged=config.skip_damaged,
            orientation=config.orientation,
        )
    else:
        result = evaluate_predictor(
            predictor,
            persons,
            config.images,
            detections,
            evaluation,
            minimum_box_score=config.minimum_box_score,
            progress=progress,
            skip_damaged=config.skip_damaged,
            orientation=config.orientation,
            workers=workers,
        )
    counts = result.counts | {note.replace(" ", "_"): count for note, count in notes.items()}
    return replace(result, counts=counts), persons, spec
