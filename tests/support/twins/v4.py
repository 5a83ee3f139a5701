"""Twins of jina-embeddings-v4 and of its merged checkpoints: a tiny Qwen2.5-VL in their repositories' layouts.

Read in source upstream: the names of files and modules, the prompts, what is pooled. Inferred: that tensors are called
as transformers called them when the model was published (`model.layers`, `visual`, `lm_head`, without a
`language_model` between), that they are bfloat16 in two shards, that adapters' names lack the adapter's own
(`lora_A.TASK.weight`) and are float32, and the values of `adapter_config.json`. The output layer is stored in the main
repository and left out of the merged ones, whose configs tie it to the embedding; nothing here computes with it.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from tokenizers import AddedToken, Tokenizer, normalizers

from tests.support.twins import llama, v4_weights, v5_small
from tests.support.twins.llama import LlamaShape
from tests.support.twins.safetensors_file import BFLOAT16, as_bfloat16, safetensors_file
from tests.support.twins.tokenizer_files import byte_level_bpe, json_file, tokenizer_files
from tests.support.twins.twin import Twin, Weights
from tests.support.twins.v4_weights import ALPHA, HIDDEN, PROJECTOR, RANK, TASKS, TOKEN_DIMENSIONS

REPOSITORY = "jinaai/jina-embeddings-v4"
MATRYOSHKA = (8, 16, 32, 48, 64)
MAX_TOKENS = 32768
POSITIONS = 128000
# The full model's epsilon of 1e-6 would hide that it is not read.
THETA, EPSILON = 1e6, 1e-3
SECTIONS = (2, 3, 3)
FULL_ATTENTION_BLOCKS = (1, 3)
WINDOW = 112
# Of the main repository. The merged ones ship twenty times as many, which the card overrules.
MAX_PIXELS, MERGED_MAX_PIXELS = 602112, 12845056
END, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, IMAGE_PAD = "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"
SPECIAL = (
    *(END, TURN_START, TURN_END),
    *("<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>", "<|quad_start|>", "<|quad_end|>"),
    *(VISION_START, VISION_END, "<|vision_pad|>", IMAGE_PAD, "<|video_pad|>"),
)
# Single tokens as well, but not marked as special.
PLAIN_TOKENS = ("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
SHAPE = LlamaShape(
    hidden=HIDDEN,
    inner=v4_weights.INNER,
    layers=v4_weights.LAYERS,
    heads=v4_weights.HEADS,
    groups=v4_weights.GROUPS,
    size=v4_weights.SIZE,
    theta=THETA,
    epsilon=EPSILON,
    causal=True,
    head_norms=False,
)


def merged_repository(task: str) -> str:
    return f"{REPOSITORY}-vllm-{task}"


@cache
def build() -> Twin:
    """The main repository; `hidden_states` and `vector` take texts' ids and `task=0` to 2, in the order of `TASKS`."""
    weights, adapters = _weights(), _adapters()
    config = _config(tie_word_embeddings=False, **_own_config())
    files = {
        **_common_files(config, max_pixels=MAX_PIXELS),
        **_shards(weights),
        "adapters/adapter_config.json": json_file(_adapter_config()),
        "adapters/adapter_model.safetensors": safetensors_file(
            {f"base_model.model.{name}": array for name, array in adapters.items()}
        ),
    }
    return _twin(REPOSITORY, files, weights | adapters, config, [adapted(task) for task in TASKS])


@cache
def build_merged(task: str) -> Twin:
    """The repository of one of `TASKS`: no adapters, no projector."""
    folded = {name: as_bfloat16(array) for name, array in adapted(task).items()}
    weights = {name: array for name, array in folded.items() if not name.startswith((PROJECTOR, "lm_head"))}
    config = _config(tie_word_embeddings=True, architectures=["Qwen2_5_VLForConditionalGeneration"])
    files = {**_common_files(config, max_pixels=MERGED_MAX_PIXELS), **_shards(weights)}
    return _twin(merged_repository(task), files, weights, config, [weights], token_dimensions=None)


def adapted(task: str) -> Weights:
    """float32 weights of the main repository, by its names, with a task's adapters folded in."""
    return v4_weights.merged(_weights(), _adapters(), task)


@cache
def tokenizer() -> Tokenizer:
    """Byte-level BPE as of Qwen2; adds no special token to a text."""
    made = byte_level_bpe(v5_small.CHUNKS, list(SPECIAL))
    made.add_tokens([AddedToken(token, normalized=False, special=False) for token in PLAIN_TOKENS])
    made.normalizer = normalizers.NFC()
    return made


