"""A twin of jina-embeddings-v3: XLM-RoBERTa with rotary positions and five LoRA adapters, picked inside the graph.

`task_id` is declared with rank 0. The published graph also takes shape [1] unharmed; this one counts the adapters'
rank along the first axis of what `task_id` picked, so shape [1] makes it scale every adapter fourfold and say nothing,
and two ids at once fail in a Reshape. A `task_id` of -1 takes the last adapter, as upstream.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.twins import numpy_layers as npl
from tests.support.twins import onnx_layers as ol
from tests.support.twins.drawing import Drawing
from tests.support.twins.tokenizer_files import XLM_ROBERTA_TOKENS, json_file, tokenizer_files, xlm_roberta
from tests.support.twins.twin import Twin, Weights
from tests.support.twins.wiring import Wiring, exported, ids_value, single_file, value

REPOSITORY = "jinaai/jina-embeddings-v3"
TASKS = ("retrieval.query", "retrieval.passage", "separation", "classification", "text-matching")
PROMPTS = {
    "retrieval.query": "Represent the query for retrieving evidence documents: ",
    "retrieval.passage": "Represent the document for retrieval: ",
    "separation": "",
    "classification": "",
    "text-matching": "",
}
HIDDEN, INNER, LAYERS, HEADS = 32, 48, 2, 2
SIZE = HIDDEN // HEADS
RANK, ALPHA = 4, 1
THETA, EPSILON = 20000.0, 1e-5
MAX_TOKENS = 8192
MATRYOSHKA = (8, 16, 24, 32)
POOLER = "13049"


@cache
def build() -> Twin:
    """The whole repository; `hidden_states` and `vector` take `task=0` to 4, in the order of `TASKS`."""
    tokenizer = xlm_roberta()
    weights = random_weights(tokenizer.get_vocab_size())
    config = _config(tokenizer.get_vocab_size())
    files = {
        "config.json": json_file(config),
        **_sentence_transformers_files(),
        **tokenizer_files(
            tokenizer, XLM_ROBERTA_TOKENS, model_max_length=MAX_TOKENS, tokenizer_class="XLMRobertaTokenizer"
        ),
        **exported(_graph(weights, Wiring()), "onnx/model.onnx"),
        "onnx/model_fp16.onnx": single_file(_graph(weights, Wiring(np.float16))),
    }
    return Twin(
        repository=REPOSITORY,
        files=files,
        dimensions=HIDDEN,
        max_tokens=MAX_TOKENS,
        pad_id=1,
        pooling="mean",
        weights=weights,
        config=config,
        forward=partial(_forward, weights),
        matryoshka=MATRYOSHKA,
    )


def pooler_output(ids: np.ndarray, *, task: int) -> np.ndarray:
    """float64 [dimensions]: what the graph's second output, the decoy, has to hold for one row."""
    twin = build()
    first = twin.hidden_states(ids, task=task)[:1]
    return np.tanh(npl.linear(first, adapted(twin.weights, task), "pooler.dense"))[0]


def adapted(weights: Weights, task: int) -> Weights:
    """float64 weights with the task's adapters added in, under the base names: W + alpha / rank * B A."""
    w = npl.double(weights)
    for name in [name for name in w if f"{name}.lora_A" in w]:
        a, b = w[f"{name}.lora_A"][task], w[f"{name}.lora_B"][task]
        w[name] = w[name] + ALPHA / RANK * (a @ b if "embeddings" in name else b @ a)
    return {name: array for name, array in w.items() if "lora" not in name}


def _forward(weights: Weights, ids: np.ndarray, *, task: int) -> np.ndarray:
    w = adapted(weights, task)
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    x = npl.layer_norm(x, w, "emb_ln", EPSILON)
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        query, key, value_ = np.split(npl.linear(x, w, f"{name}.mixer.Wqkv").reshape(len(x), -1, SIZE), 3, axis=1)
        mixed = npl.attend(npl.rotate(query, THETA), npl.rotate(key, THETA), value_)
        x = npl.layer_norm(x + npl.linear(mixed, w, f"{name}.mixer.out_proj"), w, f"{name}.norm1", EPSILON)
        inner = npl.gelu(npl.linear(x, w, f"{name}.mlp.fc1"))
        x = npl.layer_norm(x + npl.linear(inner, w, f"{name}.mlp.fc2"), w, f"{name}.norm2", EPSILON)
    return x


