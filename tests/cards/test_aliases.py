"""What the setting for the operator's own names of models says."""

from __future__ import annotations

import pytest

from gateway.cards.aliases import model_aliases
from gateway.errors import ConfigurationError


def test_entries_are_pairs() -> None:
    assert model_aliases(["a=b", "c = d:query"]) == {"a": "b", "c": "d:query"}
    assert model_aliases([]) == {}


@pytest.mark.parametrize("entries", [["a"], ["a="], ["=b"], ["a=b", "A=c"]])
def test_what_is_no_pair_is_refused(entries: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="GATEWAY_MODEL_ALIASES"):
        model_aliases(entries)
