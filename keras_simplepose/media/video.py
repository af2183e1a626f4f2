"""Video files and streams at their own times, read and written with FFmpeg through PyAV.

PyAV, unlike OpenCV, gives every frame the time it is shown at: variable rates, cuts and fractional rates keep theirs.
"""

import contextlib
import math
import urllib.parse
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from keras_simplepose.utils.errors import UserError
from keras_simplepose.utils.files import result_path

# A file whose last frame ends so much before the file does is cut off: seconds, frames, share of its length.
_END_SECONDS, _END_FRAMES, _END_SHARE = 0.1, 2.0, 0.01
_TIME_BASE = Fraction(1, 90_000)  # Of a written video: every usual rate is whole in it, or wrong by microseconds.
_ENCODER, _ENCODER_OPTIONS = "libx264", {"preset": "veryfast", "crf": "20"}
# FFmpeg's demultiplexers that take any text for a picture of it, or open other files and addresses.
_NO_VIDEOS = {"tty", "hls", "concat", "dash"}
# What a stream's address may begin with, and how long it may take to answer, then to go on: seconds.
SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "rtmps", "rtp", "udp", "tcp", "srt")
_TIMEOUTS = (15.0, 30.0)
_STREAM_OPTIONS = {"rtsp_transport": "tcp"}  # Over UDP, cameras' large frames arrive with holes.


def is_address(text: str) -> bool:
    """Whether a text is a stream's address rather than a file's path."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def shown_address(text: str) -> str:
    """An address without user, password and query, for messages, names and records."""
    parts = urllib.parse.urlsplit(text)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


class VideoReader:
    """A video file, or a stream by its address.

    Attributes:
        total: its number of frames as stated or worked out from its length; None if nothing says.
        rate: frames per second, on the average; NaN if nothing says.
    """

    def __init__(self, path: str):
        """Reads the headers.

        Raises:
            UserError: it is no video, or the address does not answer.
        """
        self._path, self._is_address = path, is_address(path)
        self._name = shown_address(path) if self._is_address else path
        with self._open() as container:
            stream = container.streams.video[0]
            self.rate = float(stream.average_rate or stream.guessed_rate or math.nan)
            length = _length(container, stream)
            self.total: int | None = stream.frames or None
            if self.total is None and math.isfinite(length * self.rate):
                self.total = round(length * self.rate)

    def frames(self, on_fault: Callable[[str], None]) -> Generator[tuple[float, np.ndarray], None, None]:
        """Seconds since the first frame, and [H, W, 3] uint8 RGB, upright, of every frame that is to be shown.

        `on_fault` hears of frames that cannot be decoded, of a file that ends before its time, and of a stream that
        breaks off.
        """
        broken: list[str] = []
        count = bad = 0
        first = last = end = math.nan
        with self._open() as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for decoded in _decode(container, stream, broken.append):
                if decoded is None:
                    bad += 1
                    continue
                # Raw streams state no times; frames then come at the rate.
                last = count / self.rate if decoded.time is None else float(decoded.time)
                first = last if count == 0 else first
                duration = float((decoded.duration or 0) * decoded.time_base) if decoded.time_base else 0.0
                end = last + (duration or 1 / self.rate)
                bad, count = bad + bool(decoded.is_corrupt), count + 1
                yield last - first, _upright(decoded)
            start, length = float((stream.start_time or 0) * (stream.time_base or 0)), _length(container, stream)
        if broken and self._is_address:
            on_fault(f"{self._name}: breaks off after {count} frames ({broken[0]})")
        if not count:
            return
        if bad:
            on_fault(f"{self._name}: {bad} frames are damaged")
        tolerance = max(_END_SECONDS, _END_FRAMES / self.rate, _END_SHARE * length)
        if start + length - end > tolerance:
            on_fault(
                f"{self._name}: ends after {count} frames, {end - start:.2f} seconds, before the time it states; "
                "the file is damaged or cut off"
            )

    def _open(self) -> "av.container.InputContainer":
        wrong = UserError(f"{self._name}: neither an image nor a video that FFmpeg can open")
        try:
            if self._is_address:
                container = av.open(
                    self._path, metadata_errors="replace", timeout=_TIMEOUTS, options=dict(_STREAM_OPTIONS)
                )
            else:
                # The prefix: a colon in a name is no protocol.
                container = av.open("file:" + self._path, metadata_errors="replace")
        except (av.error.FFmpegError, ValueError, OSError) as error:
            if self._is_address:
                reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
                raise UserError(f"{self._name}: this address gives no video ({reason})") from error
            raise wrong from error
        # An address is given to be opened, and may be a list of others.
        listed = not self._is_address and _NO_VIDEOS & set(container.format.name.split(","))
        if not container.streams.video or listed:
            container.close()
            raise wrong
        return container


def _decode(
    container: "av.container.InputContainer", stream: "av.VideoStream", on_end: Callable[[str], None]
) -> Iterator["av.VideoFrame | None"]:
    """Frames, None for each packet that cannot be decoded; ends, telling why, where it cannot be read any further."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError as error:
            # The end then comes too early; what the decoder still holds is given out.
            on_end(error.strerror or "unreadable")
            packet = None
        try:
            yield from stream.codec_context.decode(packet)
        except EOFError:
            return
        except av.error.FFmpegError:
            yield None
        if packet is None:
            return


