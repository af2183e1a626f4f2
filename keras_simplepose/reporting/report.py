"""The page of one evaluation, from files."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.config import ReportConfig
from keras_simplepose.core.skeletons import Skeleton, load_skeleton
from keras_simplepose.data.annotations import load_annotations
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.media.images import check_image_folder, read_image
from keras_simplepose.reporting import charts, drawings
from keras_simplepose.reporting.analysis import Analysis, analyse, without_nan
from keras_simplepose.reporting.cases import Case, choose_cases
from keras_simplepose.reporting.error_kinds import KINDS
from keras_simplepose.reporting.matches import NOBODY, OKS_THRESHOLDS
from keras_simplepose.reporting.page import between, flattened, render, share, signed
from keras_simplepose.reporting.results_file import metrics_beside, read_results
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs, check_writable, file_hash, result_path, write_json

PAGE_NAME, ANALYSIS_NAME = "index.html", "analysis.json"


def outputs_of(folder: str | Path) -> list[Path]:
    """The files that a report writes."""
    return [Path(folder) / PAGE_NAME, Path(folder) / ANALYSIS_NAME]


def write_report(
    config: ReportConfig, skeleton: Skeleton | None = None, progress: bool = True
) -> tuple[Path, Path, Analysis]:
    """Analyses results and writes the page and its figures.

    Args:
        config: results, annotations, images and output.
        skeleton: of the results; None: that the configuration names.
        progress: shows a progress bar while photographs are drawn.

    Returns:
        the paths of index.html and analysis.json, and the analysis.

    Raises:
        UserError: a file is missing or faulty, files do not fit each other, or the output cannot be written to.
    """
    page, figures = outputs_of(config.output)
    check_outputs([page, figures], [config.results, config.annotations])
    if config.images:
        check_image_folder(config.images)
    metrics = metrics_beside(config.results)
    network = (metrics or {}).get("provenance", {}).get("network", {})
    skeleton = skeleton or load_skeleton(config.skeleton)
    if (metrics or {}).get("provenance", {}).get("protocol", {}).get("metric", "oks") != "oks":
        raise UserError(f"{config.results}: was measured by PCKh; the report is about OKS")
    persons = load_annotations(
        config.annotations,
        config.images,
        skeleton,
        trust_keypoint_order=config.trust_keypoint_order,
        boxes_from_keypoints=config.boxes_from_keypoints,
    )
    results = read_results(config.results, skeleton)
    check_writable(config.output)
    left_out = set((metrics or {}).get("skipped_image_ids", ()))
    analysis = analyse(
        persons,
        results,
        skeleton,
        image_ids=persons.images.keys() - left_out,
        resamples=config.resamples,
        seed=config.resampling_seed,
    )
    provenance = {
        "files": {
            "results": _file(config.results),
            "annotations": _file(config.annotations),
        },
        "annotations": persons.summary(),
        "report": {name: value for name, value in asdict(config).items() if name not in ("results", "annotations")},
        "evaluation": metrics or "no metrics.json about these results lies beside them, so the protocol is not known",
    }
    cases = choose_cases(persons, results, analysis.matches, analysis.errors, skeleton, config.cases)
    cards: list[dict[str, Any]] = []
    photographs: dict[str, Any] = {}
    if config.images:
        cards, photographs = _draw(cases, persons, results, skeleton, config, progress)
    with result_path(figures) as temporary:
        write_json(temporary, analysis.to_dict() | {"provenance": without_nan(provenance)})
    with result_path(page) as temporary:
        text = _page(analysis, cards, photographs, provenance, network, Path(config.results))
        temporary.write_text(text, encoding="utf-8")
    return page, figures, analysis


def _file(path: str) -> dict[str, str]:
    return {"path": path, "sha256": file_hash(path)}


def _draw(
    cases: Sequence[Case],
    persons: PersonSet,
    results: Sequence[dict[str, Any]],
    skeleton: Skeleton,
    config: ReportConfig,
    progress: bool,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Cards of the cases and the photographs they are in, each photograph read once."""
    by_image: dict[int, list[int]] = {}
    for place, case in enumerate(cases):
        by_image.setdefault(case.image_id, []).append(place)
    found_in: dict[int, list[dict[str, Any]]] = {}
    for each in results:
        found_in.setdefault(each["image_id"], []).append(each)
    truths_in = persons.by_image()
    cards: list[dict[str, Any]] = [{}] * len(cases)
    photographs: dict[str, Any] = {}
    for image_id, places in tqdm.tqdm(by_image.items(), desc="drawing", unit=" images", disable=not progress):
        record = persons.images[image_id]
        path = Path(config.images) / record.file_name
        image = read_image(path, (record.height, record.width), config.orientation)
        for place in places:
            cards[place] = _card(cases[place], image, persons, results, found_in.get(image_id, []), skeleton)
        if config.photograph_side:
            side = min(config.photograph_side, max(image.shape[:2]))
            everybody = (
                ("ground truth", drawings.truth_poses(truths_in.get(image_id, []), skeleton)),
                ("prediction", drawings.result_poses(found_in.get(image_id, []), skeleton)),
            )
            views = [
                {
                    "caption": caption,
                    "source": drawings.data_uri(drawings.draw(image, poses, drawings.whole(image), side)),
                }
                for caption, poses in everybody
            ]
            photographs[str(image_id)] = {"title": record.file_name, "views": views}
            for place in places:
                cards[place]["photograph"] = str(image_id)
    return cards, photographs


