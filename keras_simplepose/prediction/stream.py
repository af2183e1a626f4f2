"""Prediction on photographs, videos and cameras: decoding, detector, network and drawing at the same time."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.poses import Poses
from keras_simplepose.detection.box_file import BoxFile
from keras_simplepose.media.output import VideoFile, Window, write_picture
from keras_simplepose.media.source import Frame, ImageFiles, Source, image_ids
from keras_simplepose.prediction.pose_files import PoseFiles
from keras_simplepose.prediction.predictor import PosePredictor, PredictionRequest
from keras_simplepose.prediction.suppression import suppress
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.stages import Clock, prefetch
from keras_simplepose.viz.drawing import draw_poses
from keras_simplepose.viz.heatmaps import draw_heatmaps

DRAWINGS = "drawings"
IMAGES_AHEAD = 4  # Pictures that may wait for a forward pass to fill up; a 4K one takes 25 MB.

FindPersons = Callable[[Frame], PersonBoxes]


@dataclass
class PredictionSummary:
    """What a run did.

    Attributes:
        pictures: photographs or frames with poses written.
        persons: poses in them.
        drawings: the folder or video with the drawings, if there is one.
        faults: what went wrong, a line each.
        clock: seconds each stage was busy.
    """

    pictures: int = 0
    persons: int = 0
    drawings: Path | None = None
    faults: list[str] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)


def predict_source(
    source: Source,
    predictor: PosePredictor,
    find_persons: FindPersons,
    output: str | Path,
    *,
    draw: bool = True,
    heatmaps: bool = False,
    show: bool = False,
    maximum_frames: int = 0,
    progress: bool = True,
) -> PredictionSummary:
    """Finds the poses in all pictures of a source and writes them to a folder.

    Duplicates are suppressed as the predictor's protocol says, as in evaluation. A picture that cannot be read or
    searched is a fault in the summary, and the rest is done. A camera runs until interrupted.

    Args:
        source: the pictures.
        predictor: finds the poses.
        find_persons: finds the persons.
        output: the folder for poses.json, poses.csv and the drawings.
        draw: writes drawings of pictures and poses.
        heatmaps: lays the heatmaps over them.
        show: shows them in a window.
        maximum_frames: stops after so many pictures; 0 means never.
        progress: shows a progress bar.

    Raises:
        UserError: nothing can be read or written, there is no display to show on, or the network is damaged.
    """
    summary, output = PredictionSummary(), Path(output)
    total = min(source.total or maximum_frames, maximum_frames) if maximum_frames else source.total

    def on_fault(message: str) -> None:
        summary.faults.append(message)
        tqdm.tqdm.write(f"error: {message}", file=sys.stderr)

    stages = _Stages(source, predictor, find_persons, draw or show, heatmaps, maximum_frames, on_fault, summary.clock)
    image_id = _image_ids(source, find_persons)
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(PoseFiles(output, predictor.spec.skeleton))
        sink = stack.enter_context(_Drawings(source, output, draw, show))
        unit = " images" if source.kind == "images" else " frames"
        bar = stack.enter_context(tqdm.tqdm(desc="predicting", total=total, unit=unit, disable=not progress))
        results = stack.enter_context(contextlib.closing(stages.run()))
        if source.kind == "camera":
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))  # It has no other end.
        for frame, poses, drawing in results:
            with summary.clock.busy("write"):
                files.write(frame.name, image_id(frame.index), poses)
                summary.pictures, summary.persons = summary.pictures + 1, summary.persons + len(poses)
                wanted = sink.write(frame, drawing)  # May be interrupted, the poses being written.
            bar.update(frame.index + 1 - bar.n)
            if not wanted:
                break
    summary.drawings = sink.path
    return summary


def suppressed(poses: Poses, predictor: PosePredictor) -> Poses:
    """The poses that evaluation would keep, best first, with the scores it would give them."""
    kept, scores = suppress(poses, predictor.spec, predictor.config)
    return replace(
        poses,
        keypoints=poses.keypoints[kept],
        scores=np.asarray(scores, np.float32),
        boxes=poses.boxes[kept],
        reliable=poses.reliable[kept],
    )


def _image_ids(source: Source, find_persons: FindPersons) -> Callable[[int], int]:
    """The image id of a picture: the annotations', else the number its name ends in, else counted from 1.

    A video's is the frame's number from 0.
    """
    if not isinstance(source, ImageFiles):
        return lambda index: index
    if isinstance(find_persons, BoxFile) and find_persons.ids is not None:
        return find_persons.ids.__getitem__
    ids = image_ids(source.names)
    return ids.__getitem__ if ids is not None else lambda index: index + 1


@dataclass(frozen=True)
class _Stages:
    """The stages a picture goes through, each in a thread of its own."""

    source: Source
    predictor: PosePredictor
    find_persons: FindPersons
    drawn: bool
    heatmaps: bool
    maximum_frames: int
    on_fault: Callable[[str], None]
    clock: Clock

    def run(self) -> Iterator[tuple[Frame, Poses, np.ndarray | None]]:
        """Pictures with poses and drawing; writing them is the reader's, in its own thread."""
        items: Iterator[Any] = iter(())
        for name, stage in (("decode", self.decode), ("detect", self.detect), ("pose", self.pose), ("draw", self.draw)):
            items = prefetch(self.clock.stage(name, stage, items))
        return items

    def decode(self, _: Iterator[Any]) -> Iterator[Frame]:
        frames = self.source.frames(self.on_fault)
        with contextlib.closing(frames):
            for frame in frames:
                yield frame
                if frame.index + 1 == self.maximum_frames:
                    return

    def detect(self, frames: Iterator[Frame]) -> Iterator[PredictionRequest]:
        for frame in frames:
            try:
                request = PosePredictor.request(frame.name, frame.image, self.find_persons(frame))
            except UserError as error:
                self.on_fault(str(error))
                continue
            yield replace(request, key=frame)

    def pose(self, requests: Iterator[PredictionRequest]) -> Iterator[tuple[Frame, Poses]]:
        # A camera's pictures are wanted at once, each by itself.
        ahead = 1 if self.source.kind == "camera" else IMAGES_AHEAD
        for frame, poses in self.predictor.stream(requests, ahead):
            yield frame, suppressed(poses, self.predictor)

    def draw(self, found: Iterator[tuple[Frame, Poses]]) -> Iterator[tuple[Frame, Poses, np.ndarray | None]]:
        for frame, poses in found:
            yield frame, poses, self.drawing(frame.image, poses) if self.drawn else None

    def drawing(self, image: np.ndarray, poses: Poses) -> np.ndarray:
        if self.heatmaps:
            heatmaps, matrices = self.predictor.heatmaps(image, poses.boxes)
            image = draw_heatmaps(image, heatmaps, matrices, self.predictor.spec.stride)
        return draw_poses(image, poses)


class _Drawings:
    """Where drawings go: a folder of pictures or a video, and a window."""

    def __init__(self, source: Source, output: Path, save: bool, show: bool):
        self._stack, self._window = contextlib.ExitStack(), Window("poses") if show else None
        self._folder: Path | None = None
        self._video: VideoFile | None = None
        if save and isinstance(source, ImageFiles):
            self._folder = output / DRAWINGS
            if self._folder.resolve() == source.root.resolve():
                raise UserError(f"{self._folder}: the drawings would replace the images; choose another output")
        elif save:
            self._video = VideoFile(output / Path(source.name).stem.replace(" ", "_"), source.rate)

    @property
    def path(self) -> Path | None:
        """The folder or the video."""
        return self._video.path if self._video else self._folder

    def __enter__(self) -> "_Drawings":
        if self._video:
            self._stack.enter_context(self._video)
        if self._window:
            self._stack.callback(self._window.close)
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)

    def write(self, frame: Frame, drawing: np.ndarray | None) -> bool:
        """Takes a drawing; False if the user has closed the window."""
        if drawing is None:
            return True
        if self._folder:
            write_picture(self._folder, frame.name, drawing)
        if self._video:
            self._video.write(drawing)
        return self._window is None or self._window.show(drawing)
