"""Makes a .keras pose network of a PyTorch checkpoint, exactly, or a checkpoint of a network."""

from pathlib import Path

from keras_simplepose.config import ConvertConfig
from keras_simplepose.flags import run_command
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs, record_results

DESCRIPTION = """Converts the checkpoints of the official release and of mmpose to .keras models.

They are the same function, complete or not at all; --verify proves it by running both."""


def main(config: ConvertConfig) -> None:
    """Converts one file, printing what was found and what was assumed."""
    check_outputs([config.output], [config.checkpoint, config.verify_images])
    if config.to_torch:
        _to_torch(config)
    else:
        _to_keras(config)
    record_results(config.output)
    print(f"wrote {config.output}")


def _to_torch(config: ConvertConfig) -> None:
    from keras_simplepose.conversion.converter import export_checkpoint, report
    from keras_simplepose.conversion.named_models import load_model

    print(report(export_checkpoint(load_model(config.checkpoint), config.output)))


def _to_keras(config: ConvertConfig) -> None:
    from keras_simplepose.conversion import proof as verification
    from keras_simplepose.conversion.converter import convert_checkpoint, report
    from keras_simplepose.conversion.named_models import with_checkpoint
    from keras_simplepose.models.files import save_model
    from keras_simplepose.models.stages import pose_spec

    if Path(config.output).suffix != ".keras":
        raise UserError(f"--output={config.output}: a model's name ends in .keras")
    conversion = convert_checkpoint(with_checkpoint(config))
    print(report(conversion.settings))
    if config.verify:
        size = pose_spec(conversion.model).input_size
        crops = {"random": verification.random_crops(size)}
        if config.verify_images:
            crops[Path(config.verify_images).name] = verification.image_crops(config.verify_images, size)
        comparisons = verification.compare(conversion, crops)
        print(verification.table(comparisons))
        if not all(comparison.agrees for comparison in comparisons):
            raise UserError(f"{config.checkpoint}: the converted network is not PyTorch's; nothing was written")
    save_model(conversion.model, config.output)


if __name__ == "__main__":
    run_command(main, "convert", DESCRIPTION, ConvertConfig)
