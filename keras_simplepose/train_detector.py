"""Command: train a person detector."""

from pathlib import Path

from keras_simplepose.config import (
    DetectorAugmentationConfig,
    DetectorDataConfig,
    DetectorModelConfig,
    DetectorOptimizationConfig,
    DetectorTrainingConfig,
    RunConfig,
)
from keras_simplepose.flags import run_command, warn
from keras_simplepose.train import check_workdir, write_flags

DESCRIPTION = """Trains a person detector on the boxes of COCO keypoint annotations and measures its box AP.

Results go to --workdir: best.keras, last.keras, curves.csv, curves.png, evaluations.jsonl, examples.png, tensorboard/,
and images/, the letterboxed images, which only a run that goes on needs. `--detector=best.keras` uses the detector; the
same command goes on where an interrupted run stopped."""

PROGRAM = "train_detector"
CONFIGS = (
    DetectorDataConfig,
    DetectorModelConfig,
    DetectorAugmentationConfig,
    DetectorOptimizationConfig,
    RunConfig,
)


def main(
    data: DetectorDataConfig,
    model: DetectorModelConfig,
    augmentation: DetectorAugmentationConfig,
    optimization: DetectorOptimizationConfig,
    run: RunConfig,
) -> None:
    """Runs the training and says where everything is."""
    from keras_simplepose.evaluation.box_metrics import FALSE_BOXES, LEAST_SIZE
    from keras_simplepose.training.detector_trainer import train_detector

    workdir = Path(run.workdir)
    inputs = [model.initial_model, model.backbone_weights, data.annotations, data.images]
    check_workdir(workdir, [*inputs, data.validation_annotations, data.validation_images], PROGRAM)
    write_flags(workdir, data, model, augmentation, optimization, run, program=PROGRAM, known=CONFIGS)
    result = train_detector(DetectorTrainingConfig(model, data, augmentation, optimization, run))
    for warning in result.warnings:
        warn(warning)
    for name, reason in result.skipped.items():
        print(f"skipped {name}: {reason}")
    print(f"\nmodel        {result.model}")
    if measured := [row for row in result.rows if "AP" in row]:
        best = max(measured, key=lambda row: row["AP"])
        print(
            f"best box AP  {best['AP']:.3f}; recall at {FALSE_BOXES:g} false box a photograph (scores from "
            f"{best['threshold']:.3f} on, the model's own threshold from now on): {best['recall_all']:.3f} of all "
            f"persons, {best['recall']:.3f} of those of at least {LEAST_SIZE} pixels"
        )
        print(f"metrics      {workdir / 'evaluations.jsonl'}")
    print(f"curves       {workdir / 'curves.png'} and {workdir / 'curves.csv'}")
    print(f"examples     {workdir / 'examples.png'}\nflags        {workdir / 'flags.cfg'}")
    print(f"to watch     tensorboard --logdir={workdir / 'tensorboard'}")


if __name__ == "__main__":
    run_command(main, PROGRAM, DESCRIPTION, *CONFIGS)
