"""Names and licences."""

from __future__ import annotations

import pytest

from gateway.artifacts.adding.identity import base_models, check_repository, choose_licence, choose_name
from gateway.errors import ConfigurationError
from tests.support.published import published


@pytest.mark.parametrize("name", ["BAAI/bge-small-en-v1.5", "gpt2", "a/b_c.d"])
def test_a_repository_is_an_owner_and_a_name(name: str) -> None:
    check_repository(name)


@pytest.mark.parametrize(
    "name", ["", "a/b/c", "https://example.com/a/b", "./folder", "../a", "a b/c", "-a/b", "a/..", "a/"]
)
def test_other_things_are_no_repository(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is not the name of a repository"):
        check_repository(name)


def test_a_model_is_called_by_the_last_part_or_as_asked() -> None:
    assert choose_name("BAAI/bge-small-en-v1.5", None) == "bge-small-en-v1.5"
    assert choose_name("BAAI/bge-small-en-v1.5", "bge") == "bge"


@pytest.mark.parametrize("name", ["../up", "a/b", "-a", ".a", "a b", "x" * 97])
def test_a_name_that_triton_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a model's name"):
        choose_name("a/b", name)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        ("license: apache-2.0", "Apache-2.0"),
        ("license: MIT", "MIT"),
        ("license: mit\nlicense_name: x", "MIT"),
        ("license: cc-by-nc-4.0", "CC-BY-NC-4.0"),
        ("license: [mit, cc-by-4.0]", "MIT and CC-BY-4.0"),
        ("license: other\nlicense_name: qwen-research", "qwen-research"),
        ("license: other", "other"),
        ("license: gemma", "gemma"),
    ],
)
def test_the_readme_states_it(metadata: str, licence: str) -> None:
    readme = f"---\n{metadata}\n---\n# A model\n".encode()
    assert (choose_licence(published({"README.md": readme}), None).value) == licence


@pytest.mark.parametrize(
    "readme",
    [
        b"# No metadata",
        b"---\ntags: [a]\n---\n",
        b"---\n: [\n---\n",
        b"---\n- a\n---\n",
        b"\xff\xfe",
        b"---\nlicense: 7\n---",
    ],
)
def test_a_readme_without_one_leaves_it_to_the_hub_or_nobody(readme: bytes) -> None:
    assert choose_licence(published({"README.md": readme}, licence="bsd-3-clause"), None).value == "BSD-3-Clause"
    found = choose_licence(published({"README.md": readme}), None)
    assert (found.value, "ask its authors" in found.source) == ("unknown", True)


def test_the_operators_word_wins_and_the_contradiction_is_told() -> None:
    stated = published({"README.md": b"---\nlicense: cc-by-nc-4.0\n---\n"})
    assert choose_licence(stated, "MIT").source == "--licence, though README.md says CC-BY-NC-4.0"
    assert choose_licence(stated, "cc-by-nc-4.0").source == "--licence"


def test_the_models_it_was_made_from_are_the_readmes() -> None:
    for metadata, names in (("base_model: a/b", ("a/b",)), ("base_model: [a/b, c/d]", ("a/b", "c/d")), ("tags: x", ())):
        assert base_models(published({"README.md": f"---\n{metadata}\n---\n".encode()})) == names
    assert base_models(published({})) == ()


def test_a_readme_too_large_to_be_one_is_left_unread() -> None:
    assert (
        choose_licence(published({"README.md": b"---\nlicense: mit\n---\n" + bytes(1 << 20)}), None).value == "unknown"
    )
