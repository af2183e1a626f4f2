"""What differences between two evaluations are known to cost.

Figures are AP in hundredths (70.4) unless a share (.704). Sources: [paper] Simple Baselines (ECCV 2018), tables 2 and
3; [issues] the discussions of its official release; [mmpose] that project's table of the same networks; [here] measured
with the `small` of AP .464, on 323 persons of COCO val in ground-truth boxes: an indication, its interval being ±4.5.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

INCOMPARABLE = "The figures cannot be compared"


@dataclass(frozen=True)
class Cost:
    """What is known of one difference.

    Attributes:
        title: what differs, in words.
        known: what it costs, or why that cannot be told.
        source: of that; "" where it follows from what the option means.
    """

    title: str
    known: str
    source: str = ""


# By the dotted name in metrics.json; the first pattern that fits counts.
COSTS: dict[str, Cost] = {
    "provenance.boxes": Cost(
        "boxes",
        "ground-truth boxes give about 2 more than a detector's of person AP 56.4 (R50 256×192: 72.4 and 70.4)",
        "[issues], [paper]",
    ),
    "provenance.files.annotations.sha256": Cost(
        "annotations", f"{INCOMPARABLE}: the ground truth is another; measure both on one file"
    ),
    "provenance.files.detections.sha256": Cost(
        "detections", "the detector decides which persons are found at all; not known in general: measure on one file"
    ),
    "provenance.protocol.metric": Cost("metric", f"{INCOMPARABLE}: OKS and PCKh are different measures"),
    "provenance.protocol.codec_only": Cost(
        "codec only", f"{INCOMPARABLE}: one of them is the codec's ceiling, without a network"
    ),
    "provenance.protocol.head_boxes": Cost("head boxes", "PCKh is in units of them, so another file moves it"),
    "provenance.protocol.minimum_box_score": Cost(
        "least score of a box",
        "weak boxes add recall at low precision; leaving them out costs AP, seldom more than 0.5",
    ),
    "provenance.protocol.flip_test": Cost("flip test", "without it 1.8 less (.446 instead of .464)", "[here]"),
    "provenance.protocol.flip_shift": Cost(
        "shift of the flipped heatmaps",
        "without it .8 less (.457 instead of .464): the mirrored maps lie .75 heatmap pixels off",
        "[here]",
    ),
    "provenance.protocol.decoding": Cost(
        "decoding", "see the codec of the network, which is the one that read the maps"
    ),
    "provenance.protocol.keypoint_threshold": Cost(
        "keypoint threshold", "moves the scores of poses, so their order, and nothing else"
    ),
    "provenance.protocol.nms": Cost(
        "suppression",
        "in ground-truth boxes next to nothing (.464 with and without; 1 of 323 poses is suppressed); "
        "in a detector's, duplicates cost",
        "[here]",
    ),
    "provenance.protocol.nms_threshold": Cost(
        "threshold of suppression", "lower ones also drop people close together; not known in general"
    ),
    "provenance.protocol.soft_nms_keep": Cost(
        "poses kept by soft suppression", "COCO counts 20 poses an image at most"
    ),
    "provenance.protocol.evaluation_batch_size": Cost("batch", "nothing beyond float rounding"),
    "provenance.protocol.orientation": Cost(
        "EXIF orientation", "photographs read in another frame than annotated lose nearly all their keypoints"
    ),
    "provenance.protocol.trust_keypoint_order": Cost(
        "order of keypoints", "if the names were right, every keypoint is held against another's place"
    ),
    "provenance.protocol.boxes_from_keypoints": Cost(
        "boxes from keypoints", "persons without a box are measured in one, and left out in the other"
    ),
    "provenance.protocol.skip_damaged": Cost("damaged images", "left out in one; see the number of images"),
    "provenance.protocol.report": Cost("report", "nothing"),
    "counts.images": Cost("number of images", f"{INCOMPARABLE} unless measured on the images of both, as done below"),
    "counts.persons": Cost("number of persons", f"{INCOMPARABLE} unless measured on the persons of both"),
    "counts.*": Cost("counts", "follows from the other differences, or from the network"),
    "annotations*": Cost("annotations as read", f"{INCOMPARABLE}: other persons were left out or estimated"),
    "skipped*": Cost("images skipped", "their persons are not in the figures of one of them"),
    "provenance.network.codec": Cost(
        "codec", "DARK instead of the quarter offset: +0.6 for R50 256×192 (71.8 and 72.4)", "[mmpose]"
    ),
    "provenance.network.input_size": Cost(
        "input size", "R50: 60.6 at 128×96, 70.4 at 256×192, 72.2 at 384×288", "[paper]"
    ),
    "provenance.network.heatmap_size": Cost(
        "heatmap size", "R50 256×192 with heatmaps of 32×24 instead of 64×48: 67.9 instead of 70.4", "[paper]"
    ),
    "provenance.network.sigma": Cost(
        "sigma of the targets", "a choice of training; 2 at 256×192 and 3 at 384×288", "[paper]"
    ),
    "provenance.network.box_padding": Cost("padding of boxes", "the network expects what it was trained with"),
    "provenance.network.*": Cost(
        "network", f"{INCOMPARABLE} if the keypoints differ; else a difference of the networks"
    ),
    "provenance.files.model*": Cost("model", "the difference to be measured"),
    "provenance.images": Cost(
        "folder of images", "nothing, if they are the same photographs; re-coded ones move AP a little"
    ),
    "provenance.versions.opencv-python": Cost(
        "version of OpenCV",
        "4.10 and 5.0 interpolate crops differently: 5.5 % of joints moved, AP by .01",
        "ARCHITECTURE.md",
    ),
    "provenance.versions.*": Cost("versions", "nothing known beyond float rounding"),
    "provenance.files.*": Cost("path of a file", "nothing; its hash counts"),
}
UNKNOWN = Cost("", "not known")


def cost_of(name: str) -> Cost:
    """What is known of a difference, by its dotted name in metrics.json."""
    return next((cost for pattern, cost in COSTS.items() if fnmatchcase(name, pattern)), UNKNOWN)
