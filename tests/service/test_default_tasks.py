from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.cards.registry import Registry
from gateway.cards.schema import TaskTable
from gateway.errors import ConfigurationError
from gateway.service.default_tasks import default_tasks
from tests.support.tiny_models import ADAPTER_TASKS, adapter_card, tiny_card, tiny_model
from tests.support.unpadded_engine import TASKS, unpadded_card


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    only_code = TaskTable(tasks=TASKS.tasks[3:], default="code.passage")
    merged = replace(tiny_card(tmp_path, "merged-code"), tasks=only_code)
    whole = replace(tiny_model(unpadded_card(tmp_path, "whole")), aliases=("other-name",))
    shared = {"whole": None, "acme/any": None}
    return Registry(
        [
            tiny_model(tiny_card(tmp_path, "plain")),
            tiny_model(adapter_card(tmp_path)),
            whole,
            replace(tiny_model(merged), shared_aliases=shared),
        ]
    )


@pytest.mark.parametrize(
    ("entries", "found"),
    [
        ((), {}),
        (("whole=text-matching",), {"whole": "text-matching"}),
        (("WHOLE = Text_Matching", "adapters=clustering"), {"whole": "text-matching", "adapters": "separation"}),
        (("other-name=code.query",), {"whole": "code.query"}),
        (("acme/whole=code.query", "merged-code=code.query"), {"whole": "code.query", "merged-code": "code.query"}),
        # the name that the merged checkpoint shares: for both where both have the task
        (("whole=code.query",), {"whole": "code.query", "merged-code": "code.query"}),
        (("acme/any=code.query",), {"merged-code": "code.query"}),
    ],
)
def test_models_by_any_name_and_tasks_by_any_word(
    registry: Registry, entries: tuple[str, ...], found: dict[str, str]
) -> None:
    assert default_tasks(registry, entries) == found


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("text-matching", "not of the form MODEL=TASK"),
        ("=text-matching", "not of the form MODEL=TASK"),
        ("whole=", "not of the form MODEL=TASK"),
        ("nope=text-matching", "does not exist"),
        ("whole=classification", "Its tasks: retrieval.query, retrieval.passage, text-matching"),
        ("whole=query", "has no task 'query'"),
        ("plain=text-matching", "Its tasks: none"),
    ],
)
def test_an_entry_that_cannot_be_right_is_told_with_the_settings_name(registry: Registry, entry: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as wrong:
        default_tasks(registry, ("adapters=separation", entry))
    assert wrong.value.message.startswith("GATEWAY_DEFAULT_TASKS is not valid: ")
    assert "GATEWAY_DEFAULT_TASKS" in (wrong.value.remedy or "")
    assert ADAPTER_TASKS.default == "retrieval.query"
