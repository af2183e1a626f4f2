"""Keeps the notes that TensorFlow's libraries print while they load out of a command's messages."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# Written by native code to file descriptor 2 before any log level is read: information only, and the line above it.
_NOTE = re.compile(r"I\d{4} |WARNING: All log messages before absl::InitializeLog")


@contextlib.contextmanager
def without_native_notes() -> Iterator[None]:
    """Holds back what native code writes to standard error within, and afterwards prints all but information notes."""
    sys.stderr.flush()
    before = os.dup(2)
    with tempfile.TemporaryFile() as kept:
        os.dup2(kept.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            kept.seek(0)
            lines = kept.read().decode(errors="replace").splitlines(keepends=True)
            sys.stderr.write("".join(line for line in lines if not _NOTE.match(line)))
