"""What a checkpoint was trained on and with, told from its file's name and from what its trainer wrote beside it."""

import re
from dataclasses import dataclass
from pathlib import Path

from keras_simplepose.core import codecs, skeletons
from keras_simplepose.utils.errors import UserError


@dataclass(frozen=True)
class DataSet:
    """A data set that mmpose trains on.

    Attributes:
        title: what people call it.
        pattern: of its names in mmpose's file names and configurations, in small letters.
        keypoints: how many it annotates.
        skeleton: its name in `core.skeletons`, whether or not there is one yet; "" where none is meant to be.
    """

    title: str
    pattern: str
    keypoints: int
    skeleton: str = ""


# The order counts: a name's characters belong to the first data set that matches them.
DATA_SETS = (
    DataSet("COCO-WholeBody's faces", r"coco[-_]?wholebody[-_]?face", 68),
    DataSet("COCO-WholeBody's hands", r"coco[-_]?wholebody[-_]?hand", 21),
    DataSet("COCO-WholeBody", r"coco[-_]?wholebody", 133),
    DataSet("COCO", r"coco", 17, "coco17"),
    DataSet("MPII-TRB", r"mpii[-_]?trb", 40),
    DataSet("MPII", r"mpii", 16, "mpii16"),
    DataSet("PoseTrack 2018", r"pose[-_]?track(20)?18", 17, "posetrack18"),
    DataSet("PoseTrack 2017", r"pose[-_]?track(20)?1[57]", 15, "posetrack15"),
    DataSet("JHMDB", r"(sub[-_]?)?jhmdb(?:[-_]?sub\d)?", 15, "jhmdb15"),
    DataSet("CrowdPose", r"crowd[-_]?pose", 14, "crowdpose14"),
    DataSet("AI Challenger", r"aic", 14, "aic14"),
    DataSet("OCHuman", r"ochuman", 17, "ochuman17"),
    DataSet("Human3.6M", r"h36m|human3\.?6m", 17),
    DataSet("MHP", r"mhp", 16),
    DataSet("Halpe", r"halpe", 136),
    DataSet("ExLPose", r"exlpose", 14),
    DataSet("AP-10K", r"ap[-_]?10k", 17),
    DataSet("Animal-Pose", r"animal[-_]?pose", 20),
    DataSet("Animal Kingdom", r"ak|animal[-_]?kingdom", 23),
    DataSet("Horse-10", r"horse[-_]?10", 22),
    DataSet("MacaquePose", r"macaque(?:[-_]?pose)?", 17),
    DataSet("ATRW", r"atrw", 15),
    DataSet("Grévy's Zebra", r"zebra", 9),
    DataSet("Vinegar Fly", r"fly", 32),
    DataSet("Desert Locust", r"locust", 35),
    DataSet("OneHand10K", r"one[-_]?hand[-_]?10k", 21),
    DataSet("FreiHAND", r"frei[-_]?hand(?:2d)?", 21),
    DataSet("CMU Panoptic's hands", r"panoptic(?:[-_]?hand2d)?", 21),
    DataSet("RHD", r"rhd(?:2d)?", 21),
    DataSet("InterHand2.6M", r"interhand2d|interhand", 21),
    DataSet("300W", r"300w", 68),
    DataSet("WFLW", r"wflw", 98),
    DataSet("AFLW", r"aflw", 19),
    DataSet("COFW", r"cofw", 29),
    DataSet("LaPa", r"lapa", 106),
)
RELEASE = "official"
RELEASE_SKELETONS = {17: "coco17", 16: "mpii16"}  # The official release's code knows these two data sets alone.
# Codec → its mark in file names, and in mmpose's configurations of both generations.
_CODEC_MARKS = {
    "udp": (r"udp", r"use_udp\s*=\s*True|UDPHeatmap"),
    "dark": (r"dark", r"unbiased(?:_decoding)?\s*=\s*True|post_process\s*=\s*'unbiased'"),
}
DEFAULT_CODEC = "quarter_offset"


