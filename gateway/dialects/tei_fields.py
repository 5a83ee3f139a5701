"""What TEI's calls have in common: how long texts are cut, and the headers that say what a call took."""

from __future__ import annotations

from gateway.dialects.fields import Fields, flag, word
from gateway.errors import InvalidField
from gateway.types import Overflow, StageSeconds, Usage

EMPTY = "empty_input"
"""The code of errors that TEI calls `Empty`."""

_LEFT, _RIGHT = "left", "right"


def overflow(fields: Fields) -> Overflow:
    """What becomes of a text that is too long: cut, as TEI's default has it, unless `truncate` is false. Raises
    `InvalidField`."""
    direction = truncation_direction(fields)
    if not flag(fields, "truncate", default=True):
        return Overflow.REFUSE
    return Overflow.TRUNCATE_START if direction == _LEFT else Overflow.TRUNCATE


def refuse_left(fields: Fields) -> None:
    """For pairs of texts, which lose their ends only. Raises `InvalidField`."""
    if truncation_direction(fields) == _LEFT:
        raise InvalidField(
            "'truncation_direction' has to be Right here: pairs of texts cannot lose their beginnings.",
            param="truncation_direction",
        )


def truncation_direction(fields: Fields) -> str:
    """`left` or `right`, whatever the case. Raises `InvalidField`."""
    direction = (word(fields, "truncation_direction") or _RIGHT).lower()
    if direction not in (_LEFT, _RIGHT):
        raise InvalidField("'truncation_direction' has to be Left or Right.", param="truncation_direction")
    return direction


def compute_headers(
    *, characters: int, usage: Usage, stages: StageSeconds, seconds: float
) -> list[tuple[bytes, bytes]]:
    """TEI's headers, times in milliseconds; `seconds` is the whole call, which TEI has under two names. Triton knows
    what device it computes on, the gateway does not, so the type is Triton's name."""
    return [
        (b"x-compute-type", b"triton"),
        (b"x-compute-time", _milliseconds(seconds)),
        (b"x-compute-characters", b"%d" % characters),
        (b"x-compute-tokens", b"%d" % usage.total_tokens),
        (b"x-total-time", _milliseconds(seconds)),
        (b"x-tokenization-time", _milliseconds(stages.tokenize)),
        (b"x-queue-time", _milliseconds(stages.queue)),
        (b"x-inference-time", _milliseconds(stages.infer)),
    ]


def _milliseconds(seconds: float) -> bytes:
    return b"%d" % round(seconds * 1000)