def random_weights(vocabulary: int, seed: int = 3) -> Weights:
    """float32 by the checkpoint's names, less `roberta.` and `parametrizations`; adapters as stacks [5, ...]."""
    draw = Drawing(seed)
    _draw_embedding(draw, "embeddings.word_embeddings", vocabulary)
    _draw_embedding(draw, "embeddings.token_type_embeddings", 1)
    draw.norm("emb_ln", HIDDEN)
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        _draw_linear(draw, f"{name}.mixer.Wqkv", HIDDEN, 3 * HIDDEN, scale=1.5)
        _draw_linear(draw, f"{name}.mixer.out_proj", HIDDEN, HIDDEN)
        draw.norm(f"{name}.norm1", HIDDEN)
        _draw_linear(draw, f"{name}.mlp.fc1", HIDDEN, INNER)
        _draw_linear(draw, f"{name}.mlp.fc2", INNER, HIDDEN)
        draw.norm(f"{name}.norm2", HIDDEN)
    _draw_linear(draw, "pooler.dense", HIDDEN, HIDDEN)
    return draw.weights


def _draw_embedding(draw: Drawing, name: str, rows: int) -> None:
    draw.array(f"{name}.weight", rows, HIDDEN, scale=1.0)
    _draw_adapters(draw, f"{name}.weight", (rows, RANK), (RANK, HIDDEN), strength=0.5)


def _draw_linear(draw: Drawing, name: str, inputs: int, outputs: int, *, scale: float = 1.0) -> None:
    draw.dense(name, inputs, outputs, scale=scale)
    _draw_adapters(draw, f"{name}.weight", (RANK, inputs), (outputs, RANK), strength=0.5 * inputs**-0.5)


def _draw_adapters(draw: Drawing, name: str, a: tuple[int, int], b: tuple[int, int], *, strength: float) -> None:
    """Stacks whose products, once scaled, have `strength` as standard deviation."""
    # A product of both has a variance of rank * scale**4, and is scaled by alpha / rank.
    scale = (strength * RANK / ALPHA) ** 0.5 / RANK**0.25
    draw.array(f"{name}.lora_A", len(TASKS), *a, scale=scale)
    draw.array(f"{name}.lora_B", len(TASKS), *b, scale=scale)


def _graph(weights: Weights, w: Wiring) -> onnx.ModelProto:
    """Inputs and outputs are int64 and float32 whatever `w` computes in."""
    scale = _adapter_scale(w)
    table = _merged_embedding(w, weights, "embeddings.word_embeddings", scale)
    types = _merged_embedding(w, weights, "embeddings.token_type_embeddings", scale)
    x = w.op("Add", w.op("Gather", table, "input_ids"), types)
    x = ol.layer_norm(w, x, weights, "emb_ln", EPSILON)
    tables, bias = ol.rotary_tables(w, SIZE, THETA), ol.padding_bias(w)
    for layer in range(LAYERS):
        name = f"encoder.layers.{layer}"
        fused = _merged_linear(w, x, weights, f"{name}.mixer.Wqkv", scale)
        query, key, value_ = (ol.split_heads(w, part, SIZE) for part in w.ops("Split", fused, outputs=3, axis=-1))
        query, key = ol.rotate(w, query, tables), ol.rotate(w, key, tables)
        mixed = ol.attend(w, query, key, value_, bias=bias, size=SIZE)
        mixed = _merged_linear(w, mixed, weights, f"{name}.mixer.out_proj", scale)
        x = ol.layer_norm(w, w.op("Add", x, mixed), weights, f"{name}.norm1", EPSILON)
        inner = ol.gelu(w, _merged_linear(w, x, weights, f"{name}.mlp.fc1", scale))
        inner = _merged_linear(w, inner, weights, f"{name}.mlp.fc2", scale)
        x = ol.layer_norm(w, w.op("Add", x, inner), weights, f"{name}.norm2", EPSILON)
    w.cast(x, np.float32, to="text_embeds")
    first = w.op("Gather", x, w.integer(0), axis=1)
    w.cast(w.op("Tanh", _merged_linear(w, first, weights, "pooler.dense", scale)), np.float32, to=POOLER)
    inputs = [ids_value("input_ids"), ids_value("attention_mask"), value("task_id", [], TensorProto.INT64)]
    outputs = [value("text_embeds", ["batch_size", "sequence_length", HIDDEN]), value(POOLER, ["batch_size", HIDDEN])]
    return w.model(inputs, outputs)


