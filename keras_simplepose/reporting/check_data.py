"""The examination of a data set, from files: findings, figures, a page with persons beside their mirrored selves."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.config import CheckConfig
from keras_simplepose.core.geometry import box_to_crop
from keras_simplepose.core.poses import Poses
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.data.categories import find_category
from keras_simplepose.media.images import check_image_folder, read_image
from keras_simplepose.reporting import drawings
from keras_simplepose.reporting.analysis import without_nan
from keras_simplepose.reporting.annotation_faults import annotation_faults, image_table, numbers_of, points_table
from keras_simplepose.reporting.findings import KINDS, SEVERITIES, Finding
from keras_simplepose.reporting.image_faults import alike, image_faults
from keras_simplepose.reporting.label_spread import repeated_sigmas
from keras_simplepose.reporting.mending import mend
from keras_simplepose.reporting.mirrored import mirrored_probability
from keras_simplepose.reporting.page import render
from keras_simplepose.reporting.skeleton_faults import skeleton_faults
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs, check_writable, file_hash, read_json, result_path, write_json
from keras_simplepose.utils.json_stream import NotStreamable, json_entries

PAGE_NAME, FIGURES_NAME, MENDED_NAME = "index.html", "check.json", "mended.json"
# Probability from which on left and right are said to be exchanged. Of 162 COCO persons whose labels were exchanged it
# finds 64, and says so of 24 of the 5,402 as annotated.
EXCHANGED = 0.9
SIGMA_OFF = 2  # Factor between a sigma's ratio to its labels' and the usual one of the set, from which on it is said.
SHOWN = 20  # Findings of a kind on the page; all of them stand in the JSON.


@dataclass(eq=False)
class Examination:
    """What was found.

    Attributes:
        skeleton: of the keypoints, in the file's order.
        findings: all of them.
        figures: counts of the set.
        people: the annotations that can be drawn, with their keypoints [K, 3].
        suspicion: of each of them, the more the sooner it is shown.
        records: image records by id.
        annotations: how many the file has.
    """

    skeleton: Skeleton
    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)
    people: list[tuple[Mapping[str, Any], np.ndarray]] = field(default_factory=list)
    suspicion: np.ndarray = field(default_factory=lambda: np.zeros(0))
    records: dict[Any, Mapping[str, Any]] = field(default_factory=dict)
    annotations: int = 0


def check_data(config: CheckConfig, progress: bool = True) -> tuple[Examination, list[Path], Counter[str]]:
    """Examines a data set and writes the page, the JSON and, if wanted, a mended copy.

    Args:
        config: the set, what it must share nothing with, and the output.
        progress: shows progress bars.

    Returns:
        what was found, the files written, and what was mended.

    Raises:
        UserError: the file is no COCO keypoint file, there is no such folder, or the output cannot be written to.
    """
    names = [FIGURES_NAME, PAGE_NAME, *([MENDED_NAME] if config.fix else [])]
    outputs = [Path(config.output) / name for name in names] if config.output else []
    if config.fix and not outputs:
        raise UserError("fix needs output, a folder for the mended copy")
    check_outputs(outputs, [config.annotations])
    if config.images:
        check_image_folder(config.images)
    found = _examine_file(config, progress)
    skeleton = found.skeleton
    hashes: dict[str, np.ndarray] = {}
    if config.images:
        records = tqdm.tqdm(found.records.values(), desc="images", unit=" images", disable=not progress)
        found.findings += image_faults(records, Path(config.images), hashes)
        found.findings += [Finding("near duplicate", f"{one} and {two}") for one, two in alike(hashes)]
    if config.other_annotations:
        found.findings += _leakage(found, hashes, config, progress)
    changes: Counter[str] = Counter()
    if outputs:
        check_writable(config.output)
        cards = _cards(found, Path(config.images), config.cases) if config.images else []
        if config.fix:
            mended, changes = mend(_whole(config.annotations), config.fix, len(skeleton.keypoints))
            with result_path(outputs[2]) as temporary:
                write_json(temporary, mended, indent=None)
        with result_path(outputs[0]) as temporary:
            write_json(temporary, _as_json(found, config, changes))
        with result_path(outputs[1]) as temporary:
            temporary.write_text(_page(found, cards, config, changes), encoding="utf-8")
    return found, outputs, changes


def _examine_file(config: CheckConfig, progress: bool) -> Examination:
    """Examines a file entry by entry, so that memory holds the persons' keypoints only."""
    path = config.annotations
    try:
        tables: dict[str, Any] = {key: list(json_entries(path, key)) for key in ("categories", "images")}
        if all(tables.values()):
            entries = json_entries(path, "annotations")
            tables["annotations"] = tqdm.tqdm(entries, "annotations", unit=" annotations", disable=not progress)
            found = examine(tables, *_keypoints_of(tables, config), config.input_size)
            if found.annotations:
                return found
    except NotStreamable:
        pass  # The other reader takes NaN, and says in which line a fault is.
    tables = _whole(path)
    return examine(tables, *_keypoints_of(tables, config), config.input_size)


