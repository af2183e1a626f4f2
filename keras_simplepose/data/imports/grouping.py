"""Single keypoints made persons: by what they belong to, or by the box they lie in."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from keras_simplepose.data.imports.records import Split
from keras_simplepose.data.persons import Box


@dataclass(frozen=True)
class SingleKeypoint:
    """A keypoint that was annotated by itself.

    Attributes:
        name: of the joint.
        x: in pixels.
        y: in pixels.
        visibility: 0, 1 or 2.
        group: what it belongs to, a region or just a common key; None: nothing is stated.
    """

    name: str
    x: float
    y: float
    visibility: int
    group: Hashable | None


@dataclass(frozen=True)
class Region:
    """A person's rectangle.

    Attributes:
        group: its own key.
        box: (x, y, width, height) in pixels.
    """

    group: Hashable
    box: Box

    def contains(self, x: float, y: float) -> bool:
        """Whether a point lies in it, its edge included."""
        left, top, width, height = self.box
        return left <= x <= left + width and top <= y <= top + height


@dataclass
class Group:
    """A person in the making.

    Attributes:
        region: its rectangle, if it has one.
        found: (x, y, visibility) by keypoint name.
    """

    region: Region | None
    found: dict[str, tuple[float, float, int]] = field(default_factory=dict)


def group_keypoints(
    keypoints: Sequence[SingleKeypoint], regions: Sequence[Region], split: Split, where: str
) -> list[Group]:
    """The persons of one image.

    A keypoint with a group goes to it. One without goes to the rectangle it lies in; of several, to the smallest that
    has no such keypoint yet, which is noted. Where nothing groups the keypoints at all and none occurs twice, all are
    one person's. The rest is left out.

    Args:
        keypoints: of the image.
        regions: of the image; those without keypoints become persons without.
        split: counts what was left out and noted.
        where: what messages call the image.
    """
    groups: dict[Hashable, Group] = {region.group: Group(region) for region in regions}
    loose = []
    for each in keypoints:
        if each.group is None:
            loose.append(each)
        else:
            _put(groups.setdefault(each.group, Group(None)), each, split, where)
    names = [each.name for each in loose]
    if loose and not groups and len(set(names)) == len(names):
        groups[None] = Group(None)
        for each in loose:
            _put(groups[None], each, split, where)
        return list(groups.values())
    by_size = sorted(regions, key=lambda region: region.box[2] * region.box[3])
    for each in loose:
        around = [region for region in by_size if region.contains(each.x, each.y)]
        example = f"{each.name} at {each.x:.0f}, {each.y:.0f} in {where}"
        if not around:
            what = "in no rectangle" if regions else "of several persons that nothing tells apart"
            split.left_out.add(f"keypoints {what}", example)
            continue
        free = [region for region in around if each.name not in groups[region.group].found]
        if len(around) > 1:
            split.notes.add("keypoints in several rectangles, given to the smallest that lacked them", example)
        _put(groups[(free or around)[0].group], each, split, where)
    return list(groups.values())


def _put(group: Group, keypoint: SingleKeypoint, split: Split, where: str) -> None:
    if keypoint.name in group.found:
        example = f"{keypoint.name} at {keypoint.x:.0f}, {keypoint.y:.0f} in {where}"
        split.left_out.add("keypoints that their person has already", example)
        return
    group.found[keypoint.name] = keypoint.x, keypoint.y, keypoint.visibility
