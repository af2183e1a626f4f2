"""Prediction on photographs, videos and cameras: decoding, detector, network and drawing at the same time."""

import contextlib
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from keras_simplepose.core.boxes import PersonBoxes
from keras_simplepose.core.poses import Poses
from keras_simplepose.data.persons import PERSON_CATEGORY
from keras_simplepose.detection.box_file import BoxFile
from keras_simplepose.media.output import Window, picture_path, write_picture
from keras_simplepose.media.source import Frame, ImageFiles, Source, Video, image_ids
from keras_simplepose.media.video import VideoFile
from keras_simplepose.prediction.fiftyone_folder import FOLDER_NAME, FiftyOneFolder
from keras_simplepose.prediction.pose_files import CSV_NAME, JSON_NAME, PoseFiles
from keras_simplepose.prediction.predictor import PosePredictor, PredictionRequest
from keras_simplepose.prediction.suppression import suppress
from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import check_outputs
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
        fiftyone: the folder that FiftyOne opens, if one was wanted.
        faults: what went wrong, a line each.
        clock: seconds each stage was busy.
    """

    pictures: int = 0
    persons: int = 0
    drawings: Path | None = None
    fiftyone: Path | None = None
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
    fiftyone: bool = False,
    maximum_frames: int = 0,
    inputs: Sequence[str | Path] = (),
    progress: bool = True,
) -> PredictionSummary:
    """Finds the poses in all pictures of a source and writes them to a folder.

    Duplicates are suppressed as the predictor's protocol says, as in evaluation. A picture that cannot be read,
    searched or drawn is a fault in the summary, and the rest is done. A camera runs until interrupted.

    Args:
        source: the pictures.
        predictor: finds the poses.
        find_persons: finds the persons.
        output: the folder for poses.json, poses.csv and the drawings.
        draw: writes drawings of pictures and poses.
        heatmaps: lays the heatmaps over them.
        show: shows them in a window.
        fiftyone: writes a folder that FiftyOne opens as a dataset; photographs only.
        maximum_frames: stops after so many pictures; 0 means never.
        inputs: files that are read beside the source, which no output may replace.
        progress: shows a progress bar.

    Raises:
        UserError: nothing can be read or written, fiftyone is wanted of what are no photographs, an output would
            replace an input, a file not made here or the results of another source, there is no display to show on, or
            the network is damaged.
    """
    summary, output = PredictionSummary(), Path(output)
    check_outputs(planned_outputs(source, output, draw, fiftyone), [*source.paths, *inputs], source.identity)
    total = min(source.total or maximum_frames, maximum_frames) if maximum_frames else source.total

    def on_fault(message: str) -> None:
        summary.faults.append(message)
        tqdm.tqdm.write(f"error: {message}", file=sys.stderr)

    stages = _Stages(source, predictor, find_persons, draw or show, heatmaps, maximum_frames, on_fault, summary.clock)
    image_id = _image_ids(source, find_persons)
    category_id = find_persons.category_id if isinstance(find_persons, BoxFile) else PERSON_CATEGORY
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(PoseFiles(output, predictor.spec.skeleton, category_id, source.identity))
        dataset = None
        if fiftyone and isinstance(source, ImageFiles):
            dataset = stack.enter_context(FiftyOneFolder(output, predictor.spec.skeleton, source.identity))
        sink = stack.enter_context(_Drawings(source, output, draw, show, on_fault))
        unit = " images" if source.kind == "images" else " frames"
        bar = stack.enter_context(tqdm.tqdm(desc="predicting", total=total, unit=unit, disable=not progress))
        results = stack.enter_context(contextlib.closing(stages.run()))
        if source.is_live:
            stack.enter_context(contextlib.suppress(KeyboardInterrupt))  # It has no other end.
        for frame, poses, drawing in results:
            with summary.clock.busy("write"):
                files.write(frame.name, image_id(frame.index), poses, frame.seconds)
                if dataset is not None and isinstance(source, ImageFiles):
                    dataset.write(source.root / frame.name, frame.image.shape[:2], poses)
                summary.pictures, summary.persons = summary.pictures + 1, summary.persons + len(poses)
                wanted = sink.write(frame, drawing)  # May be interrupted, the poses being written.
            bar.update(frame.index + 1 - bar.n)
            if not wanted:
                break
    summary.drawings, summary.fiftyone = sink.path, dataset.path if dataset else None
    return summary


def planned_outputs(source: Source, output: Path, save_drawings: bool, fiftyone: bool = False) -> list[Path]:
    """The files and folders that `predict_source` writes to a folder.

    Raises:
        UserError: fiftyone is wanted of what are no photographs.
    """
    if fiftyone and not isinstance(source, ImageFiles):
        raise UserError("fiftyone wants photographs, whose files it refers to; it has none of a video's frames")
    paths = [output / JSON_NAME, output / CSV_NAME, *([output / FOLDER_NAME] if fiftyone else [])]
    if not save_drawings:
        return paths
    if isinstance(source, Video):
        return [*paths, _video_path(source, output)]
    return [*paths, *(picture_path(output / DRAWINGS, name) for name in source.names)]


def _video_path(source: Video, output: Path) -> Path:
    """Where a video's drawing goes: under its own name, which must not be that of the video itself."""
    return output / f"{source.stem}.mp4"


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
    """The image id of a picture: the box file's, else the number its name ends in, else counted from 1.

    A video's is the frame's number from 0.
    """
    if not isinstance(source, ImageFiles):
        return lambda index: index
    if isinstance(find_persons, BoxFile) and find_persons.ids is not None:
        listed = find_persons.ids
        return lambda index: listed.get(index, 0)  # Pictures without an id are without persons.
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

    def run(self) -> Generator[tuple[Frame, Poses, np.ndarray | None], None, None]:
        """Pictures with poses and drawing; writing them is the reader's, in its own thread."""
        items: Any = iter(())
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
        # A camera's or stream's pictures are wanted at once, each by itself.
        ahead = 1 if self.source.is_live else IMAGES_AHEAD
        for frame, poses in self.predictor.stream(requests, ahead):
            yield frame, suppressed(poses, self.predictor)

    def draw(self, found: Iterator[tuple[Frame, Poses]]) -> Iterator[tuple[Frame, Poses, np.ndarray | None]]:
        for frame, poses in found:
            drawing = None
            try:
                if self.drawn:
                    drawing = self.drawing(frame.image, poses)
            except Exception as error:  # Whatever it is: a drawing must not cost the poses.
                self.on_fault(f"{frame.name}: cannot be drawn ({error})")
            yield frame, poses, drawing

    def drawing(self, image: np.ndarray, poses: Poses) -> np.ndarray:
        if self.heatmaps:
            heatmaps, matrices = self.predictor.heatmaps(image, poses.boxes)
            image = draw_heatmaps(image, heatmaps, matrices, self.predictor.spec.strides)
        return draw_poses(image, poses)