def _whole(path: str) -> dict[str, Any]:
    tables = read_json(path)
    if not isinstance(tables, dict) or not all(
        isinstance(tables.get(key), list) for key in ("images", "annotations", "categories")
    ):
        raise UserError(f"{path}: not COCO annotations, which have lists of images, annotations and categories")
    return tables


def _keypoints_of(tables: Mapping[str, Any], config: CheckConfig) -> tuple[Skeleton, int]:
    """The skeleton in the file's order, and the persons' category."""
    skeleton = load_skeleton(config.skeleton)
    category = find_category(tables["categories"], skeleton, config.trust_keypoint_order, Path(config.annotations))
    if category.order:  # The skeleton in the file's order, so that everything else can be read as it stands.
        skeleton = _reordered(skeleton, category.order)
    return skeleton, category.id


def _reordered(skeleton: Skeleton, order: Sequence[int]) -> Skeleton:
    """The skeleton with its keypoint i at place order[i]."""
    back = np.argsort(order).tolist()
    return Skeleton(
        skeleton.name,
        tuple(skeleton.keypoints[place] for place in back),
        tuple((order[first], order[second]) for first, second in skeleton.flip_pairs),
        tuple((order[first], order[second]) for first, second in skeleton.edges),
        tuple(skeleton.sigmas[place] for place in back),
        tuple(order[place] for place in skeleton.upper_body),
    )


def examine(
    tables: Mapping[str, Any], skeleton: Skeleton, category_id: int, input_size: tuple[int, ...] = (256, 192)
) -> Examination:
    """What a COCO keypoint file shows without its photographs.

    Args:
        tables: the file's; its annotations are read once and may come one at a time.
        skeleton: in the file's order of keypoints.
        category_id: of the persons.
        input_size: (height, width) of the network's input, which crops are compared with.
    """
    found, count = Examination(skeleton), len(skeleton.keypoints)
    found.records, found.findings = image_table(tables["images"])
    found.findings += skeleton_faults(skeleton)
    found.findings += annotation_faults(
        _people_of(tables["annotations"], found, count, category_id), found.records, count, category_id
    )
    points = np.array([points for _, points in found.people]).reshape(-1, count, 3)
    exchanged = mirrored_probability(points, skeleton)
    for (entry, _), probability in zip(found.people, exchanged.tolist(), strict=True):
        if probability > EXCHANGED:
            name = found.records[entry["image_id"]]["file_name"]
            text = f"annotation {entry.get('id')}, {name}: probability {probability:.3f}"
            found.findings.append(Finding("left and right exchanged", text, entry.get("id"), entry["image_id"]))
    severe = Counter(each.annotation_id for each in found.findings if each.severity != "note")
    found.suspicion = exchanged + np.array([severe[entry.get("id")] for entry, _ in found.people])
    found.figures = _figures(found, points, (input_size[0], input_size[1]))
    found.findings += _sigma_findings(found)
    return found


def _people_of(entries: Iterable[Any], found: Examination, count: int, category_id: int) -> Iterator[Any]:
    """Passes annotations on, and keeps those that can be drawn: what is looked at later, without polygons."""
    for entry in entries:
        found.annotations += 1
        if isinstance(entry, dict) and entry.get("category_id") == category_id and not entry.get("iscrowd"):
            points = points_table(entry.get("keypoints"), count)
            if points is not None and (points[:, 2] > 0).any() and entry.get("image_id") in found.records:
                kept = {key: entry.get(key) for key in ("id", "image_id", "bbox", "area")}
                found.people.append((kept, points))
        yield entry


