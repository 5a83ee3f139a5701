from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cards.schema import TaskSpec
from gateway.text.canary_row import canary_row
from gateway.text.task_route import task_route
from gateway.text.tokenizer import TextTokenizer
from gateway.types import RowGroup, RowOutput
from tests.support.tiny_models import adapter_card
from tests.support.unpadded_engine import IDS, unpadded_card


@pytest.mark.parametrize("images", [True, False])
def test_an_adapter_is_the_groups_or_the_rows(tmp_path: Path, images: bool) -> None:
    task, output = TaskSpec("some", adapter=2), RowOutput.TOKEN_VECTORS
    by_call, by_row = adapter_card(tmp_path), unpadded_card(tmp_path)
    assert task_route(by_call, task, output=output, images=images) == (RowGroup(2, output, images), None)
    assert task_route(by_row, task, output=output, images=images) == (RowGroup(None, output, images), 2)
    assert task_route(by_row, None) == (RowGroup(), None)


def test_the_canary_of_a_model_that_takes_an_adapter_a_row(tmp_path: Path) -> None:
    card = unpadded_card(tmp_path)
    row = canary_row(card, TextTokenizer.from_file(card.folder, max_tokens=40, max_text_bytes=4096))
    assert (row.ids.tolist(), row.group, row.adapter) == ([IDS[w] for w in ("a", "the", "cat")], RowGroup(), 0)
