"""What makes two rows the same to a model: who shares a value is decided here."""

from __future__ import annotations

from gateway.types import RowGroup, RowOutput, TokenRow

# Sums over spans belong to one document and vectors of tokens are many: nobody asks for them again. An image would have
# to be told by its pixels.
_SHARED_OUTPUTS = RowOutput.VECTOR, RowOutput.RAW_VECTOR, RowOutput.LOGIT  # no set: an enum's own hash costs more


def may_share(row: TokenRow) -> bool:
    """Whether rows like this have one value and are told apart by their ids, their group and their adapter."""
    group = row.group
    return group.output in _SHARED_OUTPUTS and not group.images and row.pixels is None and row.spans is None


class RowKeys:
    """Keys of one model's rows: equal exactly where group, adapter and ids are. Ids include the task's prefix, and
    what was cut is not in them, so window and truncation need no place of their own."""

    def __init__(self) -> None:
        self._marks: dict[tuple[RowGroup, int | None], bytes] = {}
        self._recent: tuple[RowGroup | None, int | None, bytes] = (None, None, b"")

    def key(self, row: TokenRow) -> bytes:
        """Of rows that may share a value."""
        group, adapter, mark = self._recent
        # Rows that follow each other mostly share one group, and hashing one costs more than all else here.
        if row.group is not group or row.adapter != adapter:
            mark = self._mark(row)
            self._recent = row.group, row.adapter, mark
        return mark + row.ids.tobytes()

    def _mark(self, row: TokenRow) -> bytes:
        known = row.group, row.adapter
        if known not in self._marks:
            parts = (row.group.output.value, row.group.adapter, row.adapter)
            text = "|".join("" if part is None else str(part) for part in parts).encode()
            # Its own length in front: no mark and ids together are another mark and other ids.
            self._marks[known] = len(text).to_bytes(2, "little") + text
        return self._marks[known]
