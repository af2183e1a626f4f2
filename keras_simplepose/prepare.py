"""Command: writes the person patches of a COCO data set to TFRecord shards, for `train --prepared`."""

from keras_simplepose.config import AugmentationConfig, ModelConfig, PatchConfig, PrepareConfig
from keras_simplepose.flags import run_command, warn

DESCRIPTION = """Prepares a training set: cuts every person's patch out of the images, once, and writes them to shards.

Training from a prepared set is several times faster than from the images. Give the flags of the model and of the
augmentation as for train; a killed run leaves no set behind."""


def main(config: PrepareConfig, patches: PatchConfig) -> None:
    """Prepares the set and says what it holds and how to go on."""
    from keras_simplepose.data.preparation import prepare  # Not above: worker processes import this module.
    from keras_simplepose.media.orientation import ImageReading

    model = ModelConfig(input_size=patches.input_size, skeleton=patches.skeleton)
    augmentation = AugmentationConfig(
        scale=patches.scale,
        rotation=patches.rotation,
        shift=patches.shift,
        half_body_probability=patches.half_body_probability,
        half_body_minimum=patches.half_body_minimum,
    )
    reading = ImageReading(config.orientation)
    manifest = prepare(config, model, augmentation, reading=reading)
    warn(reading.warning())
    print(f"{manifest.count:,} persons in {len(manifest.shards)} shards, {manifest.bytes / 1e6:,.1f} MB")
    print(f"annotations: {manifest.summary()}")
    lost = sum(skipped.persons for skipped in manifest.skipped)
    print(f"images skipped: {len(manifest.skipped)}" + (f", with {lost} persons:" if lost else ""))
    for skipped in manifest.skipped:
        print(f"  {skipped.fault}")
    print(f"written to {config.output}")
    height, width = manifest.settings.input_size
    print(
        f"next: python -m keras_simplepose.train --prepared={config.output} --input_size={height},{width} "
        f"--skeleton={patches.skeleton} --workdir=…"
    )


if __name__ == "__main__":
    run_command(main, "prepare", DESCRIPTION, PrepareConfig, PatchConfig)
