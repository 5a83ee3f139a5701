"""What the list of models says about each kind of model."""

from __future__ import annotations

from dataclasses import replace

from gateway.dialects.model_objects import model_entries, model_object
from tests.support.instant_models import ScriptedModels, family_listing, image_listing, plain_listing, reranker_listing

NO_PRICE = dict.fromkeys(("prompt", "completion", "image", "request", "input_cache_read", "input_cache_write"), "0")


def test_a_plain_model() -> None:
    models = ScriptedModels()
    assert model_object(plain_listing(), models) == {
        "id": "tiny",
        "object": "model",
        "created": 1630281600,  # date -u -d 2021-08-30 +%s
        "owned_by": "acme",
        "hub_id": "acme/Tiny-Model",
        "aliases": ["text-embedding-tiny"],
        "kind": "embedding",
        "dimensions": 384,
        "matryoshka_dimensions": [],
        "late_chunking": True,
        "multi_vector": False,
        "token_dimensions": None,
        "tasks": [],
        "default_task": None,
        "max_tokens": 256,
        "licence": "apache-2.0",
        "variant": None,
        "batch_invariant": True,
        "precision": "exact",
        "hugging_face_id": "acme/Tiny-Model",
        "name": "tiny",
        "description": "A card for tests.",
        "context_length": 256,
        "max_output_length": 384,
        "input_modalities": ["text"],
        "output_modalities": ["embeddings"],
        "quantization": "",
        "supported_sampling_parameters": [],
        "supported_features": [],
        "pricing": NO_PRICE,
        "datacenters": [],
        "endpoints": ["embed"],
        "default_endpoints": [],
        "finetuned": False,
        "tokenizer_url": None,
    }


def test_the_operators_names_have_entries_of_their_own() -> None:
    listing = replace(plain_listing(), configured_aliases={"text-embedding-3-small": None, "search": "retrieval.query"})
    own, *others = model_entries(listing, ScriptedModels((listing,)))
    assert own["aliases"] == ["text-embedding-tiny", "text-embedding-3-small", "search"]
    assert [(one["id"], one["alias_of"], one["default_task"]) for one in others] == [
        ("text-embedding-3-small", "tiny", None),
        ("search", "tiny", "retrieval.query"),
    ]


def test_a_family_is_one_model_with_the_tasks_that_are_loaded() -> None:
    listing = family_listing()
    described = model_object(listing, ScriptedModels((listing,)))
    assert described["id"] == "tiny-family"
    assert described["tasks"] == ["retrieval.query", "retrieval.passage"]
    assert described["default_task"] == "text-matching"
    assert described["matryoshka_dimensions"] == [32, 128]
    assert (described["variant"], described["quantization"], described["batch_invariant"]) == ("int8", "int8", False)
    assert described["late_chunking"] is False


def test_a_shared_name_is_listed_with_the_model_that_answers_to_it() -> None:
    first, second = family_listing("a-family"), family_listing("b-family")
    models = ScriptedModels((first, second))
    assert model_object(first, models)["aliases"] == ["tiny-shared"]
    assert model_object(second, models)["aliases"] == []


def test_a_reranker_has_no_vectors() -> None:
    described = model_object(reranker_listing(), ScriptedModels())
    assert (described["kind"], described["dimensions"], described["late_chunking"]) == ("reranker", None, False)
    assert described["output_modalities"] == ["rerank"]


def test_a_model_that_reads_images_and_gives_a_vector_a_token() -> None:
    described = model_object(image_listing(), ScriptedModels())
    assert described["input_modalities"] == ["text", "image"]
    assert (described["multi_vector"], described["token_dimensions"]) == (True, 16)
