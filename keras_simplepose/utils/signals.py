"""Signals that ask a long run to stop, heard where it can."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

HEARD = (signal.SIGINT, signal.SIGTERM)


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and has; the message says where it stands.

    Attributes:
        signal: the number of the signal; a command leaves with status 128 + that.
    """

    def __init__(self, number: int, message: str = ""):
        """Takes the signal's number."""
        super().__init__(message or f"stopped by {signal.Signals(number).name}")
        self.signal = number

    def __reduce__(self) -> tuple[Any, ...]:
        """For `pickle`, which would give the message as the number."""
        return type(self), (self.signal, str(self))


class StopRequest:
    """Hears SIGINT and SIGTERM within its context; a second one, or one within `at_once`, raises `Interrupted`.

    Attributes:
        number: of the signal heard; None before.
    """

    def __init__(self) -> None:
        """Hears nothing yet."""
        self.number: int | None = None
        self._at_once = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        """Begins to hear; in other threads than the main one, where Python knows no signals, nothing."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._hear) for number in HEARD}
        return self

    def __exit__(self, *_: object) -> None:
        """Puts back who heard before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        again, self.number = self.number is not None, number
        if again or self._at_once:
            raise Interrupted(number)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """A stretch that a signal breaks off."""
        if self.number is not None:
            raise Interrupted(self.number)
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False
