"""The skeleton of an export: names, pairs, edges and sigmas, each with where it was taken from; and its TOML file."""

import json
import statistics
import tomllib
from dataclasses import dataclass

from keras_simplepose.config import ImportedSkeletonConfig
from keras_simplepose.core.keypoint_names import pairs_from_names, side_and_joint
from keras_simplepose.core.skeletons import COCO17, SKELETONS, Skeleton, skeleton_from_dict
from keras_simplepose.data.imports.records import Export
from keras_simplepose.utils.errors import UserError, shown

# Of joints that COCO does not have: the median of COCO's.
SIGMA = statistics.median(COCO17.sigmas)
_COCO_SIGMAS = {side_and_joint(name): sigma for name, sigma in zip(COCO17.keypoints, COCO17.sigmas, strict=True)}


@dataclass(frozen=True)
class ImportedSkeleton:
    """A skeleton and where its parts come from.

    Attributes:
        skeleton: it.
        sources: a remark each on flip_pairs, edges and sigmas.
    """

    skeleton: Skeleton
    sources: dict[str, str]


def skeleton_of(export: Export, config: ImportedSkeletonConfig, where: str) -> tuple[ImportedSkeleton, list[int]]:
    """The skeleton to write, and the places of its keypoints among the export's.

    Raises:
        UserError: the names wanted are not the export's, or its flip pairs contradict its names.
    """
    names, order = _order(export, config, where)
    back = {place: index for index, place in enumerate(order)}
    by_name = pairs_from_names(names)
    sources = {"flip_pairs": "from the names"}
    pairs = by_name
    if export.flip_pairs is not None:
        pairs = tuple((back[one], back[other]) for one, other in export.flip_pairs)
        sources["flip_pairs"] = f"of the export; {_compare(pairs, names, where)}"
    edges = tuple((back[one], back[other]) for one, other in export.edges)
    sources["edges"] = "of the export"
    if not edges:
        edges, sources["edges"] = _known_edges(names), "coco17's between keypoints that are here too; only for drawing"
    sigmas = tuple(_sigma(name) for name in names)
    known = sum(
        side_and_joint(name) in _COCO_SIGMAS or ("l", side_and_joint(name)[1]) in _COCO_SIGMAS for name in names
    )
    sources["sigmas"] = f"COCO's for {known} keypoints" + (
        f", its median ({SIGMA:g}) for the others; `check` estimates them from labels" if known < len(names) else ""
    )
    skeleton = Skeleton(config.skeleton_name or export.category, names, pairs, edges, sigmas)
    return ImportedSkeleton(skeleton, sources), order


def hint_of(export: Export) -> str:
    """The built-in skeleton whose flip pairs an export without names has; "" for none."""
    if export.named or export.flip_pairs is None:
        return ""
    pairs = {frozenset(pair) for pair in export.flip_pairs}
    for skeleton in SKELETONS.values():
        if len(skeleton.keypoints) == len(export.names) and pairs == {frozenset(each) for each in skeleton.flip_pairs}:
            return skeleton.name
    return ""


def _order(export: Export, config: ImportedSkeletonConfig, where: str) -> tuple[tuple[str, ...], list[int]]:
    wanted = config.keypoints
    count = len(export.names)
    if not wanted:
        return export.names, list(range(count))
    if len(wanted) != count or (export.named and set(wanted) != set(export.names)):
        there = ", ".join(export.names) if export.named else f"{count} without names"
        raise UserError(
            f"{where}: keypoints names {len(wanted)}, the export has {shown(there)}; name each of them once"
        )
    return wanted, [export.names.index(name) for name in wanted] if export.named else list(range(count))


def _compare(pairs: tuple[tuple[int, int], ...], names: tuple[str, ...], where: str) -> str:
    """Flip pairs must not contradict what the names pair."""
    partner = {one: other for pair in pairs for one, other in (pair, pair[::-1])}
    by_name = pairs_from_names(names)
    for one, other in by_name:
        if partner.get(one) != other:
            with_it = names[partner[one]] if one in partner else "nothing"
            raise UserError(
                f"{where}: flip_idx exchanges {names[one]} with {with_it}, its name pairs it with {names[other]}; mend "
                "flip_idx, or remove it to have the pairs from the names"
            )
    return "they agree with the names" if by_name else "the names say nothing of sides"


def _known_edges(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    places = {side_and_joint(name): place for place, name in enumerate(names)}
    ends = [tuple(side_and_joint(COCO17.keypoints[end]) for end in edge) for edge in COCO17.edges]
    return tuple((places[one], places[other]) for one, other in ends if one in places and other in places)


def _sigma(name: str) -> float:
    side, joint = side_and_joint(name)
    return _COCO_SIGMAS.get((side, joint), _COCO_SIGMAS.get(("l", joint), SIGMA))


def toml_of(imported: ImportedSkeleton) -> str:
    """The skeleton as a TOML file to read and to edit, pairs and edges by name.

    Raises:
        UserError: a name is no text that a file can hold.
    """
    skeleton, sources = imported.skeleton, imported.sources
    names = skeleton.keypoints

    def pairs(values: tuple[tuple[int, int], ...]) -> str:
        lines = [f"  [{_quoted(names[one])}, {_quoted(names[other])}],\n" for one, other in values]
        return f"[\n{''.join(lines)}]" if lines else "[]"

    keypoints = "".join(f"  {_quoted(name)},\n" for name in names)
    sigmas = "".join(f"  {sigma!r},  # {_comment(name)}\n" for name, sigma in zip(names, skeleton.sigmas, strict=True))
    text = (
        f"# The keypoints in the annotations' order.\n"
        f"name = {_quoted(skeleton.name)}\n"
        f"keypoints = [\n{keypoints}]\n\n"
        f"# What a mirror image exchanges: {_comment(sources['flip_pairs'])}.\n"
        f"flip_pairs = {pairs(skeleton.flip_pairs)}\n\n"
        f"# Lines to draw: {_comment(sources['edges'])}.\n"
        f"edges = {pairs(skeleton.edges)}\n\n"
        f"# Object keypoint similarity's constants: {_comment(sources['sigmas'])}.\n"
        f"sigmas = [\n{sigmas}]\n"
    )
    if skeleton_from_dict(tomllib.loads(text)) != skeleton:
        raise AssertionError("the TOML file does not hold the skeleton")
    return text


def _quoted(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise UserError(f"the name {shown(text)} is no valid text; rename it in the export") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _comment(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