def _adapter_scale(w: Wiring) -> str:
    """alpha / rank. One for each unit of rank is picked and summed; see the module's docstring."""
    picked = w.op("Gather", w.weight("lora_units", np.ones((len(TASKS), RANK))), "task_id")
    return w.op("Div", w.number(ALPHA), w.op("ReduceSum", picked, w.ints(0), keepdims=0))


def _merged_embedding(w: Wiring, weights: Weights, name: str, scale: str) -> str:
    base = weights[f"{name}.weight"]
    a, b = (_picked(w, weights, f"{name}.weight.lora_{part}") for part in "AB")
    delta = w.op("Reshape", w.op("MatMul", w.op("Mul", a, scale), b), w.ints(*base.shape))
    return w.op("Add", w.weight(f"{name}.weight", base), delta)


def _merged_linear(w: Wiring, x: str, weights: Weights, name: str, scale: str) -> str:
    base = weights[f"{name}.weight"]
    a, b = (_picked(w, weights, f"{name}.weight.lora_{part}") for part in "AB")
    delta = w.op("Reshape", w.op("MatMul", w.op("Mul", b, scale), a), w.ints(*base.shape))
    matrix = w.op("Transpose", w.op("Add", w.weight(f"{name}.weight", base), delta), perm=[1, 0])
    return w.op("Add", w.op("MatMul", x, matrix), w.weight(f"{name}.bias", weights[f"{name}.bias"]))


def _picked(w: Wiring, weights: Weights, name: str) -> str:
    return w.op("Gather", w.weight(name, weights[name]), "task_id", axis=0)


def _config(vocabulary: int) -> dict[str, object]:
    code = "jinaai/xlm-roberta-flash-implementation--"
    return {
        "architectures": ["XLMRobertaModel"],
        "attention_probs_dropout_prob": 0.1,
        "auto_map": {
            "AutoConfig": f"{code}configuration_xlm_roberta.XLMRobertaFlashConfig",
            "AutoModel": f"{code}modeling_lora.XLMRobertaLoRA",
        },
        "bos_token_id": 0,
        "eos_token_id": 2,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.1,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "layer_norm_eps": EPSILON,
        "lora_adaptations": list(TASKS),
        "lora_alpha": ALPHA,
        "lora_dropout_p": 0.0,
        "lora_rank": RANK,
        "matryoshka_dimensions": list(MATRYOSHKA),
        "max_position_embeddings": MAX_TOKENS + 2,
        "model_type": "xlm-roberta",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "pad_token_id": 1,
        "position_embedding_type": "rotary",
        "rotary_emb_base": THETA,
        "task_instructions": PROMPTS,
        "torch_dtype": "bfloat16",
        "type_vocab_size": 1,
        "vocab_size": vocabulary,
    }


def _sentence_transformers_files() -> dict[str, bytes]:
    stages = [
        {"idx": 0, "name": "transformer", "path": "", "type": "custom_st.Transformer", "kwargs": ["task"]},
        {"idx": 1, "name": "pooler", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "normalizer", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    return {
        "modules.json": json_file(stages),
        "1_Pooling/config.json": json_file(
            {
                "word_embedding_dimension": HIDDEN,
                "pooling_mode_cls_token": False,
                "pooling_mode_mean_tokens": True,
                "pooling_mode_max_tokens": False,
                "pooling_mode_mean_sqrt_len_tokens": False,
                "pooling_mode_weightedmean_tokens": False,
                "pooling_mode_lasttoken": False,
                "include_prompt": True,
            }
        ),
        "config_sentence_transformers.json": json_file(
            {"prompts": PROMPTS, "default_prompt_name": None, "similarity_fn_name": "cosine"}
        ),
    }
