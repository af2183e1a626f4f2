"""Command: exports a model as SavedModel, TFLite and ONNX files, proven against it."""

from keras_simplepose.config import EvaluationConfig, ExportConfig, ProofConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Exports a model as files that take a photograph and boxes and give keypoints.

Cropping, flip test and decoding are inside. Every file is run beside the model before it is put in place; past the
tolerance the command fails and leaves nothing behind. The folder export/ has clients that need nothing of this package.
"""


def main(config: ExportConfig, proof: ProofConfig, protocol: EvaluationConfig) -> None:
    """Exports, and says what was written."""
    from keras_simplepose.exporting.exporter import REPORT, export  # Not above: --help needs no TensorFlow.

    rows = export(config, proof, protocol)
    for name in dict.fromkeys(row.artefact for row in rows):
        print(f"wrote {config.output}/{name}")
    print(f"wrote {config.output}/{REPORT}")


if __name__ == "__main__":
    run_command(main, "export", DESCRIPTION, ExportConfig, ProofConfig, EvaluationConfig)