def _length(container: "av.container.InputContainer", stream: "av.VideoStream") -> float:
    """Seconds the video lasts as its file states it; NaN where it does not."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    stated = stream.metadata.get("DURATION", "")  # Matroska's, of each stream.
    with contextlib.suppress(ValueError):
        hours, minutes, seconds = stated.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    # The file's own may be that of its sound.
    if container.duration and len(container.streams) == 1:
        return container.duration / av.time_base
    return math.nan


def _upright(frame: "av.VideoFrame") -> np.ndarray:
    """The pixels [H, W, 3] uint8 RGB, turned as the file's metadata say."""
    image = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90) % 4))


class VideoFile:
    """A video being written: H.264 in an .mp4, each frame at its own time. It appears when closed without an error.

    Frames of odd width or height are coded with their colours at full resolution, as halves of pixels cannot be.
    """

    def __init__(self, path: Path, rate: float, source: str = ""):
        """Prepares a video; it is begun with the first frame.

        Args:
            path: ends in .mp4.
            rate: frames per second, for frames that state no time.
            source: what it is drawn from; see `result_path`.
        """
        self.path = path
        self._rate, self._source, self._count, self._last = rate, source, 0, -1
        self._size: tuple[int, ...] = ()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "VideoFile":
        """Begins to write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the video; see `close`."""
        self.close(error)

    def close(self, error: BaseException | None = None) -> bool:
        """Ends the video: puts it in its place, or removes it after an error.

        Returns:
            whether there is a video now; one without a frame is none.

        Raises:
            UserError: it cannot be written.
        """
        stack, self._stack = self._stack, contextlib.ExitStack()
        if error is not None:
            stack.__exit__(type(error), error, error.__traceback__)
            return False
        with stack:
            if not self._count:
                return False
            try:
                self._container.mux(self._stream.encode(None))
            except av.error.FFmpegError as fault:
                raise UserError(f"cannot write {self.path}: {fault.strerror}") from fault
        return True

    def write(self, image: np.ndarray, seconds: float = math.nan) -> None:
        """Appends a frame [H, W, 3] uint8 RGB.

        Args:
            image: of the size of the first.
            seconds: when it is shown, since the first one; NaN: at the rate.

        Raises:
            UserError: the video cannot be written, neither time nor rate is known, or a frame is of another size.
        """
        if math.isnan(seconds):
            seconds = self._count / self._rate
        if math.isnan(seconds):
            raise UserError(f"{self.path}: the video's frame rate is unknown; re-code it, or predict without draw")
        if not self._count:
            self._begin(image.shape)
        if image.shape != self._size:
            raise UserError(f"{self.path}: a frame is {image.shape[:2]} where the first was {self._size[:2]}")
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        # Times that stand still or go back, as damaged files have them, cannot be written.
        self._last = max(self._last + 1, round(seconds / _TIME_BASE))
        frame.pts, frame.time_base = self._last, _TIME_BASE
        try:
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise UserError(f"cannot write {self.path}: {error.strerror}") from error
        self._count += 1

    def _begin(self, shape: tuple[int, ...]) -> None:
        if _ENCODER not in av.codecs_available:
            raise UserError(f"cannot write {self.path}: this PyAV has no {_ENCODER} encoder; predict without draw")
        temporary = self._stack.enter_context(result_path(self.path, self._source))
        self._container = self._stack.enter_context(av.open(str(temporary), "w", format="mp4"))
        rate = Fraction(self._rate if math.isfinite(self._rate) else 25.0).limit_denominator(1001)
        stream = self._container.add_stream(_ENCODER, rate=rate, options=dict(_ENCODER_OPTIONS))
        assert isinstance(stream, av.VideoStream)
        self._stream = stream
        self._stream.height, self._stream.width = shape[:2]
        self._stream.pix_fmt = "yuv444p" if shape[0] % 2 or shape[1] % 2 else "yuv420p"
        self._stream.codec_context.time_base = _TIME_BASE
        self._size = shape
