"""Command: train a pose network."""

from collections.abc import Sequence
from pathlib import Path

from keras_simplepose.config import (
    AugmentationConfig,
    EvaluationConfig,
    ModelConfig,
    OptimizationConfig,
    RunConfig,
    SyntheticDataConfig,
    TrainingConfig,
    TrainingDataConfig,
)
from keras_simplepose.flags import CommandLine, flag_name, flagfile_title, run_command, warn, write_flagfile
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs

DESCRIPTION = """Trains a pose network and measures its AP.

Data: --prepared (what prepare wrote), or --annotations and --images, or --synthetic_images.
Results go to --workdir: best.keras, last.keras, curves.csv, curves.png, timings.csv, evaluations.jsonl, examples.png,
tensorboard/, checkpoints/.
The same command goes on where an interrupted run stopped, to the same weights. SIGTERM and Ctrl-C write a checkpoint
first and end with status 143 and 130."""

CONFIGS = (
    TrainingDataConfig,
    SyntheticDataConfig,
    ModelConfig,
    AugmentationConfig,
    OptimizationConfig,
    RunConfig,
    EvaluationConfig,
)

FLAGS_NAME = "flags.cfg"
# What a run writes into the workdir, beside the folders.
WRITTEN = (
    *(FLAGS_NAME, "best.keras", "last.keras", "curves.csv", "curves.png", "evaluations.jsonl", "examples.png"),
    *("last_ema.keras", "timings.csv", "predictions.png", "checkpoints"),
)
RENDERED = "data"  # The folder in the workdir for rendered people.
EXAMPLE_IMAGES = 6  # On predictions.png.


def main(
    data: TrainingDataConfig,
    synthetic: SyntheticDataConfig,
    model: ModelConfig,
    augmentation: AugmentationConfig,
    optimization: OptimizationConfig,
    run: RunConfig,
    evaluation: EvaluationConfig,
) -> None:
    """Runs the training and says where everything is."""
    # Not above: worker processes import this module.
    from keras_simplepose.data.synthetic.quickstart import make_data
    from keras_simplepose.prediction.data_set import example_poses
    from keras_simplepose.prediction.predictor import PosePredictor
    from keras_simplepose.training.callbacks import best_precision
    from keras_simplepose.training.devices import is_chief
    from keras_simplepose.training.trainer import train
    from keras_simplepose.viz.sheet import write_sheet

    workdir = Path(run.workdir)
    if not is_chief(run.strategy):  # It writes nothing; the chief says where everything is.
        train(TrainingConfig(model, data, augmentation, optimization, run, evaluation))
        return
    inputs = [model.initial_model, model.backbone_weights, data.annotations, data.images, data.prepared]
    check_workdir(workdir, [*inputs, data.validation_annotations, data.validation_images])
    if synthetic.synthetic_images and run.strategy == "multi_worker":
        raise UserError("--strategy=multi_worker takes data that is there; render it with a command of its own")
    write_flags(workdir, data, synthetic, model, augmentation, optimization, run, evaluation)
    if synthetic.synthetic_images:
        data = make_data(data, synthetic, model, augmentation, workdir / RENDERED, run.seed)
    config = TrainingConfig(model, data, augmentation, optimization, run, evaluation)
    result = train(config)
    for warning in result.warnings:
        warn(warning)
    for name, reason in result.skipped.items():
        print(f"skipped {name}: {reason}")
    print(f"\nmodel        {result.model}")
    if result.validation:
        predictor = PosePredictor.load(result.model, evaluation)
        examples = example_poses(predictor, result.validation, data.validation_images, EXAMPLE_IMAGES, data.orientation)
        write_sheet(examples, workdir / "predictions.png")
        best = max(map(best_precision, result.rows))
        print(f"best AP      {best:.3f} on {len(result.validation.persons)} persons, ground-truth boxes")
        print(f"metrics      {workdir / 'evaluations.jsonl'}\npredictions  {workdir / 'predictions.png'}")
    print(f"curves       {workdir / 'curves.png'} and {workdir / 'curves.csv'}")
    print(f"examples     {workdir / 'examples.png'}\nflags        {workdir / 'flags.cfg'}")
    print(f"to watch     tensorboard --logdir={workdir / 'tensorboard'}")


def check_workdir(workdir: Path, inputs: Sequence[str], program: str = "train") -> None:
    """Refuses a folder where the run would write over an input, or over files that no training wrote.

    A folder is a training's by its flags.cfg, whose first line says so, and names the command.

    Raises:
        UserError: naming the file.
    """
    try:
        is_own = (
            (workdir / FLAGS_NAME)
            .read_text(encoding="utf-8", errors="replace")
            .startswith(f"{flagfile_title(program)} ")
        )
    except OSError:
        is_own = False
    check_outputs([workdir / name for name in WRITTEN], inputs, is_own=is_own)


def write_flags(workdir: Path, *configs: object, program: str = "train", known: Sequence[type] = CONFIGS) -> None:
    """Keeps the flags of a run; going on with one needs the same, or --resume=force.

    A run has begun once it has rendered data or written a checkpoint; before that a mistaken flag can be mended.

    Raises:
        UserError: the folder holds a run with other flags, or cannot be written to.
    """
    from keras_simplepose.training.checkpoints import CheckpointFolder
    from keras_simplepose.training.run_options import check_options, options_of

    path, now = workdir / FLAGS_NAME, options_of(*configs)
    if path.exists() and (CheckpointFolder(workdir).paths() or (workdir / RENDERED).exists()):
        try:
            before = options_of(*CommandLine(program, "", *known).parse([f"--flagfile={path}"]))
        except UserError as error:
            raise UserError(f"{path}: is damaged or of another version ({error})"[:280]) from error
        for change in check_options(f"--workdir={workdir}", before, now, now["resume"], flag_name):
            print(f"going on with another option: {change}")
    write_flagfile(path, program, *configs)


if __name__ == "__main__":
    run_command(main, "train", DESCRIPTION, *CONFIGS)
