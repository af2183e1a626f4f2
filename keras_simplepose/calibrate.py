"""Command: fits the temperature of a model's visibility head, so that its probabilities are what they say."""

from keras_simplepose.config import CalibrateConfig
from keras_simplepose.flags import run_command, warn

DESCRIPTION = """Calibrates a model's visibility head by temperature scaling (Guo et al., ICML 2017).

One number divides all logits: that of the least cross-entropy on annotated persons, which must not be those of the
training. Prints it, cross-entropy and expected calibration error before and after, and how often keypoints of each
probability are what the head says; writes the model with it. Keypoints stay where they are, and so does the order of
their probabilities."""


def main(config: CalibrateConfig) -> None:
    """Calibrates, prints the figures, and writes the model."""
    from keras_simplepose.evaluation.calibration import calibrate, calibration_text
    from keras_simplepose.utils.files import check_outputs, record_results

    check_outputs([config.output], [config.model, config.annotations, config.images])
    calibration, warning = calibrate(config)
    print(calibration_text(calibration))
    warn(warning)
    record_results(config.output)
    print(f"wrote {config.output}")


if __name__ == "__main__":
    run_command(main, "calibrate", DESCRIPTION, CalibrateConfig)
