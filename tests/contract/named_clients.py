"""Every client that is known by name to call such an API, and what of it is played here.

Whoever is not recorded is here with a reason, and with the test that holds what it stumbled over elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RECORDED: Mapping[str, tuple[str, ...]] = {
    "AnythingLLM": ("anything_llm", "ollama"),
    "Azure's clients": ("azure_openai",),
    "Cohere's SDKs": ("cohere",),
    "Continue": ("continue", "azure_openai", "ollama"),
    "Dify": ("dify", "dify_openai_api_compatible", "ollama"),
    "Elasticsearch": (
        "elasticsearch_openai", "elasticsearch_jinaai", "elasticsearch_cohere", "elasticsearch_custom",
        "elasticsearch_hugging_face",
    ),
    "Flowise": ("flowise",),
    "Haystack": ("haystack", "haystack_openai", "hugging_face_client"),
    "Hugging Face's InferenceClient": ("hugging_face_client",),
    "Jina's MCP server": ("jina_mcp",),
    "LangChain": ("langchain_openai", "langchain_python", "hugging_face_client", "ollama"),
    "LangChain JS": ("langchain_js_openai", "langchain_js"),
    "LibreChat": ("librechat",),
    "LiteLLM": ("litellm", "litellm_openai"),
    "LlamaIndex": ("llama_index_openai", "llama_index_embedding", "llama_index_rerank", "hugging_face_client"),
    "LlamaIndex.TS": ("llamaindex_ts",),
    "mem0": ("mem0",),
    "n8n": ("n8n",),
    "Ollama's clients": ("ollama",),
    "Open WebUI": ("open_webui", "azure_openai", "ollama"),
    "OpenAI's .NET client": ("dotnet",),
    "OpenAI's Java client": ("openai_java",),
    "OpenAI's Node client": ("openai_node",),
    "OpenAI's Python client": ("openai_python",),
    "RAGFlow": ("ragflow",),
    "Spring AI": ("spring_ai", "openai_java"),
    "Vercel AI SDK": ("vercel_openai", "vercel_jina_ai_provider"),
}  # fmt: skip


@dataclass(frozen=True)
class Unrecorded:
    """`test` is a file, and in it the test that holds what is said."""

    why: str
    test: str


TRAPS = "tests/contract/test_ten_traps.py"
RECORDINGS = "tests/contract/test_recorded_clients.py::test_every_recorded_request_is_answered_as_its_client_reads_it"

UNRECORDED: Mapping[str, Unrecorded] = {
    "agent-zero": Unrecorded(
        "Calls through LiteLLM, and stumbled over its `encoding_format` of null, which is recorded there.", RECORDINGS
    ),
    "ARM's metis": Unrecorded(
        "Sends what LangChain sends, token ids, which is recorded there.",
        f"{TRAPS}::test_2_token_ids_are_cl100k_base_or_refused",
    ),
    "Cogtrix": Unrecorded(
        "Known for an answer of 200 without data, which is none that this gateway gives.",
        "tests/dialects/test_conformance.py::test_empty",
    ),
    "Coze Studio": Unrecorded(
        "Known for its `dimensions`, sent whatever the model; recorded with mem0, which does the same.",
        f"{TRAPS}::test_7_more_dimensions_than_there_are_is_what_each_api_makes_of_it",
    ),
    "docs-mcp-server": Unrecorded(
        "Calls through LangChain JS, which is recorded; stumbled over a server without base64.", RECORDINGS
    ),
    "hindsight": Unrecorded(
        "Known for asking TEI by many callers at once, and for wanting prefixes put on by the server.",
        f"{TRAPS}::test_9_who_is_turned_away_is_told_when_to_come_again",
    ),
    "MaxKB": Unrecorded(
        "Called Jina's API by its provider for OpenAI's, and stumbled over Jina's refusal of `encoding_format`.",
        f"{TRAPS}::test_3_one_path_takes_the_fields_of_three_apis",
    ),
    "memobase": Unrecorded(
        "Known for sending more inputs than others' batches hold.",
        f"{TRAPS}::test_9_as_many_inputs_as_openai_takes_come_back_in_their_order",
    ),
    "MemOS": Unrecorded(
        "Known for what it makes of a 429.", f"{TRAPS}::test_9_who_is_turned_away_is_told_when_to_come_again"
    ),
    "new-api": Unrecorded(
        "A proxy: passes on what its own callers send, Jina's fields and OpenAI's together.",
        f"{TRAPS}::test_3_one_path_takes_the_fields_of_three_apis",
    ),
    "Refly": Unrecorded(
        "Known for sending more than the 2048 inputs that Jina's API takes; here as there an error says so.",
        f"{TRAPS}::test_9_as_many_inputs_as_openai_takes_come_back_in_their_order",
    ),
    "rssmonster": Unrecorded(
        "Calls through OpenAI's Node client, which is recorded; stumbled over a server without base64.", RECORDINGS
    ),
}

SERVERS = frozenset({
    "FastChat", "infinity", "jina-on-prem", "kserve", "llama.cpp", "LM Studio", "ogx", "Ollama", "omlx",
    "open-text-embeddings", "text-embeddings-inference", "Triton's OpenAI frontend", "Venice.ai", "vLLM", "vLLM-Omni",
    "worker-infinity-embedding",
})  # fmt: skip
"""Named beside the clients as what these stumbled over: nothing calls from them."""
