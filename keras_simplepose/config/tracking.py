"""Tracking. [paper] is Simple Baselines (ECCV 2018), section 4; [others] are reimplementations of it."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.evaluation import ANY_MODEL
from keras_simplepose.config.options import option

MOVED_BOXES = {"propagate": True}


@dataclass(frozen=True)
class TrackingConfig:
    """How persons are followed."""

    similarity: Literal["bbox", "pose", "flow", "multi_flow"] = option(
        "multi_flow",
        "what says that two poses are one person: IoU of boxes, OKS, OKS after moving by the flow, or the last over "
        "several frames, which alone survives a gap [paper: multi_flow]",
    )
    queue: int = option(
        8,
        "frames back that are compared; longer gaps end a track [others: up to 8]",
        minimum=1,
    )
    compare_queue: bool = option(
        False,
        "compare with every frame of the queue, as multi_flow does, not with the last alone; tells what the queue "
        "gains from what the flow does",
        only_with={"similarity": ("bbox", "pose", "flow")},
    )
    minimum_similarity: float = option(
        0.3, "of a pose to a track; less begins a new one [others: 0.2 to 0.3]", above=0, maximum=1
    )
    common_joints: int = option(
        3,
        "least joints seen in both of two poses, else their OKS is 0: one joint near another proves little",
        minimum=1,
    )
    propagate: bool = option(True, "boxes of the joints moved by the flow stand beside the detector's [paper]")
    propagation_margin: float = option(
        0.15, "by which the box of joints is extended, half on each side [paper]", minimum=0
    )
    propagation_threshold: float = option(
        0.3,
        "least mean joint score, which is the moved box's score [others: 0.7; small networks seldom reach that]",
        minimum=0,
        maximum=1,
        only_with=MOVED_BOXES,
    )
    propagation_limit: int = option(
        8,
        "frames in which the detector may miss a person before its moved box is dropped, so that no ghost stays",
        minimum=1,
        only_with=MOVED_BOXES,
    )
    box_nms: float = option(
        0.6,
        "IoU above which the weaker of two boxes is a duplicate; less loses who passes behind another [others: 0.5]",
        minimum=0,
        maximum=1,
    )
    pose_nms: float = option(
        0.7,
        "OKS above which the weaker of two poses is a duplicate: a person's detected and moved box give two poses that "
        "are seldom as alike as the release's evaluation asks for [0.9]",
        minimum=0,
        maximum=1,
    )
    box_threshold: float = option(0.5, "detected boxes below this are dropped [paper]", minimum=0, maximum=1)
    joint_threshold: float = option(
        0.4, "joints below this are neither compared, moved nor reported [paper]", minimum=0, maximum=1
    )
    flow: Literal["dis", "farneback"] = option("dis", "optical flow: OpenCV's DIS, or Farnebäck, which is slower")
    flow_side: int = option(
        320, "longer side in pixels of the frames the flow is computed on; larger ones are reduced", minimum=1
    )
    cut_histogram: float = option(
        0.45,
        "distance of two frames' histograms (Bhattacharyya, 0 to 1) from which on it is a cut; above 1: never",
        above=0,
    )
    cut_residual: float = option(
        40.0, "mean grey levels that the flow leaves unexplained from which on it is a cut; 256: never", above=0
    )
    detector_every: int = option(
        1,
        "run the detector on every so manieth frame; between, boxes come from the tracks",
        minimum=1,
        only_with=MOVED_BOXES,
    )


@dataclass(frozen=True)
class TrackConfig:
    """What to track, and what to write."""

    input: str = option("", "a video, a camera's number, a stream's address, or a folder of frames", required=True)
    output: str = option("", "folder for tracks.json, tracks.csv and the video", required=True)
    model: str = option("small", ANY_MODEL, only_with={"poses": False})
    boxes: str = option(
        "", "the persons' boxes instead of a detector: COCO detection results, by frame", only_with={"poses": False}
    )
    poses: str = option("", "COCO keypoint results to track as they are, by frame from 0, such as predict's poses.json")
    skeleton: str = option("coco17", "of the poses; a name or a file", only_with={"poses": True})
    smooth: bool = option(False, "smooth the joints by the One-Euro filter; figures are measured without")
    smoothing_cutoff: float = option(1.0, "Hz at rest; less smooths more", above=0, only_with={"smooth": True})
    smoothing_beta: float = option(
        2.0, "Hz by which it rises at a speed of one person's size a second", minimum=0, only_with={"smooth": True}
    )
    draw: bool = option(True, "write the video, with poses, ids and trails drawn in")
    trail: int = option(30, "frames of the trail behind each person; 0: none", minimum=0, only_with={"draw": True})
    maximum_frames: int = option(0, "stop after so many frames; 0: all of them", minimum=0)


@dataclass(frozen=True)
class TrackEvaluationConfig:
    """What to measure."""

    annotations: str = option(
        "", "PoseTrack JSON of 2018 or 2021 with the ground truth, or a folder of such", required=True
    )
    results: str = option("", "the same with the tracks, such as track's tracks.json", required=True)
    protocol: Literal["poseval", "corrected"] = option(
        "corrected", "poseval: the official figures, everything odd about them included; corrected: what its texts say"
    )
    output: str = option("", "JSON file for all figures; without it the table alone is printed")
