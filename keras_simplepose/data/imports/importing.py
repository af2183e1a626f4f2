"""The import: which tool wrote an export, its files read, and COCO files and a skeleton written."""

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_simplepose.config import ImportConfig, ImportedSkeletonConfig
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.data.categories import find_category
from keras_simplepose.data.imports import coco
from keras_simplepose.data.imports.coco import read_coco
from keras_simplepose.data.imports.cvat import read_cvat
from keras_simplepose.data.imports.label_studio import read_label_studio
from keras_simplepose.data.imports.records import Export, Split
from keras_simplepose.data.imports.skeletons import ImportedSkeleton, hint_of, skeleton_of, toml_of
from keras_simplepose.data.imports.writing import coco_tables
from keras_simplepose.data.imports.yolo import read_yolo
from keras_simplepose.utils.errors import UserError, shown
from keras_simplepose.utils.files import check_outputs, check_writable, result_path, write_json

SKELETON_NAME, SUMMARY_NAME = "skeleton.toml", "import.json"
YAML = (".yaml", ".yml")


@dataclass(frozen=True)
class Importer:
    """One tool's exports.

    Attributes:
        read: reads the file or folder.
        description: what it reads.
    """

    read: Callable[[Path, ImportConfig], Export]
    description: str


IMPORTERS: dict[str, Importer] = {
    "coco": Importer(read_coco, "COCO keypoint JSON: a file, or Roboflow's or CVAT's folder"),
    "cvat": Importer(read_cvat, "CVAT for images 1.1: annotations.xml"),
    "label_studio": Importer(read_label_studio, "Label Studio's JSON export with keypointlabels"),
    "yolo": Importer(read_yolo, "Ultralytics YOLO-pose: data.yaml with kpt_shape"),
}


@dataclass(frozen=True)
class ImportedSplit:
    """What became of a split.

    Attributes:
        split: what was counted.
        path: its COCO file.
        persons: number of annotations written.
        labelled: number of labelled keypoints in them.
        occluded: number of those of visibility 1.
    """

    split: Split
    path: Path
    persons: int
    labelled: int
    occluded: int


@dataclass(frozen=True)
class Imported:
    """A finished import.

    Attributes:
        export: what was read.
        skeleton: of the files.
        sources: where its parts come from; none of a given skeleton.
        skeleton_path: its file, or its name, as other commands take it.
        splits: the files written.
        remark: what to tell of the keypoints' names or order, if anything.
    """

    export: Export
    skeleton: Skeleton
    sources: dict[str, str]
    skeleton_path: str
    splits: tuple[ImportedSplit, ...]
    remark: str


def import_data(config: ImportConfig, skeleton_config: ImportedSkeletonConfig) -> Imported:
    """Reads an export and writes a COCO file for each split, the skeleton, and a summary.

    Args:
        config: the export, and where to write.
        skeleton_config: the keypoints' names and order.

    Raises:
        UserError: the export is faulty or contradicts itself, or the output cannot be written to.
    """
    path, kind = find_export(Path(config.input), config.format)
    export = IMPORTERS[kind].read(path, config)
    given = None
    if skeleton_config.skeleton:
        given, order, remark = _given_skeleton(export, skeleton_config, path)
        imported = ImportedSkeleton(given, {})
    else:
        imported, order = skeleton_of(export, skeleton_config, str(path))
        hint = hint_of(export) if not skeleton_config.keypoints else ""
        remark = "" if export.named or skeleton_config.keypoints else "the export has no names of keypoints"
        remark += f"; its flip pairs are {hint}'s, which the option skeleton takes" if hint else ""
    skeleton = imported.skeleton
    output = Path(config.output)
    names = _file_names([split.name for split in export.splits])
    skeleton_path = output / SKELETON_NAME
    outputs = [output / name for name in names] + [output / SUMMARY_NAME] + ([] if given else [skeleton_path])
    check_outputs(outputs, [path, config.input])
    tables = [coco_tables(split, order, skeleton, export.category) for split in export.splits]
    if not any(each["annotations"] for each in tables):
        kinds = [f"{number} {kind}" for split in export.splits for kind, number in split.left_out.counts.items()]
        raise UserError(f"{path}: no person could be taken; left out: {', '.join(kinds)[:200] or 'nothing'}")
    check_writable(output)
    splits = []
    for split, name, table in zip(export.splits, names, tables, strict=True):
        with result_path(output / name) as temporary:
            write_json(temporary, table, indent=None)
        visibility = [v for each in table["annotations"] for v in each["keypoints"][2::3]]
        counts = len(table["annotations"]), sum(v > 0 for v in visibility), visibility.count(1)
        splits.append(ImportedSplit(split, output / name, *counts))
    if not given:
        with result_path(skeleton_path) as temporary:
            temporary.write_text(toml_of(imported), encoding="utf-8")
    done = Imported(
        export,
        skeleton,
        imported.sources,
        skeleton_config.skeleton if given else str(skeleton_path),
        tuple(splits),
        remark,
    )
    with result_path(output / SUMMARY_NAME) as temporary:
        write_json(temporary, _summary(done, config, skeleton_config))
    return done


