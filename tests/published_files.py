"""Published files, as a server on the loopback address gives them."""

import contextlib
import hashlib
import http.server
import threading
from pathlib import Path

from keras_simplepose.models import presets


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder; counts what it was asked for, and answers only once so many ask at the same time."""

    def __init__(self, folder):
        self.asked: list[str] = []
        self.together = threading.Barrier(1)
        server = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *arguments):
                super().__init__(*arguments, directory=str(folder))

            def do_GET(self):
                server.asked.append(Path(self.path).name)
                server.together.wait(timeout=60)
                super().do_GET()

            def log_message(self, *arguments):
                """Says nothing."""

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


@contextlib.contextmanager
def published(folder, monkeypatch, home):
    """A server of a folder, and a function that lists the presets: published there, cached below `home`."""
    monkeypatch.setenv("KERAS_HOME", str(home))
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()

        def list_presets(**groups):
            lines = []
            for kind, files in groups.items():
                lines += [
                    f'[{kind}]\nkind = "{kind.replace("_", " ")}"\nlicence = "CC0"\nsource = "a page"',
                    f'protocol = "none"\nbase = "{server.address}"\n[{kind}.files]',
                    *(f"{name} = {{ {entry} }}" for name, entry in files.items()),
                ]
            path = Path(home) / "presets.toml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines), encoding="utf-8")
            monkeypatch.setattr(presets, "LIST", path)
            presets.presets.cache_clear()

        try:
            yield server, list_presets
        finally:
            presets.presets.cache_clear()
            server.shutdown()
            thread.join()


def beginning_of_hash(path) -> str:
    """The first eight hexadecimal digits of a file's SHA-256, as publishers put them into names."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]
