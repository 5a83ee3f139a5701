"""The transformer stage's own settings, which may turn a text into something else before the model reads it."""

from __future__ import annotations

from gateway.artifacts.adding.published import Document, Fact, Published, joined
from gateway.artifacts.adding.refusal import USE_THEIR_LIBRARY, CannotServe

# It has borne these names.
STAGE_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)

_TASKS = (None, "feature-extraction")
_TOKEN_OUTPUTS = (None, "last_hidden_state")
# Settings of a tokenizer call that change no id of a text that fits the window.
_HARMLESS = {"max_length", "truncation", "padding", "pad_to_multiple_of", "return_tensors"}


def read_stage_config(published: Published, folder: str) -> Fact[Document]:
    """Empty where there are none."""
    for name in STAGE_FILES:
        path = joined(folder, name)
        document = published.document(path)
        if document:
            return Fact(document, path)
    return Fact({}, joined(folder, STAGE_FILES[0]))


def check_stage_config(stage: Fact[Document]) -> None:
    """Raises `CannotServe` for a stage that reads texts in another way than by tokens of the text alone."""
    task = stage.value.get("transformer_task")
    if task not in _TASKS:
        raise _another_way(stage, f"transformer_task is {task}")
    kinds = stage.value.get("modality_config")
    text = kinds.get("text") if isinstance(kinds, dict) else {}
    if not isinstance(text, dict):
        raise _another_way(stage, "it takes no plain texts, only messages or other things")
    if text.get("method_output_name") not in _TOKEN_OUTPUTS:
        raise _another_way(stage, f"vectors come from {text['method_output_name']}")
    settings = stage.value.get("processing_kwargs")
    changed = [name for name in _settings_for_texts(settings) if name not in _HARMLESS]
    if changed:
        raise _another_way(stage, f"processing_kwargs has {', '.join(changed)}")


def _settings_for_texts(settings: object) -> list[str]:
    parts = [settings.get(name) for name in ("common", "text")] if isinstance(settings, dict) else []
    return [str(name) for part in parts if isinstance(part, dict) for name in part]


def _another_way(stage: Fact[Document], what: str) -> CannotServe:
    return CannotServe(
        f"{stage.source} asks for something that is not done here: {what}.",
        remedy=USE_THEIR_LIBRARY,
    )