def find_export(path: Path, kind: str) -> tuple[Path, str]:
    """The file or folder to read, and the importer that reads it.

    Raises:
        UserError: nothing is there, or nothing that tells which tool wrote it.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file or folder")
    found: dict[str, Path] = {}
    if path.is_dir():
        yamls = [each for each in sorted(path.iterdir()) if each.suffix in YAML and "kpt_shape" in _head(each)]
        jsons = [each for each in sorted(path.glob("*.json")) if _head(each).lstrip("\ufeff").lstrip().startswith("[")]
        if len(yamls) > 1:
            raise UserError(f"{path}: several files have a kpt_shape: {', '.join(each.name for each in yamls[:5])}")
        if yamls:
            found["yolo"] = yamls[0]
        if (path / "annotations.xml").is_file():
            found["cvat"] = path / "annotations.xml"
        if coco.files_of(path):
            found["coco"] = path
        if len(jsons) == 1:
            found["label_studio"] = jsons[0]
    elif path.suffix.lower() in YAML:
        found["yolo"] = path
    elif path.suffix.lower() == ".xml":
        found["cvat"] = path
    elif path.suffix.lower() == ".json":
        found["label_studio" if _head(path).lstrip("\ufeff").lstrip().startswith("[") else "coco"] = path
    elif path.suffix.lower() in (".zip", ".tar", ".gz"):
        raise UserError(f"{path}: is an archive; unpack it and give the folder")
    if kind != "auto":
        if kind in found:
            return found[kind], kind
        if path.is_file():
            return path, kind
        raise UserError(f"{path}: holds no export of format {kind}; there should be {IMPORTERS[kind].description}")
    if len(found) > 1:
        raise UserError(f"{path}: holds exports of several formats ({', '.join(found)}); give format, the one to take")
    if not found:
        known = "; ".join(importer.description for importer in IMPORTERS.values())
        raise UserError(f"{path}: no export that is known here. Known are: {known}")
    name, place = next(iter(found.items()))
    return place, name


def _head(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _given_skeleton(export: Export, config: ImportedSkeletonConfig, path: Path) -> tuple[Skeleton, list[int], str]:
    """A skeleton of the user's, and the places of its keypoints in the export."""
    skeleton = load_skeleton(config.skeleton)
    described: dict[str, Any] = {"id": 1, "name": export.category, "keypoints": list(export.names)}
    category = find_category([described], skeleton, config.trust_keypoint_order, path)
    order = list(category.order) if category.order else list(range(len(export.names)))
    if export.flip_pairs is not None:
        wanted = {frozenset((order[one], order[other])) for one, other in skeleton.flip_pairs}
        if {frozenset(pair) for pair in export.flip_pairs} != wanted:
            raise UserError(
                f"{path}: flip_idx exchanges other keypoints than skeleton {shown(skeleton.name)}; mend one of them"
            )
    return skeleton, order, category.remark


def _file_names(splits: list[str]) -> list[str]:
    """A file for each split, named as it is."""
    names = [re.sub(r"[^\w.\-]", "_", name).strip(".") + ".json" for name in splits]
    if len({name.casefold() for name in [*names, SUMMARY_NAME]}) <= len(names):
        raise UserError(f"the splits {shown(splits)} would be written to the same files; rename one")
    return names


def _summary(done: Imported, config: ImportConfig, skeleton_config: ImportedSkeletonConfig) -> dict[str, Any]:
    return {
        "tool": done.export.tool,
        "options": dataclasses.asdict(config) | dataclasses.asdict(skeleton_config),
        "category": done.export.category,
        "skeleton": done.skeleton.to_dict(),
        "skeleton_sources": done.sources,
        "remark": done.remark,
        "splits": {
            each.split.name: {
                "file": each.path.name,
                "images_folder": str(each.split.folder) if each.split.folder else None,
                "images": len(each.split.images),
                "persons": each.persons,
                "labelled_keypoints": each.labelled,
                "occluded_keypoints": each.occluded,
                **{
                    kind: {
                        name: {"count": count, "first": tally.examples[name]} for name, count in tally.counts.items()
                    }
                    for kind, tally in (("notes", each.split.notes), ("left_out", each.split.left_out))
                },
            }
            for each in done.splits
        },
    }