def _card(
    case: Case,
    image: np.ndarray,
    persons: PersonSet,
    results: Sequence[dict[str, Any]],
    nearby: Sequence[dict[str, Any]],
    skeleton: Skeleton,
) -> dict[str, Any]:
    """A case drawn: the person and its pose; of a missed one all poses of the photograph, as far as they reach in."""
    truth = drawings.truth_poses([] if case.person == NOBODY else [persons.persons[case.person]], skeleton)
    found = drawings.result_poses([] if case.result == NOBODY else [results[case.result]], skeleton)
    frame = drawings.window(image, truth, found)
    if case.result == NOBODY:
        found = drawings.result_poses(nearby, skeleton)
    name = persons.images[case.image_id].file_name
    who = "nobody there" if case.person == NOBODY else f"person {persons.persons[case.person].annotation_id}"
    wrong = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in case.errors.items()).replace("_", " ")
    told = wrong or ("no error" if case.kinds is not None else ", ".join(case.causes))
    views = [
        {"caption": caption, "source": drawings.data_uri(pixels), "alt": f"{caption} of {who} in {name}. {told}"}
        for caption, pixels in (
            ("ground truth", drawings.draw(image, truth, frame, drawings.CROP_SIDE)),
            ("prediction", drawings.draw(image, found, frame, drawings.CROP_SIDE, case.kinds)),
        )
    ]
    chips = [
        {"text": f"{kind}: {', '.join(names)}".replace("_", " "), "color": charts.kind_color(kind)}
        for kind, names in case.errors.items()
    ]
    score = "" if case.result == NOBODY else f", score {share(results[case.result]['score'])}"
    return {
        "title": f"OKS {share(case.oks)}{score}",
        "text": f"{name}, {who}{f', {case.size}' if case.size else ''}; shown as: {case.rank}",
        "views": views,
        "chips": chips or [{"text": told, "color": ""}],
        "photograph": "",
        "data": {"rank": [case.rank], "error": case.causes, "keypoint": case.keypoints, "size": [case.size]},
    }


