"""Which category of a COCO file has a skeleton's keypoints, and in which order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_simplepose.core.skeletons import Skeleton
from keras_simplepose.data.fields import entry_id
from keras_simplepose.utils.errors import UserError, shown

# How a category's keypoints compare with a skeleton's, best first.
_SAME, _REORDERED, _OTHER_NAMES, _UNNAMED, _CONTRADICTING = range(5)
_NAMED_IN_AN_ERROR = 3  # Categories, at most.


@dataclass(frozen=True)
class Category:
    """The category of the persons.

    Attributes:
        id: its own.
        order: the places of the skeleton's keypoints among the category's; None: the same order.
        remark: what to tell the user about the order, if anything.
    """

    id: int
    order: tuple[int, ...] | None = None
    remark: str = ""


def find_category(categories: Sequence[Any], skeleton: Skeleton, trust_keypoint_order: bool, path: Path) -> Category:
    """The category that has the skeleton's keypoints, told by their names.

    The same names in another order are put in the skeleton's order. Names of which the skeleton has none are taken in
    their order. Some of its names beside others, or in other places, are refused.

    Args:
        categories: as the file lists them.
        skeleton: the keypoints wanted.
        trust_keypoint_order: take them in the file's order, whatever their names.
        path: the file, for errors.

    Raises:
        UserError: the list is faulty, or no category fits, or several.
    """
    ids = [entry_id(category, "entry of categories", path) for category in categories]
    if len(set(ids)) < len(ids):
        raise UserError(f"{path}: two categories have the id {next(one for one in ids if ids.count(one) > 1)}")
    names = [_names(category, identifier, path) for category, identifier in zip(categories, ids, strict=True)]
    kinds = [_compare(there, skeleton) for there in names]
    allowed = [_SAME, _REORDERED, _OTHER_NAMES]
    if trust_keypoint_order:
        allowed += [_CONTRADICTING, *([_UNNAMED] if len(ids) == 1 else [])]
    for kind in allowed:
        found = [index for index, there in enumerate(kinds) if there == kind]
        if len(found) > 1:
            which = ", ".join(str(ids[index]) for index in found[:_NAMED_IN_AN_ERROR])
            more = len(found) - _NAMED_IN_AN_ERROR
            raise UserError(
                f"{path}: categories {which}{f' and {more} more' if more > 0 else ''} all fit skeleton "
                f"{skeleton.name}; keep one of them in the file"
            )
        if found:
            title = shown(_title(categories[found[0]], ids[found[0]]))
            return _category(ids[found[0]], names[found[0]], title, kind, skeleton, trust_keypoint_order)
    raise UserError(f"{path}: {_misfit(categories, ids, names, kinds, skeleton)}")


def _category(
    identifier: int, names: Sequence[str], title: str, kind: int, skeleton: Skeleton, trusted: bool
) -> Category:
    if kind == _SAME:
        return Category(identifier)
    if trusted:
        return Category(identifier, remark=f"keypoints of category {title} taken in their order, as told")
    if kind == _OTHER_NAMES:
        remark = f"category {title} names none of {skeleton.name}'s keypoints: taken in their order"
        return Category(identifier, remark=remark)
    places = [_plain(name) for name in names]
    order = tuple(places.index(_plain(name)) for name in skeleton.keypoints)
    return Category(identifier, order, f"keypoints of category {title} put in {skeleton.name}'s order by their names")


def _title(category: Mapping[str, Any], identifier: int) -> Any:
    return category.get("name", identifier)


def _plain(name: str) -> str:
    """A name without what spellings differ in: AI Challenger writes "Right Shoulder"."""
    return "".join(character for character in name.casefold() if character.isalnum())


def _names(category: Mapping[str, Any], identifier: int, path: Path) -> tuple[str, ...]:
    """The category's keypoint names; none where it has no keypoints."""
    names = category.get("keypoints")
    if names is None:
        return ()
    if not isinstance(names, list):
        raise UserError(
            f"{path}: category {identifier}: keypoints is {shown(names)}; it must be the list of their names"
        )
    for name in names:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(f"{path}: category {identifier}: a keypoint is named {shown(name)}; it must be text")
    return tuple(map(str, names))


def _compare(names: Sequence[str], skeleton: Skeleton) -> int | None:
    """One of the kinds above; None: another number of keypoints."""
    if not names:
        return _UNNAMED
    if len(names) != len(skeleton.keypoints):
        return None
    there, wanted = [_plain(name) for name in names], [_plain(name) for name in skeleton.keypoints]
    if there == wanted:
        return _SAME
    if set(there) == set(wanted):
        return _REORDERED
    return _CONTRADICTING if set(there) & set(wanted) else _OTHER_NAMES


def _misfit(
    categories: Sequence[Mapping[str, Any]],
    ids: Sequence[int],
    names: Sequence[Sequence[str]],
    kinds: Sequence[int | None],
    skeleton: Skeleton,
) -> str:
    """Why no category fits."""
    if _CONTRADICTING in kinds:
        index = kinds.index(_CONTRADICTING)
        place, there, wanted = next(
            (place, there, wanted)
            for place, (there, wanted) in enumerate(zip(names[index], skeleton.keypoints, strict=True), start=1)
            if _plain(there) != _plain(wanted)
        )
        return (
            f"keypoint {place} of category {shown(_title(categories[index], ids[index]))} is {shown(there)}, that of "
            f"skeleton {skeleton.name} is {wanted!r}; give the skeleton of these annotations, or "
            "trust_keypoint_order if only the names differ"
        )
    there = ", ".join(
        f"{_text(_title(category, identifier))} has {len(keypoints)}"
        for category, identifier, keypoints in zip(categories[:_NAMED_IN_AN_ERROR], ids, names, strict=False)
    )
    more = len(ids) - _NAMED_IN_AN_ERROR
    return (
        f"no category has the {len(skeleton.keypoints)} keypoints of skeleton {skeleton.name}"
        f" ({there or 'there are no categories'}{f', and {more} more' if more > 0 else ''}); give the skeleton of "
        "these annotations"
    )


def _text(title: Any) -> str:
    return title if isinstance(title, str) and title.isprintable() and len(title) <= 30 else shown(title)
