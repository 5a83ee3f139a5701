"""A Python package index on loopback (PEP 503) that the real pip talks to, and wheels to put on it."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


def make_wheel(project: str, version: str, members: dict[str, bytes]) -> bytes:
    """A wheel that pip accepts; the same bytes for the same members."""
    info = f"{project.replace('-', '_')}-{version}.dist-info"
    files = {
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return buffer.getvalue()


@dataclass
class LocalIndex:
    """`wheels` maps project to (file name, bytes). `paths` lists what was asked for."""

    wheels: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)
    url: str = ""

    def publish(self, project: str, version: str, wheel: bytes) -> None:
        self.wheels[project] = (f"{project.replace('-', '_')}-{version}-py3-none-any.whl", wheel)


@contextmanager
def local_index(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalIndex]:
    """A running index that pip is told to use, and no other."""
    index = LocalIndex()

    class Handler(_Handler):
        served = index

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    index.url = f"http://127.0.0.1:{server.server_address[1]}/simple"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    use_index(monkeypatch, index.url)
    try:
        yield index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use_index(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Point pip at `url` alone, whatever this machine's own settings are."""
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "PIP_CERT", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_TIMEOUT", "5")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


class _Handler(BaseHTTPRequestHandler):
    served: LocalIndex

    def do_GET(self) -> None:
        index = self.served
        index.paths.append(self.path)
        by_page = {f"/simple/{project}/": self._page(name, data) for project, (name, data) in index.wheels.items()}
        by_file = {f"/files/{name}": data for name, data in index.wheels.values()}
        body = by_page.get(self.path) or by_file.get(self.path)
        self.send_response(200 if body else 404)
        self.send_header("Content-Type", "text/html" if self.path in by_page else "application/octet-stream")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: object) -> None: ...

    @staticmethod
    def _page(name: str, data: bytes) -> bytes:
        return f'<!DOCTYPE html><a href="/files/{name}#sha256={hashlib.sha256(data).hexdigest()}">{name}</a>'.encode()
