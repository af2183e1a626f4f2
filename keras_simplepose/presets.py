"""Command: lists the weights that can be asked for by name."""

from keras_simplepose.config import PresetsConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Lists the weights that can be asked for by name.

Pose networks go where a model is wanted (--model, --initial_model, convert's --checkpoint), person detectors to
--detector, backbones to --backbone_weights. They are fetched and converted when they are first used. The figures are
their publishers'."""


def main(config: PresetsConfig) -> None:
    """Prints a table, or paragraphs."""
    from keras_simplepose.conversion.preset_table import details, matching, table
    from keras_simplepose.models.fetching import cache_folder

    chosen = matching(config.names)
    print("\n\n".join(map(details, chosen)) if config.details else table(chosen))
    print(f"\nfetched files are kept in {cache_folder()}; the variable KERAS_HOME moves that")


if __name__ == "__main__":
    run_command(main, "presets", DESCRIPTION, PresetsConfig)
