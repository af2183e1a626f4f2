"""Photographs and videos for tests."""

import contextlib
import http.server
import threading

import cv2
import numpy as np
from PIL import Image


def write_video(path, count, size=(48, 64), rate=25.0, codec="mp4v"):
    """Frame i is grey 8·i, modulo 256."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), rate, size[::-1])
    assert writer.isOpened()
    for index in range(count):
        writer.write(np.full((*size, 3), 8 * index % 256, np.uint8))
    writer.release()
    return path


def read_all(source):
    faults = []
    return list(source.frames(faults.append)), faults


def image_file(path, value=100, size=(20, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
    return path


class FakeCamera:
    """A camera that is unplugged after three frames."""

    def __init__(self, source):
        self.left = 3 if source == 0 else 0
        self.opened = source == 0

    def isOpened(self):  # noqa: N802
        return self.opened

    def get(self, _):
        return 0.0

    def read(self):
        self.left -= 1
        return (True, np.zeros((4, 6, 3), np.uint8)) if self.left >= 0 else (False, None)

    def release(self):
        pass


@contextlib.contextmanager
def served(body, stated=None):
    """The address of a video of these bytes on this machine; `stated` may promise more of them than come."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):  # noqa: N802
            self.send_response(200)
            self.send_header("Content-Length", str(stated or len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield f"http://user:secret@127.0.0.1:{server.server_port}/a%20b/walk.mkv?token=secret"
        finally:
            server.shutdown()
