"""Conversations that come down to one text or one image, as vLLM's and Dify's clients send them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.dialects.inputs import InputLimits
from gateway.dialects.vllm_messages import only_part, read_messages
from gateway.errors import InvalidField, TooManyInputs
from gateway.types import ImageInput, TextInput

LIMITS = InputLimits(max_inputs=3, max_image_bytes=1000)
ADDRESS = "https://example.org/a.png"
IMAGE = {"type": "image_url", "image_url": {"url": ADDRESS}}
TEXT = {"type": "text", "text": "a text"}
EMPTY = {"type": "text", "text": ""}
INSTRUCTION = {"role": "system", "content": [{"type": "text", "text": "Represent the user's input."}]}


def read(value: Any) -> tuple[Any, ...]:
    return read_messages(value, name="messages", limits=LIMITS)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


@pytest.mark.parametrize(
    ("conversation", "meant"),
    [
        ([user("a text")], TextInput("a text")),
        ([user([TEXT])], TextInput("a text")),
        ([user(["a text"])], TextInput("a text")),
        ([user([IMAGE])], ImageInput(url=ADDRESS)),
        ([{"content": "a text"}], TextInput("a text")),
        ([INSTRUCTION, user("a text")], TextInput("a text")),
        ([{"role": "developer", "content": "Be brief."}, user("a text")], TextInput("a text")),
        # Dify's, word for word.
        ([INSTRUCTION, user([IMAGE, EMPTY]), {"role": "assistant", "content": [EMPTY]}], ImageInput(url=ADDRESS)),
        ([INSTRUCTION, user([TEXT]), {"role": "assistant", "content": [EMPTY]}], TextInput("a text")),
        ([user([TEXT]), {"role": "assistant", "content": None}], TextInput("a text")),
        ([user([{"type": "image_url", "image_url": "data:image/png;base64,iVBORw=="}])], ImageInput(data=b"\x89PNG")),
    ],
)
def test_one_conversation_is_one_input(conversation: list[Any], meant: Any) -> None:
    assert read(conversation) == (meant,)
    assert read([conversation, conversation]) == (meant, meant)


@pytest.mark.parametrize(
    "conversation",
    [
        [user([TEXT, IMAGE])],
        [user([TEXT, TEXT])],
        [user("one"), user("two")],
        [user([IMAGE]), {"role": "assistant", "content": "A harbour."}],
    ],
)
def test_several_parts_have_no_vector_together(conversation: list[Any]) -> None:
    with pytest.raises(InvalidField, match="has several parts") as caught:
        read(conversation)
    assert (caught.value.param, caught.value.code) == ("messages", "unsupported_modality")


@pytest.mark.parametrize(
    "value",
    [
        [], {}, "a", 1, [[]], [1], ["a"], [None], [user(1)], [user({})], [user([1])], [user("")], [user([])],
        [user(None)], [INSTRUCTION], [user([EMPTY])], [[user("a")], 1], [user("a"), 1],
        [user([{"type": "input_audio"}])], [user([{"type": "text"}])],
    ],
)  # fmt: skip
def test_refused(value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        read(value)
    assert caught.value.param == "messages"


def test_the_conversation_at_fault_is_named() -> None:
    with pytest.raises(InvalidField, match=r"'messages\[1\]' holds neither"):
        read([[user("a")], [user("")]])


def test_too_many() -> None:
    with pytest.raises(TooManyInputs):
        read([[user("a")]] * 4)


def test_the_parts_of_one_item() -> None:
    def one(parts: Any) -> Any:
        return only_part(parts, where="'documents'", param="documents", limits=LIMITS)

    assert one([IMAGE]) == ImageInput(url=ADDRESS)
    assert one("a") == TextInput("a")
    assert one([EMPTY]) is None
    with pytest.raises(InvalidField):
        one([TEXT, IMAGE])