@dataclass(frozen=True)
class Provenance:
    """What is written about a checkpoint.

    Attributes:
        name: of its file, which mmpose makes of data set, size and codec.
        data_set: its name as the trainer noted it, or "".
        configuration: text of the trainer's configuration, or "".
    """

    name: str
    data_set: str = ""
    configuration: str = ""


def _matches(pattern: str, text: str) -> list[tuple[int, int]]:
    """Where a word stands, between whatever is neither letter nor digit."""
    return [match.span() for match in re.finditer(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", text.lower())]


def named_data_sets(text: str) -> list[DataSet]:
    """The data sets a text names, each once."""
    found: list[DataSet] = []
    taken: list[tuple[int, int]] = []
    for data_set in DATA_SETS:
        spans = [
            span for span in _matches(data_set.pattern, text) if not any(a < span[1] and span[0] < b for a, b in taken)
        ]
        taken += spans
        found += [data_set] if spans else []
    return found


def data_sets_of(provenance: Provenance) -> tuple[list[DataSet], str]:
    """The data sets a checkpoint names, and where it says so: its trainer's notes before its file's name."""
    if found := named_data_sets(provenance.data_set):
        return found, "the checkpoint's notes"
    if found := named_data_sets(Path(provenance.name).name):
        return found, "file's name"
    names = re.findall(r"dataset_name\s*=\s*['\"]([\w-]+)['\"]", provenance.configuration)
    return named_data_sets(" ".join(names)), "the checkpoint's configuration"


def skeleton_of(provenance: Provenance, keypoints: int, where: str, source: str = RELEASE) -> tuple[str, str]:
    """The name of the skeleton a checkpoint's heatmaps belong to, and where it was found.

    Args:
        provenance: what is written about the checkpoint.
        keypoints: how many heatmaps it gives.
        where: what to call it in errors.
        source: whose checkpoint it is.

    Raises:
        UserError: another data set's, one without a skeleton here, or nothing says which of several.
    """
    named, origin = data_sets_of(provenance)
    ask = "give the option skeleton: a name or a file of these keypoints"
    if not named:
        if source == RELEASE and keypoints in RELEASE_SKELETONS:
            return RELEASE_SKELETONS[keypoints], f"the release's of {keypoints} heatmaps; no data set is named anywhere"
        possible = [each.name for each in skeletons.SKELETONS.values() if len(each.keypoints) == keypoints]
        if len(possible) == 1:
            return possible[0], f"the only one of {keypoints} heatmaps; no data set is named anywhere"
        which = f", which may be {' or '.join(possible)}" if possible else ""
        raise UserError(f"{where}: gives {keypoints} heatmaps{which}, and names no data set; {ask}")
    titles = " and ".join(each.title for each in named)
    fitting = {each.skeleton: each for each in named if each.keypoints == keypoints}
    if not fitting:
        counts = " and ".join(f"{each.title} has {each.keypoints}" for each in named)
        raise UserError(f"{where}: gives {keypoints} heatmaps, but {counts} keypoints ({origin}); {ask}")
    if len(fitting) > 1:
        raise UserError(f"{where}: names {titles} ({origin}), of {keypoints} keypoints each; {ask}")
    ((skeleton, data_set),) = fitting.items()
    if skeleton not in skeletons.SKELETONS:
        raise UserError(
            f"{where}: was trained on {data_set.title} ({origin}), whose {keypoints} keypoints no skeleton here "
            f"describes; {ask}"
        )
    return skeleton, f"{data_set.title}, {origin}"


def codec_of(provenance: Provenance) -> tuple[str, str]:
    """The codec to read a checkpoint's heatmaps with, and why, with a warning where its own does not exist here."""
    for codec, (in_names, in_configurations) in _CODEC_MARKS.items():
        in_name = _matches(in_names, Path(provenance.name).name)
        if not in_name and not re.search(in_configurations, provenance.configuration):
            continue
        origin = "file's name" if in_name else "the checkpoint's configuration"
        if codec in codecs.CODECS:
            return codec, origin
        return DEFAULT_CODEC, f"WARNING: trained with {codec} ({origin}), which is unknown here: expect another AP"
    return DEFAULT_CODEC, "convention"
