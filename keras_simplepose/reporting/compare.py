"""The comparison of evaluations as text, JSON and a page, from files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_simplepose.config import CompareConfig
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.evaluation.coco_metrics import METRICS
from keras_simplepose.media.images import check_image_folder, read_image
from keras_simplepose.reporting import drawings
from keras_simplepose.reporting.analysis import without_nan
from keras_simplepose.reporting.comparison import (
    Measured,
    Run,
    SetupDifference,
    common_images,
    measure,
    obstacle,
    pose_of,
    read_all,
    read_runs,
    setup_differences,
    to_dict,
)
from keras_simplepose.reporting.page import ABSENT, between, render, share, signed
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs, check_writable, result_path, write_json

PAGE_NAME, FIGURES_NAME = "index.html", "comparison.json"
LONGEST = 24  # Characters of a value in the text; hashes are told apart by their beginnings.


def compare(config: CompareConfig) -> tuple[str, list[Path]]:
    """Compares evaluations.

    Args:
        config: the runs; the first is what the others are held against.

    Returns:
        the comparison as text, and the files written: comparison.json and index.html, if an output is named.

    Raises:
        UserError: a file is missing or faulty, or the output cannot be written to.
    """
    runs = read_runs(config.runs)
    outputs = [Path(config.output) / name for name in (FIGURES_NAME, PAGE_NAME)] if config.output else []
    check_outputs(outputs, [path for run in runs for path in (run.path, run.results)])
    provenance = runs[0].values.get("provenance", {})
    annotations = config.annotations or provenance.get("files", {}).get("annotations", {}).get("path", "")
    images = config.images or provenance.get("images", "")
    if config.images:
        check_image_folder(images)
    if config.annotations and not Path(annotations).is_file():
        raise UserError(f"{annotations}: no such file")
    differences = setup_differences([run.values for run in runs])
    why_not = obstacle(runs, annotations)
    measured = None
    skeleton = load_skeleton("coco17")
    if not why_not:
        skeleton = load_skeleton(config.skeleton or provenance.get("network", {}).get("skeleton", "coco17"))
        persons = load_annotations(
            annotations,
            images,
            skeleton,
            trust_keypoint_order=provenance.get("protocol", {}).get("trust_keypoint_order", False),
            boxes_from_keypoints=provenance.get("protocol", {}).get("boxes_from_keypoints", False),
        )
        measured = measure(
            persons,
            read_all(runs, skeleton),
            skeleton,
            common_images(runs, persons),
            config.resamples,
            config.resampling_seed,
        )
    text = as_text(runs, differences, measured, why_not)
    if outputs:
        check_writable(config.output)
        cards: list[dict[str, Any]] = []
        if measured and len(runs) == 2 and Path(images).is_dir():
            cards = _cards(measured, skeleton, Path(images), config.cases)
        with result_path(outputs[0]) as temporary:
            write_json(temporary, without_nan(to_dict(runs, differences, measured, why_not)))
        with result_path(outputs[1]) as temporary:
            temporary.write_text(_page(runs, differences, measured, why_not, cards), encoding="utf-8")
    return text, outputs


def as_text(
    runs: Sequence[Run], differences: Sequence[SetupDifference], measured: Measured | None, why_not: str
) -> str:
    """The comparison as lines to print."""
    lines = [f"{name:>4}  {run.name}" for name, run in zip(_letters(runs), runs, strict=True)]
    head, rows = metric_rows(runs, measured)
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    lines.append("")
    lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]
    lines.append("")
    if why_not:
        lines += [f"not measured on the same photographs: {why_not}", ""]
    lines.append("differences in how they were measured:" if differences else "they were measured in the same way")
    for each in differences:
        values = " | ".join(value[:LONGEST] for value in each.values)
        lines.append(f"  {each.title} ({each.name}): {values}")
        lines.append(f"      {each.known}{f' {each.source}' if each.source else ''}")
    if measured and len(runs) == 2:
        lines += ["", "persons that changed most (OKS):"]
        for place in measured.changed(5).tolist():
            person = measured.persons.persons[place]
            name = measured.persons.images[person.image_id].file_name
            before, after = measured.oks[:2, place]
            lines.append(f"  {name}, person {person.annotation_id}: {share(before)} → {share(after)}")
    return "\n".join(lines)


def _letters(runs: Sequence[Run]) -> list[str]:
    return [chr(ord("A") + place) if place < 26 else f"run {place + 1}" for place in range(len(runs))]


def metric_rows(runs: Sequence[Run], measured: Measured | None) -> tuple[list[str], list[list[str]]]:
    """The heads and rows of a table: each run's metrics and its difference to the first."""
    names = [name for name in METRICS if any(name in run.values["metrics"] for run in runs)]
    names = names or list(runs[0].values["metrics"])
    decimals = 3 if "AP" in names else 1
    head, rows = ["", *names], []
    if measured:
        head += ["AP − A", "95 % interval", "p"]
    for place, (letter, run) in enumerate(zip(_letters(runs), runs, strict=True)):
        values = run.values["metrics"]
        row = [letter, *(share(values[name], decimals) if name in values else ABSENT for name in names)]
        if measured and place:
            each = measured.differences[place - 1]
            row += [
                signed(each.interval.value),
                between(each.interval, signed),
                "<.001" if each.probability < 0.001 else share(each.probability),
            ]
        elif measured:
            row += [ABSENT] * 3
        rows.append(row)
    return head, rows


def _cards(measured: Measured, skeleton: Skeleton, images: Path, count: int) -> list[dict[str, Any]]:
    cards = []
    for place in measured.changed(count).tolist():
        person = measured.persons.persons[place]
        record = measured.persons.images[person.image_id]
        image = read_image(images / record.file_name, (record.height, record.width), "auto")
        truth = drawings.truth_poses([person], skeleton)
        poses = [drawings.result_poses(pose_of(measured, run, place), skeleton) for run in (0, 1)]
        frame = drawings.window(
            image, truth, drawings.result_poses([*pose_of(measured, 0, place), *pose_of(measured, 1, place)], skeleton)
        )
        before, after = (float(value) for value in measured.oks[:2, place])
        who = f"person {person.annotation_id} in {record.file_name}"
        views = [
            {
                "caption": caption,
                "alt": f"{caption} of {who}",
                "source": drawings.data_uri(drawings.draw(image, each, frame, drawings.CROP_SIDE)),
            }
            for caption, each in (
                ("ground truth", truth),
                (f"A: {share(before)}", poses[0]),
                (f"B: {share(after)}", poses[1]),
            )
        ]
        better = "better in B" if after > before else "worse in B"
        cards.append(
            {
                "title": f"OKS {share(before)} → {share(after)}",
                "text": who,
                "views": views,
                "chips": [{"text": better, "color": ""}],
                "photograph": "",
                "data": {"change": [better]},
            }
        )
    return cards


def _page(
    runs: Sequence[Run],
    differences: Sequence[SetupDifference],
    measured: Measured | None,
    why_not: str,
    cards: list[dict[str, Any]],
) -> str:
    head, rows = metric_rows(runs, measured)
    sections = [("figures", "Figures"), ("setup", "How they were measured")]
    return render(
        "comparison.html",
        "Evaluations compared",
        sections=sections + ([("cases", "Persons")] if cards else []),
        runs=list(zip(_letters(runs), (run.name for run in runs), strict=True)),
        head=head,
        rows=rows,
        why_not=why_not,
        letters=_letters(runs),
        differences=[(each.title, *each.values, each.known, each.source) for each in differences],
        cards=cards,
        changes=list(dict.fromkeys(card["data"]["change"][0] for card in cards)),
    )
