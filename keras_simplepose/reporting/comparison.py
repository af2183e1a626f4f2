"""Two or more evaluations beside one another: how they were made, what they give, whom they treat differently."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.persons import PersonSet
from keras_simplepose.evaluation.metrics_file import METRICS_NAME, RESULTS_NAME
from keras_simplepose.reporting.bootstrap import Difference, paired_difference
from keras_simplepose.reporting.error_kinds import find_errors
from keras_simplepose.reporting.matches import NOBODY, Curves, Matches, match_persons
from keras_simplepose.reporting.protocol_costs import cost_of
from keras_simplepose.reporting.results_file import read_metrics, read_results
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import file_hash

_NO_DIFFERENCE = ("metrics", "provenance.results_sha256")  # What is compared anyway.


@dataclass(frozen=True)
class Run:
    """One evaluation.

    Attributes:
        name: to call it by.
        path: of its metrics.json.
        values: of that file.
    """

    name: str
    path: Path
    values: Mapping[str, Any]

    @property
    def results(self) -> Path:
        """Its results file."""
        return self.path.with_name(RESULTS_NAME)


def read_runs(paths: Sequence[str]) -> list[Run]:
    """Reads evaluations.

    Args:
        paths: metrics.json files, or folders with one.

    Raises:
        UserError: one is none, or there are fewer than two.
    """
    if len(paths) < 2:
        raise UserError("give two or more metrics.json files, or folders with one, to compare")
    runs = []
    for each in paths:
        path = Path(each) / METRICS_NAME if Path(each).is_dir() else Path(each)
        runs.append(Run(each, path, read_metrics(path)))
    return runs


@dataclass(frozen=True)
class SetupDifference:
    """Something that was not the same.

    Attributes:
        name: dotted, as in metrics.json.
        title: in words.
        values: of each run, as text; "absent" where one says nothing.
        known: what it is known to cost.
        source: of that.
    """

    name: str
    title: str
    values: tuple[str, ...]
    known: str
    source: str


def setup_differences(values: Sequence[Mapping[str, Any]]) -> list[SetupDifference]:
    """Everything in which metrics.json files differ but for the metrics themselves, what matters most first."""
    tables = [dict(_flat(each)) for each in values]
    names = dict.fromkeys(name for table in tables for name in table)
    found = []
    for name in names:
        texts = tuple(str(table.get(name, "absent")) for table in tables)
        if len(set(texts)) > 1 and not name.startswith(_NO_DIFFERENCE):
            cost = cost_of(name)
            found.append(SetupDifference(name, cost.title or name, texts, cost.known, cost.source))
    order = ("provenance.boxes", "provenance.files", "provenance.protocol", "counts", "provenance.network")
    return sorted(found, key=lambda each: next((k for k, part in enumerate(order) if each.name.startswith(part)), 9))


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((prefix + name, value))
    return pairs


@dataclass(frozen=True, eq=False)
class Measured:
    """The results of several runs on the same persons.

    Attributes:
        persons: the ground truth.
        results: of each run.
        matches: of each.
        oks: [runs, P] of each person's pose; 0 without one, NaN for a person that was not evaluated.
        ap: of each run.
        differences: of each run but the first to the first.
    """

    persons: PersonSet
    results: list[list[dict[str, Any]]]
    matches: list[Matches]
    oks: np.ndarray
    ap: list[float]
    differences: list[Difference]

    def changed(self, count: int) -> np.ndarray:
        """[≤ count] the persons whose OKS differs most between the first run and the second, most first."""
        change = np.nan_to_num(np.abs(self.oks[1] - self.oks[0]))
        order = np.argsort(-change, kind="stable")[:count]
        return order[change[order] > 0]


def measure(
    persons: PersonSet,
    results: list[list[dict[str, Any]]],
    skeleton: Skeleton,
    image_ids: Collection[int] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> Measured:
    """Measures results on the same photographs; arguments as `analysis.analyse`."""
    matches = [match_persons(persons, each, skeleton.sigmas, image_ids) for each in results]
    curves = [Curves(each) for each in matches]
    oks = np.zeros((len(results), len(persons.persons)))
    for row, each, matched in zip(oks, results, matches, strict=True):
        errors = find_errors(persons, each, matched, skeleton)
        row[errors.persons] = errors.oks()
        row[matched.person_images < 0] = np.nan
    images = len(matches[0].image_ids)
    return Measured(
        persons,
        results,
        matches,
        oks,
        [each.ap_ar()[0] for each in curves],
        [paired_difference(curves[0], each, images, resamples, seed) for each in curves[1:]],
    )


def obstacle(runs: Sequence[Run], annotations: str) -> str:
    """Why the runs cannot be measured again on the same photographs; "" if they can."""
    for run in runs:
        provenance = run.values.get("provenance", {})
        if provenance.get("protocol", {}).get("metric", "oks") != "oks":
            return f"{run.name} was measured by PCKh"
        if not run.results.is_file():
            return f"{run.results} is missing"
        if provenance.get("results_sha256") != file_hash(run.results):
            return f"{run.results} is not the file that {run.path.name} was written with"
    hashes = [run.values.get("provenance", {}).get("files", {}).get("annotations", {}).get("sha256") for run in runs]
    if len(set(hashes)) > 1:
        return "they were measured on different annotations"
    if not Path(annotations).is_file():
        return f"the annotations, {annotations or 'which they do not name'}, are not there; give annotations"
    if file_hash(annotations) != hashes[0]:
        return f"{annotations} is not the file they were measured on"
    return ""


def common_images(runs: Sequence[Run], persons: PersonSet) -> list[int]:
    """The images that none of the runs skipped."""
    skipped = {image for run in runs for image in run.values.get("skipped_image_ids", ())}
    return [image for image in persons.images if image not in skipped]


def read_all(runs: Sequence[Run], skeleton: Skeleton) -> list[list[dict[str, Any]]]:
    """The results of each run."""
    return [read_results(run.results, skeleton) for run in runs]


def to_dict(
    runs: Sequence[Run], differences: Sequence[SetupDifference], measured: Measured | None, why_not: str
) -> dict:
    """A comparison as JSON-serialisable values."""
    values: dict[str, Any] = {
        "runs": [{"name": run.name, "metrics": run.values["metrics"]} for run in runs],
        "setup_differences": [asdict(each) for each in differences],
        "not_measured_because": why_not,
    }
    if measured:
        values["AP"] = measured.ap
        values["AP_differences_to_the_first"] = [asdict(each) for each in measured.differences]
        values["persons"] = [
            {
                "annotation_id": measured.persons.persons[place].annotation_id,
                "image_id": measured.persons.persons[place].image_id,
                "oks": measured.oks[:, place].tolist(),
            }
            for place in measured.changed(len(measured.persons.persons)).tolist()
        ]
    return values


def pose_of(measured: Measured, run: int, person: int) -> list[dict[str, Any]]:
    """The result of a run that is associated with a person; none if it was missed."""
    place = int(measured.matches[run].result_of()[person])
    return [] if place == NOBODY else [measured.results[run][place]]
