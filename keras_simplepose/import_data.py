"""Command: makes COCO keypoint files and a skeleton of what annotation tools export."""

import shlex
from typing import TYPE_CHECKING

from keras_simplepose.config import ImportConfig, ImportedSkeletonConfig
from keras_simplepose.flags import run_command, warn

if TYPE_CHECKING:
    from keras_simplepose.data.imports.importing import Imported, ImportedSplit

VALIDATION_SPLITS = ("val", "valid", "validation", "test")

DESCRIPTION = """Imports exports of Label Studio, CVAT, Roboflow and Ultralytics YOLO-pose.

Writes a COCO keypoint JSON for each split, and skeleton.toml: the keypoints' names, which of them a mirror image
exchanges, lines to draw and sigmas. Everything that was left out or taken otherwise is counted, with an example.
Look into skeleton.toml, then let check examine the files."""


def main(config: ImportConfig, skeleton_config: ImportedSkeletonConfig) -> None:
    """Imports, and says what was taken, left out and written, and how to go on."""
    from keras_simplepose.data.imports.importing import SUMMARY_NAME, import_data

    done = import_data(config, skeleton_config)
    skeleton = done.skeleton
    print(f"read      {config.input}, {done.export.tool}; category {done.export.category}")
    print(
        f"skeleton  {skeleton.name}: {len(skeleton.keypoints)} keypoints, {len(skeleton.flip_pairs)} flip pairs, "
        f"{len(skeleton.edges)} edges"
    )
    for part, source in done.sources.items():
        print(f"            {part}: {source}")
    warn(done.remark)
    for each in done.splits:
        print(
            f"{each.split.name:9} {len(each.split.images):,} images, {each.persons:,} persons, "
            f"{each.labelled:,} labelled keypoints, {each.occluded:,} of them occluded"
        )
        for tally, word in ((each.split.notes, "note"), (each.split.left_out, "left out")):
            for kind, count in tally.counts.items():
                print(f"            {word}: {count:,} {kind}; the first: {tally.examples[kind]}")
    for each in done.splits:
        print(f"written   {each.path}")
    if done.sources:
        print(f"written   {done.skeleton_path}")
    print(f"written   {config.output}/{SUMMARY_NAME}")
    print("next      " + "\n          ".join(_next_commands(done)))


def _next_commands(done: "Imported") -> list[str]:
    """What to do with the split to train on, and the one to validate on if there is one."""
    by_name = {each.split.name: each for each in done.splits}
    first = by_name.get("train", done.splits[0])
    other = next((by_name[name] for name in VALIDATION_SPLITS if name in by_name and by_name[name] is not first), None)
    skeleton = f"--skeleton={shlex.quote(done.skeleton_path)}"
    turned = " --orientation=displayed" if done.export.turned else ""
    validation = f" {_files(other, 'validation_')}{turned}" if other else ""
    return [
        f"python -m keras_simplepose.check {_files(first)} {skeleton} --output=examined",
        f"python -m keras_simplepose.prepare {_files(first)} {skeleton} --output=prepared{turned}",
        f"python -m keras_simplepose.train --prepared=prepared {skeleton}{validation} --workdir=run",
    ]


def _files(split: "ImportedSplit", kind: str = "") -> str:
    """The flags that name a split's annotations and images."""
    images = str(split.split.folder or "FOLDER_OF_THE_IMAGES")
    return f"--{kind}annotations={shlex.quote(str(split.path))} --{kind}images={shlex.quote(images)}"


if __name__ == "__main__":
    run_command(main, "import_data", DESCRIPTION, ImportConfig, ImportedSkeletonConfig)