def vocabulary_size() -> int:
    """More than the tokenizer has, as upstream."""
    return -(-(tokenizer().get_vocab_size() + 1) // 64) * 64


@cache
def _weights() -> Weights:
    return v4_weights.random_weights(vocabulary_size())


@cache
def _adapters() -> Weights:
    return v4_weights.random_adapters(_weights())


def _twin(
    repository: str,
    files: dict[str, bytes],
    weights: Weights,
    config: dict[str, object],
    by_task: list[Weights],
    token_dimensions: int | None = TOKEN_DIMENSIONS,
) -> Twin:
    return Twin(
        repository=repository,
        files=files,
        dimensions=HIDDEN,
        max_tokens=MAX_TOKENS,
        pad_id=tokenizer().token_to_id(END),
        pooling="mean",
        weights=weights,
        config=config,
        forward=partial(_forward, by_task),
        matryoshka=MATRYOSHKA,
        token_dimensions=token_dimensions,
    )


def _forward(by_task: list[Weights], ids: np.ndarray, *, task: int = 0) -> np.ndarray:
    """A text's: its three kinds of positions are one and the same, so it is a plain rotary model."""
    text = {name.removeprefix("model."): array for name, array in by_task[task].items() if name.startswith("model.")}
    return llama.forward(SHAPE, text, ids)


def _shards(weights: Weights) -> dict[str, bytes]:
    """Two files and their index."""
    names = list(weights)
    middle = len(names) // 2
    files = {
        f"model-0000{place}-of-00002.safetensors": {name: weights[name] for name in part}
        for place, part in enumerate((names[:middle], names[middle:]), start=1)
    }
    index = {
        "metadata": {"total_size": sum(2 * array.size for array in weights.values())},
        "weight_map": {name: file for file, part in files.items() for name in part},
    }
    written = {file: safetensors_file(part, BFLOAT16) for file, part in files.items()}
    return {**written, "model.safetensors.index.json": json_file(index)}


def _common_files(config: dict[str, object], *, max_pixels: int) -> dict[str, bytes]:
    return {
        "config.json": json_file(config),
        "preprocessor_config.json": json_file(_preprocessor_config(max_pixels)),
        **tokenizer_files(
            tokenizer(),
            {"eos_token": TURN_END, "pad_token": END},
            add_bos_token=False,
            bos_token=None,
            model_max_length=131072,
            tokenizer_class="Qwen2Tokenizer",
        ),
    }


def _preprocessor_config(max_pixels: int) -> dict[str, object]:
    return {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "Qwen2VLImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "max_pixels": max_pixels,
        "merge_size": v4_weights.MERGE,
        "min_pixels": 3136,
        "patch_size": v4_weights.PATCH,
        "processor_class": "JinaEmbeddingsV4Processor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "temporal_patch_size": v4_weights.TEMPORAL_PATCH,
    }


def _adapter_config() -> dict[str, object]:
    text = r".*(model).*(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj).*$"
    return {
        "alpha_pattern": {},
        "base_model_name_or_path": REPOSITORY,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": "gaussian",
        "lora_alpha": ALPHA,
        "lora_dropout": 0.1,
        "peft_type": "LORA",
        "r": RANK,
        "rank_pattern": {},
        "target_modules": f"({text}|.*(single_vector_projector|multi_vector_projector).*$)",
        "task_type": "FEATURE_EXTRACTION",
        "use_dora": False,
        "use_rslora": False,
    }


def _own_config() -> dict[str, object]:
    module = "jina_embeddings_v4"
    return {
        "architectures": ["JinaEmbeddingsV4Model"],
        "auto_map": {
            "AutoConfig": f"configuration_{module}.JinaEmbeddingsV4Config",
            "AutoModel": f"modeling_{module}.JinaEmbeddingsV4Model",
        },
        "matryoshka_dims": list(MATRYOSHKA),
        "multi_vector_projector_dim": TOKEN_DIMENSIONS,
        "single_vector_pool_strategy": "mean",
        "task_names": list(TASKS),
    }


def _config(**more: object) -> dict[str, object]:
    token = tokenizer().token_to_id
    return {
        "attention_dropout": 0.0,
        "bos_token_id": token(END),
        "eos_token_id": token(TURN_END),
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "image_token_id": token(IMAGE_PAD),
        "initializer_range": 0.02,
        "intermediate_size": SHAPE.inner,
        "max_position_embeddings": POSITIONS,
        "max_window_layers": 70,
        "model_type": "qwen2_5_vl",
        "num_attention_heads": SHAPE.heads,
        "num_hidden_layers": SHAPE.layers,
        "num_key_value_heads": SHAPE.groups,
        "rms_norm_eps": EPSILON,
        "rope_scaling": {"mrope_section": list(SECTIONS), "rope_type": "default", "type": "default"},
        "rope_theta": THETA,
        "sliding_window": 32768,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.52.0",
        "use_cache": True,
        "use_sliding_window": False,
        "video_token_id": token("<|video_pad|>"),
        "vision_config": _vision_config(),
        "vision_end_token_id": token(VISION_END),
        "vision_start_token_id": token(VISION_START),
        "vision_token_id": token("<|vision_pad|>"),
        "vocab_size": vocabulary_size(),
        **more,
    }


def _vision_config() -> dict[str, object]:
    return {
        "depth": v4_weights.VISION_DEPTH,
        "fullatt_block_indexes": list(FULL_ATTENTION_BLOCKS),
        "hidden_act": "silu",
        "hidden_size": v4_weights.VISION_HIDDEN,
        "in_channels": 3,
        "in_chans": 3,
        "intermediate_size": v4_weights.VISION_INNER,
        "model_type": "qwen2_5_vl",
        "num_heads": 2,
        "out_hidden_size": HIDDEN,
        "patch_size": v4_weights.PATCH,
        "spatial_merge_size": v4_weights.MERGE,
        "spatial_patch_size": v4_weights.PATCH,
        "temporal_patch_size": v4_weights.TEMPORAL_PATCH,
        "tokens_per_second": 2,
        "window_size": WINDOW,
    }