def _figures(found: Examination, points: np.ndarray, input_size: tuple[int, int]) -> dict[str, Any]:
    boxes = [numbers_of(each.get("bbox"), 4) for each, _ in found.people]
    larger = [max(box[2:]) for box in boxes if box]
    areas = [_area(each) for each, _ in found.people]
    estimated, pairs = repeated_sigmas(points, areas, [each["image_id"] for each, _ in found.people])
    per_image = Counter(Counter(each["image_id"] for each, _ in found.people).values())
    return {
        "images": len(found.records),
        "annotations": found.annotations,
        "persons with labelled keypoints": len(found.people),
        "persons per photograph": {str(count): number for count, number in sorted(per_image.items())},
        "larger side of boxes, quartiles": np.quantile(larger, (0, 0.25, 0.5, 0.75, 1)).round(1).tolist()
        if larger
        else [],
        f"crops beside an input of {input_size[0]}×{input_size[1]}": _crop_sizes(
            [box for box in boxes if box], input_size
        ),
        "keypoints": {
            name: {
                "unlabelled": int((points[:, place, 2] == 0).sum()),
                "occluded": int((points[:, place, 2] == 1).sum()),
                "visible": int((points[:, place, 2] == 2).sum()),
                "sigma": found.skeleton.sigmas[place],
                "sigma of labels": None if np.isnan(estimated[place]) else round(float(estimated[place]), 4),
                "labelled twice": int(pairs[place]),
            }
            for place, name in enumerate(found.skeleton.keypoints)
        },
    }


def _area(entry: Mapping[str, Any]) -> float:
    area = entry.get("area")
    return float(area) if isinstance(area, int | float) else 0.0


def _crop_sizes(boxes: Sequence[Sequence[float]], input_size: tuple[int, int]) -> dict[str, int]:
    """How many persons' crops a network of that input sees enlarged or reduced, and by how much."""
    if not boxes:
        return {}
    factor = box_to_crop(np.array(boxes), input_size)[1] / input_size[1]
    edges = (
        ("enlarged more than 4 times", 0, 0.25),
        ("enlarged 2 to 4 times", 0.25, 0.5),
        ("enlarged up to 2 times", 0.5, 1),
        ("reduced up to 2 times", 1, 2),
        ("reduced more than 2 times", 2, np.inf),
    )
    return {name: int(((factor >= low) & (factor < high)).sum()) for name, low, high in edges}


def _sigma_findings(found: Examination) -> list[Finding]:
    """Keypoints whose labels spread much more, or less, than their sigma says beside the others.

    What all have in common is how carefully these people label: of 5,402 COCO persons .4 to .7 of COCO's own sigmas.
    """
    known = {name: each for name, each in found.figures["keypoints"].items() if each["sigma of labels"] is not None}
    ratios = {name: each["sigma of labels"] / each["sigma"] for name, each in known.items()}
    usual = float(np.median(list(ratios.values()))) if ratios else 1.0
    findings = []
    for name, ratio in ratios.items():
        if usual > 0 and not 1 / SIGMA_OFF <= ratio / usual <= SIGMA_OFF:
            values = known[name]
            text = (
                f"{name}: given {values['sigma']:g}; {values['labelled twice']:,} repeated labels make it "
                f"{values['sigma of labels']:g}, where the others' are {usual:.2f} of those given"
            )
            findings.append(Finding("sigma off the labels", text))
    return findings


def _leakage(
    found: Examination, hashes: Mapping[str, np.ndarray], config: CheckConfig, progress: bool
) -> list[Finding]:
    """Images that another set has as well: by name and, with its images, by look."""
    tables = read_json(config.other_annotations)
    listed = tables.get("images") if isinstance(tables, dict) else None
    if not isinstance(listed, list):
        raise UserError(f"{config.other_annotations}: not COCO annotations, which have a list of images")
    records, _ = image_table(listed)
    names = {record["file_name"] for record in records.values()}
    shared = [each["file_name"] for each in found.records.values() if each["file_name"] in names]
    findings = [Finding("leakage", f"{name} is in {config.other_annotations} too") for name in shared]
    if config.other_images and hashes:
        others: dict[str, np.ndarray] = {}
        bar = tqdm.tqdm(records.values(), desc="other images", unit=" images", disable=not progress)
        for _ in image_faults(bar, Path(config.other_images), others):
            pass  # Its own faults are another examination's.
        pairs = [(one, two) for one, two in alike(hashes, others) if one not in names]
        findings += [Finding("leakage", f"{one} looks like {two} of {config.other_annotations}") for one, two in pairs]
    return findings


