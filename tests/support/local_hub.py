"""A model hub on loopback that the real huggingface_hub client talks to, with faults to order.

It answers what the client asks of the public hub when it downloads: HEAD and GET of
`/<repository>/resolve/<revision>/<path>` with ETag, X-Repo-Commit, X-Linked-Size and byte ranges, and the model's
description under `/api/models/`. Large files are told by their sha256, text files by git's sha1, as on the public hub.
Point the client at it with `endpoint=hub.url` or `HF_ENDPOINT`.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

SEND_BYTES = 64 * 1024
CREATED = "2025-03-04T05:06:07.000Z"


@dataclass
class HubRequest:
    method: str
    path: str
    range: str | None
    authorization: str | None


@dataclass
class LocalHub:
    """`files` maps `(repository, path)` to bytes, all of them at `revision`, which `branches` stand for too.
    Faults are plain attributes; change them at any time.

    `cut_after` holds, by path, after how many bytes of a body the connection is dropped, one entry a download.
    `statuses` answers a path with that status. `token` set: the repository is gated and this opens it.
    `hold` set: every answer waits for it. `pause` is called after each block with the path and the bytes sent so far.
    `redirect_to` set: HEAD and GET of files redirect to that address, as the hub does to its storage host.
    `ignore_ranges`: answers 200 with the whole file to a request for a range.
    """

    files: dict[tuple[str, str], bytes] = field(default_factory=dict)
    revision: str = "f" * 39 + "1"
    branches: tuple[str, ...] = ("main",)
    cut_after: dict[str, list[int]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    token: str | None = None
    hold: threading.Event | None = None
    redirect_to: str | None = None
    ignore_ranges: bool = False
    requests: list[HubRequest] = field(default_factory=list)
    url: str = ""

    def publish(self, repository: str, files: dict[str, bytes]) -> None:
        self.files.update({(repository, path): data for path, data in files.items()})

    def pause(self, path: str, sent: int) -> None:
        """Replace to slow a download down, or to learn how far it is."""

    def downloads(self, path: str) -> list[HubRequest]:
        return [request for request in self.requests if request.method == "GET" and request.path.endswith(f"/{path}")]


@contextmanager
def local_hub(**settings: object) -> Iterator[LocalHub]:
    """A running hub on a free loopback port."""
    hub = LocalHub(**settings)  # type: ignore[arg-type]

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()


def is_large(path: str) -> bool:
    """Whether the public hub would keep the file outside git."""
    return not path.endswith((".json", ".txt", ".md"))


def etag_of(path: str, data: bytes) -> str:
    blob = b"blob %d\0" % len(data) + data
    return hashlib.sha256(data).hexdigest() if is_large(path) else hashlib.sha1(blob).hexdigest()


def _sibling(path: str, data: bytes) -> dict[str, object]:
    plain = {"rfilename": path, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
    lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
    return {**plain, "lfs": lfs} if is_large(path) else plain


class _Handler(BaseHTTPRequestHandler):
    served: LocalHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *_: object) -> None: ...

    def _answer(self, *, with_body: bool) -> None:
        hub, path = self.served, unquote(urlsplit(self.path).path)
        headers = self.headers
        hub.requests.append(HubRequest(self.command, path, headers.get("Range"), headers.get("Authorization")))
        if hub.hold is not None:
            hub.hold.wait()
        match = re.fullmatch(r"/(.+?)/resolve/([^/]+)/(.+)", path)
        try:
            if match:
                self._resolve(match[1], match[2], match[3], with_body=with_body)
            elif path.startswith("/api/models/"):
                repository, _, revision = path.removeprefix("/api/models/").partition("/revision/")
                self._describe(repository, revision or self.served.revision)
            else:
                self._fail(404, "RepoNotFound")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _resolve(self, repository: str, revision: str, path: str, *, with_body: bool) -> None:
        hub = self.served
        status = hub.statuses.get(path)
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._fail(401, "GatedRepo")
        elif status is not None:
            self._fail(status, {404: "EntryNotFound"}.get(status, ""))
        elif revision not in (hub.revision, *hub.branches):
            self._fail(404, "RevisionNotFound")
        elif (repository, path) not in hub.files:
            self._fail(404, "EntryNotFound")
        elif hub.redirect_to is not None:
            self._headers(302, path, hub.files[repository, path], 0, {"Location": f"{hub.redirect_to}{self.path}"})
        else:
            self._send(path, hub.files[repository, path], with_body=with_body)

    def _send(self, path: str, data: bytes, *, with_body: bool) -> None:
        hub = self.served
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        start = int(asked[1]) if asked and not hub.ignore_ranges else 0
        extra = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._headers(206 if start else 200, path, data, len(data) - start, extra)
        if not with_body:
            return
        cuts = hub.cut_after.get(path, [])
        end = min(len(data), start + cuts.pop(0)) if cuts else len(data)
        for place in range(start, end, SEND_BYTES):
            self.wfile.write(data[place : min(place + SEND_BYTES, end)])
            hub.pause(path, place)
        if end < len(data):
            self.close_connection = True

    def _headers(self, status: int, path: str, data: bytes, length: int, extra: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{etag_of(path, data)}"')
        if is_large(path):
            self.send_header("X-Linked-Etag", f'"{etag_of(path, data)}"')
            self.send_header("X-Linked-Size", str(len(data)))
        self.send_header("X-Repo-Commit", self.served.revision)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        for name, value in extra.items():
            self.send_header(name, value)
        self.end_headers()

    def _describe(self, repository: str, revision: str) -> None:
        hub = self.served
        siblings = [_sibling(path, data) for (owner, path), data in sorted(hub.files.items()) if owner == repository]
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            return self._fail(401, "GatedRepo")
        if not siblings:
            return self._fail(404, "RepoNotFound")
        if revision not in (hub.revision, *hub.branches):
            return self._fail(404, "RevisionNotFound")
        document = {"id": repository, "sha": hub.revision, "siblings": siblings, "createdAt": CREATED}
        return self._text(200, json.dumps(document).encode(), "application/json")

    def _fail(self, status: int, error_code: str) -> None:
        self._text(status, b"" if self.command == "HEAD" else b"no", "text/plain", {"X-Error-Code": error_code})

    def _text(self, status: int, body: bytes, kind: str, extra: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (extra or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