def _page(
    analysis: Analysis,
    cards: list[dict[str, Any]],
    photographs: Mapping[str, Any],
    provenance: Mapping[str, Any],
    network: Mapping[str, Any],
    results: Path,
) -> str:
    boxes = ""
    if isinstance(provenance["evaluation"], Mapping):
        boxes = f", {provenance['evaluation']['provenance']['boxes']} boxes"
    size = f", input {network['input_size'][0]}×{network['input_size'][1]}" if "input_size" in network else ""
    lead = (
        f"{analysis.counts['persons']:,} persons in {analysis.counts['images']:,} photographs, "
        f"{analysis.counts['poses']:,} poses{boxes}{size}."
    )
    sections = [("glance", "At a glance"), ("errors", "What costs AP"), ("groups", "Who is hard"), ("curves", "Scores")]
    sections += [("cases", "Persons")] if cards else []
    sections += [("provenance", "Where it comes from")]
    options = {
        name: list(dict.fromkeys(word for card in cards for word in card["data"][name] if word))
        for name in ("rank", "error", "keypoint", "size")
    }
    return render(
        "report.html",
        f"Pose evaluation: {results.parent.resolve().name}/{results.name}",
        lead=lead,
        sections=sections,
        figures=[
            ("AP", share(analysis.ap.value), f"95 %: {between(analysis.ap)}"),
            ("AR", share(analysis.ar.value), f"95 %: {between(analysis.ar)}"),
            *(
                (kind, f"{analysis.counts[kind] / max(analysis.counts['keypoints'], 1):.1%}", "of keypoints")
                for kind in KINDS
            ),
        ],
        verdict=verdict(analysis),
        metrics_head=list(analysis.metrics),
        metrics_row=[share(value) for value in analysis.metrics.values()],
        charts={
            "gains": charts.gains_chart(analysis.gains),
            "keypoints": charts.keypoints_chart(analysis.keypoints),
            "groups": charts.groups_chart(analysis.groups, analysis.ap),
            "curves": charts.curves_chart(analysis.precision),
            "calibration": charts.calibration_chart(analysis.calibration),
        },
        tables=_tables(analysis),
        calibration_text=f"rank correlation with OKS {share(analysis.calibration.rank_correlation)}",
        cards=cards,
        options=options,
        photographs=photographs,
        provenance=list(flattened(provenance)),
    )


def verdict(analysis: Analysis) -> str:
    """What costs most, in a sentence or two."""
    worst, second = sorted(analysis.gains, key=lambda gain: -gain.alone)[:2]
    hardest = min(analysis.keypoints, key=lambda row: row.similarity if row.count else np.inf)
    text = (
        f"Most is lost by {worst.cause} ({signed(worst.alone)} AP if corrected alone), then by {second.cause} "
        f"({signed(second.alone)})."
    )
    if hardest.count:
        name = hardest.name.replace("_", " ")
        text += f" The hardest keypoint is {name}, of mean similarity {share(hardest.similarity)}."
    return text + (
        f" With {analysis.counts['images']:,} photographs, differences well within the interval of AP "
        f"({between(analysis.ap)}) prove nothing by themselves; compare measures two results on the same photographs."
    )


def _tables(analysis: Analysis) -> dict[str, Any]:
    steps = list(range(0, 101, 10))
    calibration = analysis.calibration
    return {
        "gains": [
            (row.cause, f"{row.count:,}", signed(row.alone), signed(row.in_turn), share(row.level))
            for row in analysis.gains
        ],
        "keypoints_head": ["keypoint", "labelled", *KINDS, "mean similarity", "share of lost OKS"],
        "keypoints": [
            (
                row.name.replace("_", " "),
                f"{row.count:,}",
                *map(share, row.shares),
                share(row.similarity),
                share(row.lost),
            )
            for row in analysis.keypoints
        ],
        "groups": [
            (
                f"{row.kind}: {row.name}",
                f"{row.count:,}",
                share(row.ap.value),
                between(row.ap),
                share(row.ar.value),
                between(row.ar),
            )
            for row in analysis.groups
        ],
        "curves_head": ["OKS", *(f"recall {step / 100:.1f}" for step in steps)],
        "curves": [
            (f"{threshold:.2f}", *(share(row[step]) for step in steps))
            for threshold, row in zip(OKS_THRESHOLDS, analysis.precision, strict=True)
        ],
        "calibration": [
            (name, share(each.score), share(each.quality), f"{each.count:,}")
            for name, bins in (("poses", calibration.poses), ("keypoints", calibration.keypoints))
            for each in bins
        ],
    }