class _Drawings:
    """Where drawings go: a folder of pictures or a video, and a window.

    What goes wrong with them is told and does not stop the prediction: the poses count.
    """

    def __init__(self, source: Source, output: Path, save: bool, show: bool, on_fault: Callable[[str], None]):
        self._window = Window("poses") if show else None
        self._on_fault, self._source = on_fault, source.identity
        self._folder = output / DRAWINGS if save and isinstance(source, ImageFiles) else None
        self._video: VideoFile | None = None
        if save and isinstance(source, Video):
            self._video = VideoFile(_video_path(source, output), source.rate, source.identity)

    @property
    def path(self) -> Path | None:
        """The folder or the video."""
        return self._video.path if self._video else self._folder

    def __enter__(self) -> "_Drawings":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._window:
            self._window.close()
        self._end_video(error)

    def write(self, frame: Frame, drawing: np.ndarray | None) -> bool:
        """Takes a drawing; False if the user has closed the window."""
        if drawing is None:
            return True
        try:
            if self._folder:
                write_picture(self._folder, frame.name, drawing, self._source)
            if self._video:
                self._video.write(drawing, frame.seconds)
        except (UserError, OSError, ValueError) as error:
            self._on_fault(f"{frame.name}: its drawing is not kept: {error}")
            self._end_video(error)
        return self._window is None or self._window.show(drawing)

    def _end_video(self, error: BaseException | None) -> None:
        """Closes the video, or gives it up after an error."""
        video, kept = self._video, False
        if video is None:
            return
        try:
            kept = video.close(error)
        except (UserError, OSError) as fault:
            self._on_fault(f"the drawing is not kept: {fault}")
        if not kept:
            self._video = None
