"""Write `twin_references.npz`: what transformers' own classes make of the twins' weights.

Run it from the repository's root in an environment of its own; the project never needs torch:

    python3 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install torch==2.13.0
    /tmp/oracle/bin/pip install transformers==5.23.0 onnx
    PYTHONPATH=. /tmp/oracle/bin/python tests/golden/make_twin_references.py

Weights reach transformers as a checkpoint in the published names, so that its own renaming and splitting apply; the
adapters of jina-embeddings-v3, which it knows nothing of, are added in here first. The forward passes run in float64,
one row at a time, without padding, and are then rounded to float32. There is no class for JinaBERT in transformers.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import EuroBertModel, JinaEmbeddingsV3Model, PreTrainedModel, Qwen3Model
from transformers import XLMRobertaForSequenceClassification as Reranker

from tests.support.twins import reranker_v2, v3, v5_nano, v5_small, v5_text
from tests.support.twins.twin import Twin

TARGET = Path(__file__).resolve().parent / "twin_references.npz"
TEXTS = [
    "The quick brown fox jumps over the lazy dog, and it is a model for search.",
    "a",
    "你好世界 Größe, naïve café: 🙂🚀",
    "Represent the document for retrieval: apples",
]
QUERY = "Organic skin care products for sensitive skin"
LONG_TOKENS = 96

Weights = dict[str, np.ndarray]
Arrays = dict[str, np.ndarray]


def loaded(kind: type[PreTrainedModel], weights: Weights, config: dict[str, object]) -> PreTrainedModel:
    """The model in float64. Every weight has to be used, and none may be missing."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        config = {key: value for key, value in config.items() if key not in ("auto_map", "torch_dtype")}
        (folder / "config.json").write_text(json.dumps(config))
        save_file({key: np.ascontiguousarray(array) for key, array in weights.items()}, folder / "model.safetensors")
        model, report = kind.from_pretrained(folder, attn_implementation="eager", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.double().eval()


def rows_of(twin: Twin) -> list[np.ndarray]:
    """The texts' ids, and one long row."""
    rows = [twin.ids(text) for text in TEXTS]
    return [*rows, np.resize(np.concatenate(rows), LONG_TOKENS)]


def outputs(model: PreTrainedModel, rows: list[np.ndarray]) -> list[object]:
    with torch.no_grad():
        return [model(torch.from_numpy(row)[None], attention_mask=torch.ones(1, len(row))) for row in rows]


def unit(vector: torch.Tensor) -> np.ndarray:
    return (vector / vector.norm()).float().numpy()


def merged(weights: Weights, task: int) -> Weights:
    """The checkpoint of jina-embeddings-v3 with one task's adapters added in: alpha / rank is 1 / 4."""
    plain = {name: array.astype(np.float64) for name, array in weights.items() if ".lora_" not in name}
    for name in [name.removesuffix(".lora_A") for name in weights if name.endswith(".lora_A")]:
        a, b = (weights[f"{name}.lora_{part}"][task].astype(np.float64) for part in "AB")
        plain[name] += 0.25 * (np.einsum("vr,rd->vd", a, b) if "embeddings" in name else np.einsum("or,ri->oi", b, a))
    return plain


def v3_arrays() -> Arrays:
    twin = v3.build()
    config = {
        **twin.config,
        "model_type": "jina_embeddings_v3",
        "rope_parameters": {"rope_type": "default", "rope_theta": 20000.0},
    }
    rows = rows_of(twin)
    vectors, poolers, hidden = [], [], []
    for task in range(len(v3.TASKS)):
        found = outputs(loaded(JinaEmbeddingsV3Model, merged(twin.weights, task), config), rows)
        vectors.append([unit(one.last_hidden_state[0].mean(dim=0)) for one in found])
        poolers.append([one.pooler_output[0].float().numpy() for one in found])
        hidden.append(np.concatenate([one.last_hidden_state[0].float().numpy() for one in found]))
    return {**packed("v3", rows, vectors, hidden[0]), "v3/poolers": np.array(poolers)}


def v5_arrays(name: str, build: Callable[[str], Twin], kind: type[PreTrainedModel]) -> Arrays:
    rows = rows_of(build(v5_text.TASKS[0]))
    vectors, hidden = [], []
    for task in v5_text.TASKS:
        found = outputs(loaded(kind, build(task).weights, dict(build(task).config)), rows)
        vectors.append([unit(one.last_hidden_state[0, -1]) for one in found])
        hidden.append(np.concatenate([one.last_hidden_state[0].float().numpy() for one in found]))
    return packed(name, rows, vectors, hidden[0])


def reranker_arrays() -> Arrays:
    twin = reranker_v2.build()
    rows = [reranker_v2.pair_ids(QUERY, text) for text in TEXTS]
    found = outputs(loaded(Reranker, twin.weights, dict(twin.config)), rows)
    logits = np.array([one.logits[0, 0].float().numpy() for one in found])
    return {"reranker_v2/ids": np.concatenate(rows), "reranker_v2/lengths": lengths(rows), "reranker_v2/logits": logits}


def packed(name: str, rows: list[np.ndarray], vectors: list[list[np.ndarray]], hidden: np.ndarray) -> Arrays:
    """ids [all tokens] and lengths [rows]; vectors [tasks, rows, size]; the first task's hidden [all tokens, size]."""
    return {
        f"{name}/ids": np.concatenate(rows),
        f"{name}/lengths": lengths(rows),
        f"{name}/vectors": np.array(vectors),
        f"{name}/hidden": hidden,
    }


def lengths(rows: list[np.ndarray]) -> np.ndarray:
    return np.array([len(row) for row in rows])


def main() -> None:
    arrays = {
        **v3_arrays(),
        **v5_arrays("v5_nano", v5_nano.build, EuroBertModel),
        **v5_arrays("v5_small", v5_small.build, Qwen3Model),
        **reranker_arrays(),
    }
    np.savez_compressed(TARGET, **arrays)
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main()
