"""Which rows of a call share a forward: those of like length, images apart from texts, within a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def planned(
    rows: Iterable[int], *, lengths: Sequence[int], images: Sequence[bool], max_tokens: int
) -> list[tuple[int, ...]]:
    """The numbers `rows` in groups, each of which is one forward, the longest first.

    `lengths` and `images` are of all rows of the call, by number. In a group rows times longest row, which is what a
    padded forward computes, is at most `max_tokens`; a row that is longer goes alone. The longest go first, so that
    what does not fit into the device's memory shows before anything else is computed.
    """
    groups: list[list[int]] = []
    for row in sorted(rows, key=lambda row: (images[row], -lengths[row], row)):
        if groups and _joins(row, groups[-1], lengths, images, max_tokens):
            groups[-1].append(row)
        else:
            groups.append([row])
    return [tuple(group) for group in groups]


def halved(rows: Sequence[int], *, lengths: Sequence[int]) -> int:
    """A budget under which `rows`, at least two, are no longer one forward."""
    return max(lengths[row] for row in rows) * len(rows) // 2


def _joins(row: int, group: Sequence[int], lengths: Sequence[int], images: Sequence[bool], max_tokens: int) -> bool:
    longest = lengths[group[0]]
    return images[row] == images[group[0]] and longest * (len(group) + 1) <= max_tokens
