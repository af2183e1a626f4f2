"""Measurements of speed."""

from dataclasses import dataclass
from typing import Literal

from keras_simplepose.config.options import option

OWN_FILM = {"suites": "tracking", "tracking_video": True}


@dataclass(frozen=True)
class BenchmarkConfig:
    """What to measure."""

    suites: tuple[str, ...] = option(
        ("input", "training"),
        "what to measure",
        choices=("input", "training", "decoding", "export", "video", "tracking", "memory"),
        lengths=range(1, 8),
        distinct=True,
    )
    rounds: int = option(3, "measurements of each kind, taken in turns; their median counts", minimum=1)
    output: str = option("", "file to write the rows to as well, JSON lines")
    annotations: str = option(
        "", "COCO keypoint JSON of training persons", only_with={"suites": "input"}, required={"suites": "input"}
    )
    images: str = option("", "folder of their images", only_with={"suites": "input"}, required={"suites": "input"})
    prepared: str = option(
        "",
        "what prepare wrote of them; without it, it is prepared anew in a temporary folder",
        only_with={"suites": "input"},
    )
    reference_loader: str = option(
        "",
        "script to compare with; takes --annotations --images --workers --limit, prints JSON lines",
        only_with={"suites": "input"},
    )
    reference_workers: tuple[int, ...] = option(
        (0, 2),
        "numbers of workers of the script; its best counts",
        minimum=0,
        lengths=range(1, 9),
        only_with={"suites": "input", "reference_loader": True},
    )
    persons: int = option(1920, "persons per measurement", minimum=32, only_with={"suites": "input"})
    training_batch: int = option(8, "crops per step", minimum=1, only_with={"suites": "training"})
    training_steps: int = option(3, "steps per measurement", minimum=1, only_with={"suites": "training"})
    jit_compile: Literal["auto", "on", "off"] = option(
        "auto", "XLA; auto: both ways, the faster one counts", only_with={"suites": "training"}
    )
    export_batch: int = option(
        8,
        "crops a call, where a form takes several",
        minimum=2,
        only_with=({"suites": "export"}, {"suites": "decoding"}),
    )
    model: str = option(
        "",
        "pose model; default: a ResNet-50 of random weights, 256×192, which is as fast",
        only_with=({"suites": "video"}, OWN_FILM),
        required=OWN_FILM,
    )
    detector: str = option(
        "",
        "YOLOX .onnx file; without it no detector runs",
        only_with=({"suites": "video"}, OWN_FILM),
        required=OWN_FILM,
    )
    frames: int = option(
        120, "frames of the rendered 1080p video of two people", minimum=1, only_with={"suites": "video"}
    )
    tracking_frames: int = option(
        120,
        "frames of each of the rendered films of five people",
        minimum=2,
        only_with={"suites": "tracking", "tracking_video": False},
    )
    tracking_video: str = option(
        "",
        "a video of yours, or a folder of frames, to track in instead of rendered films, by model and detector",
        only_with={"suites": "tracking"},
    )
    tracking_annotations: str = option(
        "", "PoseTrack JSON of its people, with ids and head boxes", only_with=OWN_FILM, required=OWN_FILM
    )
    tracking_picture: str = option(
        "", "picture to draw the sweep of thresholds in, such as sweep.png", only_with={"suites": "tracking"}
    )
    memory_steps: int = option(3000, "training steps of a small network", minimum=1, only_with={"suites": "memory"})
    memory_images: int = option(2000, "photographs to predict", minimum=1, only_with={"suites": "memory"})
    memory_picture: str = option(
        "", "picture to draw the curves of memory in, such as memory.png", only_with={"suites": "memory"}
    )


@dataclass(frozen=True)
class SummaryConfig:
    """What networks to sum up."""

    model: tuple[str, ...] = option((), "pose networks: .keras files, or small (the shipped one)")
    experiments: tuple[str, ...] = option((), "flagfiles of train, of whose networks new ones are made; --flagfile too")
    rounds: int = option(5, "timed forward passes of one crop, whose median counts; 0: none", minimum=0)
    training_batch: int = option(8, "crops of the training step whose memory is measured; 0: none", minimum=0)
