"""Command: compares evaluations, every difference in how they were made with what it is known to cost."""

from keras_simplepose.config import CompareConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Compares evaluations: python -m keras_simplepose.compare A B …, metrics.json files or folders with one.

Says every difference in how they were measured (boxes, annotations, flip, codec, suppression, thresholds, number of
images, versions) with what it is known to cost, the difference of AP to the first with a paired bootstrap over
photographs, and, of two, the persons that changed most. Text is printed; with --output a page and JSON are written."""


def main(config: CompareConfig) -> None:
    """Prints the comparison and says what was written."""
    from keras_simplepose.reporting.compare import compare

    text, outputs = compare(config)
    print(text)
    for path in outputs:
        print(f"written   {path}")


if __name__ == "__main__":
    run_command(main, "compare", DESCRIPTION, CompareConfig)
