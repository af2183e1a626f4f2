"""Command: examines a data set before it costs a day."""

from keras_simplepose.config import CheckConfig
from keras_simplepose.flags import run_command

DESCRIPTION = """Examines COCO keypoint annotations and their images.

Finds damaged values, repeated ids, images and persons, boxes and keypoints out of place, visibility that contradicts
coordinates, exchanged left and right, skeletons that contradict their names, images that are missing, damaged, turned,
of another size or there twice, and images shared with another set. --output writes a page, with the most suspicious
persons beside their mirrored selves, and a JSON; --fix a mended copy.
The exit status is 2 where there are errors, 1 where there are warnings, else 0."""


def main(config: CheckConfig) -> int:
    """Prints what was found and where it was written."""
    from keras_simplepose.reporting.check_data import check_data, counted
    from keras_simplepose.reporting.findings import KINDS, worst

    found, outputs, changes = check_data(config)
    figures = found.figures
    print(
        f"{figures['images']:,} images, {figures['persons with labelled keypoints']:,} persons with labelled keypoints"
    )
    for severity, kind, number in counted(found):
        example = next(each.text for each in found.findings if each.kind == kind)
        print(f"{severity:8} {number:7,}  {kind}: {KINDS[kind][1]}; the first: {example}")
    for name, number in changes.items():
        print(f"mended   {number:7,}  {name}")
    for path in outputs:
        print(f"written   {path}")
    return worst(found.findings)


if __name__ == "__main__":
    run_command(main, "check", DESCRIPTION, CheckConfig)
