"""Checks an embeddings request by hand, field by field: the fields of OpenAI and of Jina, on one path.

Nothing on the wire says which API a client means, so the fields of both are taken together, the names that Voyage and
Gemini have for them, and what vLLM adds. Where one thing is said twice, the first of its names wins, in the order
written here.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from gateway.dialects.fields import Fields, flag, given, model_name, whole_number, word
from gateway.dialects.inputs import InputLimits, read_inputs, strings_in_modality
from gateway.dialects.vllm_fields import cut_to, refuse_bare_inputs
from gateway.dialects.vllm_messages import read_messages
from gateway.errors import InvalidField
from gateway.records import record
from gateway.types import EmbedRequest, Input, Overflow, Vocabulary

VOCABULARY_HEADER = b"x-token-vocabulary"

INPUT_NAMES = ("input", "content", "texts")
TASK_NAMES = ("task", "task_type")
SIDE_NAMES = ("input_type", "prompt_name")
DIMENSIONS_NAMES = ("dimensions", "output_dimension", "output_dimensionality")
TRUNCATE_NAMES = ("truncate", "truncation")
NORMALISED_NAMES = ("normalized", "use_activation")
MESSAGES = "messages"
MODALITY = "modality"
MULTI_VECTOR = "return_multivector"
RETURN_TOKENS = "return_tokenized_input"
# OpenAI's name comes last: its SDKs send it without being asked.
ENCODING_NAMES = ("embedding_type", "embedding_types", "encoding_type", "output_dtype", "encoding_format")

_OPENAI_FIELDS = frozenset({"input", "model", "dimensions", "encoding_format", "user"})


class Encoding(Enum):
    """How vectors travel in the answer: a list of numbers, base64 of little-endian float32, or one bit a dimension,
    eight of them a number: signed for `binary`, unsigned for `ubinary`."""

    FLOAT = "float"
    BASE64 = "base64"
    BINARY = "binary"
    UBINARY = "ubinary"

    __hash__ = object.__hash__  # Enum's own is a function in Python, called whenever a table is looked up


_ENCODINGS = {encoding.value: encoding for encoding in Encoding}


@record(frozen=True, slots=True)
class EmbeddingsCall:
    """`encodings` has one entry for a plain answer; with more, each vector is an object keyed by encoding."""

    request: EmbedRequest
    encodings: tuple[Encoding, ...]


def parse_embeddings_call(
    fields: Fields,
    *,
    vocabulary_header: str | None,
    limits: InputLimits,
    deadline: float,
    caller: str = "",
) -> EmbeddingsCall:
    """Translate the body's fields; unknown ones are ignored and null means not given.

    `deadline` is a reading of `time.monotonic()`, in seconds. Raises `InvalidField`, `InvalidImage`, `TooManyInputs`.
    """
    vocabulary = stated_vocabulary(fields, header=vocabulary_header)
    request = EmbedRequest(
        inputs=_inputs(fields, vocabulary=vocabulary, limits=limits),
        deadline=deadline,
        model=model_name(fields),
        dimensions=whole_number(
            fields, *DIMENSIONS_NAMES, minimum=1, otherwise="Leave it out for the model's own size."
        ),
        caller=caller,
        **({} if _OPENAI_FIELDS.issuperset(fields) else _beyond_openai(fields)),
    )
    return EmbeddingsCall(request=request, encodings=_encodings(fields))


def _inputs(fields: Fields, *, vocabulary: Vocabulary | None, limits: InputLimits) -> tuple[Input, ...]:
    name, value = given(fields, *INPUT_NAMES)
    if value is None and fields.get(MESSAGES) is not None:
        return read_messages(fields[MESSAGES], name=MESSAGES, limits=limits)
    if MODALITY in fields:
        value = strings_in_modality(value, word(fields, MODALITY))
    return read_inputs(value, name=name, vocabulary=vocabulary, limits=limits)


def _beyond_openai(fields: Fields) -> dict[str, Any]:
    """The parts of the request that OpenAI has no field for; reading them takes as long as all others."""
    refuse_bare_inputs(fields, unless=MESSAGES)
    found, max_tokens = cut_to(fields, overflow=overflow(fields))
    return {
        "overflow": found,
        "max_input_tokens": max_tokens,
        "task": word(fields, *TASK_NAMES),
        "side": word(fields, *SIDE_NAMES),
        "normalised": flag(fields, *NORMALISED_NAMES, default=True),
        "late_chunking": flag(fields, "late_chunking", default=False),
        "multi_vector": flag(fields, MULTI_VECTOR, default=False),
        "return_tokens": flag(fields, RETURN_TOKENS, default=False),
    }


def overflow(fields: Fields) -> Overflow:
    """Whether a text longer than the model's window is cut; unless asked for, it is refused. Raises `InvalidField`."""
    return Overflow.TRUNCATE if flag(fields, *TRUNCATE_NAMES, default=False) else Overflow.REFUSE


def _encodings(fields: Fields) -> tuple[Encoding, ...]:
    name, value = given(fields, *ENCODING_NAMES, but_not="")
    if value is None:
        return (Encoding.FLOAT,)
    words = value if isinstance(value, list) else (value,)
    try:
        encodings = tuple([_ENCODINGS[one.lower()] for one in words])
    except (KeyError, AttributeError):
        raise _unknown_encoding(name) from None
    if len(encodings) != 1:
        encodings = tuple(dict.fromkeys(encodings))
    if not encodings:
        raise _unknown_encoding(name)
    if encodings == (Encoding.FLOAT,) and _is_base64(fields.get("encoding_format")):
        # OpenAI's SDKs add it on their own and decode it; handed a list, the one for Node makes zeros of it.
        return (Encoding.BASE64,)
    return encodings


def _is_base64(value: Any) -> bool:
    return isinstance(value, str) and value.lower() == Encoding.BASE64.value


def _unknown_encoding(name: str) -> InvalidField:
    supported = ", ".join(f"'{encoding.value}'" for encoding in Encoding)
    return InvalidField(f"Invalid value for '{name}'. Supported values: [{supported}], or a list of these.", param=name)


def stated_vocabulary(fields: Fields, *, header: str | None) -> Vocabulary | None:
    """Whose ids a request says that its token ids are, by the field before the header. Raises `InvalidField`."""
    value = fields.get("token_vocabulary")
    if value is None or value == "":
        value = header or None
    if value is None:
        return None
    try:
        return Vocabulary(value.strip().lower() if isinstance(value, str) else value)
    except ValueError:
        names = ", ".join(f"'{vocabulary.value}'" for vocabulary in Vocabulary)
        raise InvalidField(
            f"'token_vocabulary' (also the header `x-token-vocabulary`) has to be one of {names}.",
            param="token_vocabulary",
        ) from None
