"""Stages that overlap: each runs in a thread of its own behind a bounded queue, and says how long it was busy."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_POLL = 0.1  # Seconds after which a stage that waits looks whether the rest has stopped.


class _Failure:
    """An exception on its way to the thread that reads the queue."""

    def __init__(self, error: BaseException):
        self.error = error


_END = object()


def prefetch(items: Iterable[Any], size: int = 2) -> Iterator[Any]:
    """Runs an iterable in a thread of its own, at most `size` items ahead of its reader.

    NumPy, OpenCV and TensorFlow let go of the interpreter while they work, so stages made this way overlap.

    Args:
        items: what to run; it is used by that thread only.
        size: items that may wait, which bounds the memory.

    Yields:
        the items, in order; an exception of theirs is raised here. The thread ends with this iterator, also if that is
        closed early.
    """
    ready: queue.Queue = queue.Queue(size)
    stopped = threading.Event()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=_POLL)
                return True
            except queue.Full:
                continue
        return False

    def run() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put(item):
                    return
            put(_END)
        except BaseException as error:  # It is the reader's to handle, whatever it is.
            put(_Failure(error))
        finally:
            if hasattr(iterator, "close"):
                iterator.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while (item := ready.get()) is not _END:
            if isinstance(item, _Failure):
                raise item.error
            yield item
    finally:
        stopped.set()
        thread.join()


class Clock:
    """Seconds that each stage of a pipeline was busy, waiting for the stage before it left out."""

    def __init__(self):
        """Starts empty."""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def busy(self, name: str) -> Iterator[None]:
        """Counts the time its block takes under `name`: for the last stage, which is the reader's own code."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

    def stage(self, name: str, transform: Callable[[Iterator[Any]], Iterator[Any]], items: Iterable[Any]) -> Iterator:
        """Applies `transform` to `items` and counts the time it takes under `name`.

        Args:
            name: of the stage.
            transform: makes an iterator of an iterator, such as a generator function.
            items: its input; the time spent in there is not counted.
        """
        waited = 0.0

        def upstream() -> Iterator[Any]:
            nonlocal waited
            iterator = iter(items)
            try:
                while True:
                    start = time.perf_counter()
                    item = next(iterator, _END)
                    waited += time.perf_counter() - start
                    if item is _END:
                        return
                    yield item
            finally:
                if hasattr(iterator, "close"):
                    iterator.close()

        results = iter(transform(upstream()))
        try:
            while True:
                start, before = time.perf_counter(), waited
                item = next(results, _END)
                busy = time.perf_counter() - start - (waited - before)
                self.seconds[name] = self.seconds.get(name, 0.0) + busy
                if item is _END:
                    return
                yield item
        finally:
            if hasattr(results, "close"):
                results.close()