def _cards(found: Examination, images: Path, count: int) -> list[dict[str, Any]]:
    """The most suspicious persons, each beside its mirrored self."""
    kinds: dict[Any, list[str]] = {}
    for each in found.findings:
        if each.annotation_id is not None:
            kinds.setdefault(each.annotation_id, []).append(each.kind)
    cards: list[dict[str, Any]] = []
    for place in np.argsort(-found.suspicion, kind="stable").tolist():
        if len(cards) == count:
            break
        entry, points = found.people[place]
        name = found.records[entry["image_id"]]["file_name"]
        try:
            image = read_image(images / name)
        except UserError:
            continue  # It is among the findings.
        poses = _pose(points, found.skeleton)
        frame = drawings.window(image, poses, poses.at(np.zeros(0, int)))
        pixels, scale = drawings.cut(image, frame, drawings.CROP_SIDE)
        shifted = points.copy()
        shifted[:, :2] = (points[:, :2] - frame[:2] + 0.5) * scale - 0.5
        turned = shifted[found.skeleton.flip_order]
        turned[:, 0] = pixels.shape[1] - 1 - turned[:, 0]
        who = f"annotation {entry.get('id')} in {name}"
        views = [
            {"caption": caption, "alt": f"{who}, {caption}", "source": drawings.data_uri(drawn)}
            for caption, drawn in (
                ("as annotated", _drawn(pixels, shifted, found.skeleton)),
                ("mirrored", _drawn(np.ascontiguousarray(pixels[:, ::-1]), turned, found.skeleton)),
            )
        ]
        mine = kinds.get(entry.get("id"), [])
        cards.append(
            {
                "title": who,
                "text": "",
                "views": views,
                "chips": [{"text": kind, "color": ""} for kind in mine] or [{"text": "nothing found", "color": ""}],
                "photograph": "",
                "data": {"kind": mine},
            }
        )
    return cards


def _pose(points: np.ndarray, skeleton: Skeleton) -> Poses:
    labelled = points[:, 2] > 0
    low, high = points[labelled, :2].min(0), points[labelled, :2].max(0)
    keypoints = np.concatenate([points[:, :2], labelled[:, None]], axis=1).astype(np.float32)
    box = np.concatenate([low, high - low])[None].astype(np.float32)
    return Poses(keypoints[None], np.ones(1, np.float32), box, labelled[None], skeleton)


def _drawn(pixels: np.ndarray, points: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    return drawings.draw(pixels, _pose(points, skeleton), drawings.whole(pixels), max(pixels.shape[:2]))


def counted(found: Examination) -> list[tuple[str, str, int]]:
    """(severity, kind, how many) of what was found, the worst first."""
    counts = Counter(each.kind for each in found.findings)
    rows = [(KINDS[kind][0], kind, number) for kind, number in counts.items()]
    return sorted(rows, key=lambda row: (SEVERITIES.index(row[0]), -row[2]))


def _as_json(found: Examination, config: CheckConfig, changes: Counter[str]) -> dict[str, Any]:
    return without_nan(
        {
            "annotations": {"path": config.annotations, "sha256": file_hash(config.annotations)},
            "counts": {kind: number for _, kind, number in counted(found)},
            "findings": [asdict(each) | {"severity": each.severity} for each in found.findings],
            "figures": found.figures,
            "mended": dict(changes),
        }
    )


def _page(found: Examination, cards: list[dict[str, Any]], config: CheckConfig, changes: Counter[str]) -> str:
    by_kind: dict[str, list[str]] = {}
    for each in found.findings:
        by_kind.setdefault(each.kind, []).append(each.text)
    figures = found.figures
    return render(
        "check.html",
        f"Data examined: {Path(config.annotations).name}",
        sections=[("findings", "Findings"), ("figures", "Figures"), *([("cases", "Persons")] if cards else [])],
        findings=[
            (severity, kind, number, KINDS[kind][1], by_kind[kind][:SHOWN]) for severity, kind, number in counted(found)
        ],
        changes=list(changes.items()),
        figures=[(name, str(value)) for name, value in figures.items() if name != "keypoints"],
        keypoints=[(name, *values.values()) for name, values in figures["keypoints"].items()],
        cards=cards,
        kinds=list(dict.fromkeys(kind for card in cards for kind in card["data"]["kind"])),
    )
