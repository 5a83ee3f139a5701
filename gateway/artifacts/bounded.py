"""A file that takes no more bytes than it was told to: a download ends where it should, whatever a server sends."""

from __future__ import annotations

from typing import BinaryIO, cast

from gateway.errors import SourceUnavailable


def bounded(file: BinaryIO, *, max_bytes: int, label: str) -> BinaryIO:
    """`file`, which raises `SourceUnavailable` naming `label` once it would grow beyond `max_bytes`.

    It is what `huggingface_hub.file_download.http_get` needs of a file: `write`, `tell`, `seek` and `truncate`.
    """
    return cast(BinaryIO, _Bounded(file, max_bytes, label))


class _Bounded:
    def __init__(self, file: BinaryIO, max_bytes: int, label: str) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._label = label
        self.tell, self.seek, self.truncate = file.tell, file.seek, file.truncate

    def write(self, data: bytes) -> int:
        if self._file.tell() + len(data) > self._max_bytes:
            self._file.seek(0)
            self._file.truncate()
            raise SourceUnavailable(
                f"The model hub sends more of {self._label} than the {self._max_bytes} bytes that it may have.",
                remedy="Try again, or tell the repository's authors.",
            )
        return self._file.write(data)
