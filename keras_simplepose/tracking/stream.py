"""Tracking through a film or before a camera: decoding, detector, tracker and drawing at the same time."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.config import TrackConfig
from keras_simplepose.core.poses import TrackedPoses
from keras_simplepose.media.source import Frame, Source, Video
from keras_simplepose.media.video import VideoFile
from keras_simplepose.tracking.files import CSV_NAME, JSON_NAME, TrackFiles
from keras_simplepose.tracking.smoothing import OneEuroSmoother
from keras_simplepose.utils.files import check_outputs
from keras_simplepose.utils.stages import Clock, prefetch
from keras_simplepose.viz.tracks import TrackDrawer

FOLDER_RATE = 25.0  # Frames per second of a folder of frames.

# From a frame to its tracked poses.
Follow = Callable[[Frame], TrackedPoses]


@dataclass
class TrackSummary:
    """What a run did.

    Attributes:
        frames: frames with tracks written.
        persons: poses in them.
        ids: the different persons.
        cuts: scenes begun after the first.
        video: the video with the drawings, if there is one.
        faults: what went wrong, a line each.
        clock: seconds each stage was busy.
    """

    frames: int = 0
    persons: int = 0
    ids: int = 0
    cuts: int = 0
    video: Path | None = None
    faults: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


def track_source(source: Source, follow: Follow, config: TrackConfig, progress: bool = True) -> TrackSummary:
    """Tracks the persons of a film and writes tracks.json, tracks.csv and the video to a folder.

    A frame that cannot be read is a fault in the summary; the tracks go on after it. A camera runs until interrupted, a
    stream until it ends or is.

    Args:
        source: the frames, in order.
        follow: tracks the next frame.
        config: what to write.
        progress: shows a progress bar.

    Raises:
        UserError: nothing can be read or written, or a frame is of another size than the video begun.
    """
    summary, output = TrackSummary(), Path(config.output)
    limit = config.maximum_frames
    total = min(source.total or limit, limit) if limit else source.total
    rate = getattr(source, "rate", FOLDER_RATE)
    name = (source.stem if isinstance(source, Video) else Path(config.input).stem).replace(" ", "_")
    outputs = [JSON_NAME, CSV_NAME, *([f"{name}.mp4"] if config.draw else [])]
    check_outputs(
        [output / each for each in outputs], [config.input, config.model, config.boxes, config.poses], source.identity
    )
    smoother = OneEuroSmoother(_known(rate), config.smoothing_cutoff, config.smoothing_beta) if config.smooth else None
    drawer = TrackDrawer(config.trail)

    def on_fault(message: str) -> None:
        summary.faults.append(message)
        tqdm.tqdm.write(f"error: {message}", file=sys.stderr)

    def decode(_: Iterator[Any]) -> Iterator[Frame]:
        with contextlib.closing(source.frames(on_fault)) as frames:
            for frame in frames:
                yield frame
                if frame.index + 1 == limit:
                    return

    def track(frames: Iterator[Frame]) -> Iterator[tuple[Frame, TrackedPoses]]:
        for frame in frames:
            tracked = follow(frame)
            yield frame, smoother(tracked) if smoother else tracked

    def draw(found: Iterator[tuple[Frame, TrackedPoses]]) -> Iterator[tuple[Frame, TrackedPoses, np.ndarray | None]]:
        for frame, tracked in found:
            yield frame, tracked, drawer(frame.image, tracked) if config.draw else None

    items: Any = iter(())
    for stage, run in (("decode", decode), ("track", track), ("draw", draw)):
        items = prefetch(summary.clock.stage(stage, run, items))
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(TrackFiles(output, name, source.identity))
        video = stack.enter_context(VideoFile(output / f"{name}.mp4", rate, source.identity)) if config.draw else None
        bar = stack.enter_context(tqdm.tqdm(desc="tracking", total=total, unit=" frames", disable=not progress))
        results = stack.enter_context(contextlib.closing(items))
        if source.is_live:
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))  # It has no other end.
        for frame, tracked, drawing in results:
            with summary.clock.busy("write"):
                files.write(frame.name, tracked)
                if video is not None:
                    video.write(drawing, frame.seconds)
            summary.frames, summary.persons = summary.frames + 1, summary.persons + len(tracked)
            summary.ids = max(summary.ids, int(tracked.ids.max(initial=0)))  # They are given in turn, from 1.
            summary.cuts += tracked.is_cut
            bar.update(frame.index + 1 - bar.n)
    summary.video = video.path if video else None
    return summary


def _known(rate: float) -> float:
    """The rate, or a usual one where a film does not say: smoothing needs some measure of time."""
    return rate if np.isfinite(rate) else FOLDER_RATE
