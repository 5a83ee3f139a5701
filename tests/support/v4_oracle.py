"""What jina-embeddings-v4 has to give, straight on transformers' own classes and from the published files alone.

Each input is run by itself through a copy of the model whose task's adapter was folded into its weights by hand, and
pooled as the model's description says. Needs torch and transformers, so import it only after `missing_torch`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoTokenizer, Qwen2_5_VLModel
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from tests.support.late_chunking_oracle import joined
from tests.support.v4_client import text_of

PROMPTS: Mapping[str, tuple[str, str]] = {
    "retrieval.query": ("retrieval", "Query: "),
    "retrieval.passage": ("retrieval", "Passage: "),
    "text-matching": ("text-matching", "Query: "),
    "code.query": ("code", "Query: "),
    "code.passage": ("code", "Passage: "),
}
BEFORE_IMAGE, AFTER_IMAGE = (
    "<|im_start|>user\n<|vision_start|>",
    "<|vision_end|>Describe the image.<|im_end|>\n",
)
PAD = "<|image_pad|>"
# The card's, not those of the repository's own file, which differs between the published copies.
MIN_PIXELS, MAX_PIXELS = 3136, 602112


class V4Oracle:
    """`folder` holds the repository's files in its own layout: of the main model, or of a merged one, whose adapter is
    in its weights already. Tasks are the five of `PROMPTS`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._adapters = folder / "adapters" / "adapter_model.safetensors"
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        size = {"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS}
        self._processor = Qwen2VLImageProcessorPil.from_pretrained(folder, size=size)
        self._models: dict[str, Qwen2_5_VLModel] = {}
        # The same inputs are asked for again and again, and the cores are the server's as well.
        self.text_hidden = lru_cache(maxsize=512)(self._text_hidden)
        self.image_hidden = lru_cache(maxsize=64)(self._image_hidden)
        torch.set_num_threads(1)

    def vector(self, task: str, given: str | bytes, *, dimensions: int | None = None) -> np.ndarray:
        """float64 [dimensions] of unit length, of a text or of an image's file."""
        if isinstance(given, str):
            pooled = self.text_hidden(task, given).mean(axis=0)
        else:
            ids, hidden = self.image_hidden(task, given)
            start, end = (ids.index(self._id(token)) for token in ("<|vision_start|>", "<|vision_end|>"))
            pooled = hidden[start : end + 1].mean(axis=0)
        return unit(unit(pooled)[:dimensions])

    def vector_of_ids(self, task: str, ids: Sequence[int]) -> np.ndarray:
        """float64 [size] of unit length, of a text's ids."""
        return unit(self._forward(task, input_ids=torch.tensor([list(ids)])).mean(axis=0))

    def token_vectors(self, task: str, given: str | bytes) -> np.ndarray:
        """float64 [tokens, token size], each of unit length: of every position, whatever it stands for."""
        hidden = self.text_hidden(task, given) if isinstance(given, str) else self.image_hidden(task, given)[1]
        weight, bias = self._projector(PROMPTS[task][0])
        return unit(hidden @ weight.T + bias)

    def late_chunks(
        self, task: str, parts: Sequence[str], *, max_tokens: int = 32768, overlap: int = 256
    ) -> np.ndarray:
        """float64 [parts, size], each of unit length: means over the parts of one document.

        The first part has the prompt. A space is put between parts where one would be written, and belongs to the part
        after it. A token belongs to the part in which it begins; a part in which none begins has those that reach into
        it. Longer than `max_tokens`, the document is read in windows, each beginning with the last `overlap` tokens of
        the one before, which count there.
        """
        text, owner = joined(parts, PROMPTS[task][1])
        encoding = self.tokenizer(text, return_offsets_mapping=True)
        owners = np.array([owner[start] for start, _ in encoding["offset_mapping"]])
        ids = encoding["input_ids"]
        hidden = self._forward(task, input_ids=torch.tensor([ids[:max_tokens]]))
        while len(hidden) < len(ids):
            start = len(hidden) - overlap
            window = self._forward(task, input_ids=torch.tensor([ids[start : start + max_tokens]]))
            hidden = np.concatenate([hidden, window[overlap:]])
        members = [np.flatnonzero(owners == part) for part in range(len(parts))]
        for part, tokens in enumerate(members):
            if not len(tokens):  # all of it lies in a token that begins in the part before
                own = [set(owner[start:end]) for start, end in encoding["offset_mapping"]]
                members[part] = np.flatnonzero([part in parts_of for parts_of in own])
        return unit(np.stack([hidden[tokens].mean(axis=0) for tokens in members]))

    def ids(self, task: str, text: str) -> list[int]:
        """The text as the model reads it, its prefix included."""
        return list(self.tokenizer(PROMPTS[task][1] + text).input_ids)

    def text_of_tokens(self, task: str, tokens: int, *, seed: int) -> str:
        """A text that is read as that many tokens or one to a dozen fewer."""
        text = text_of(tokens, seed)
        ends = [
            end for _, end in self.tokenizer(PROMPTS[task][1] + text, return_offsets_mapping=True)["offset_mapping"]
        ]
        cut = (PROMPTS[task][1] + text)[: ends[tokens - 1]].removeprefix(PROMPTS[task][1]).rpartition(" ")[0]
        assert tokens - 12 <= len(self.ids(task, cut)) <= tokens
        return cut

    def image_ids(self, file: bytes) -> list[int]:
        """The image as the model reads it."""
        return self._image_ids(self._processed(file)["image_grid_thw"])

    def pixels(self, file: bytes) -> np.ndarray:
        """uint8 [height, width, 3]: the image at the size that the model reads, before it is normalised."""
        image = Image.open(io.BytesIO(file)).convert("RGB")
        _, rows, columns = self._processed(file)["image_grid_thw"][0].tolist()
        return np.asarray(image.resize((14 * columns, 14 * rows), Image.Resampling.BICUBIC))

    def _text_hidden(self, task: str, text: str) -> np.ndarray:
        """float64 [tokens, size]"""
        return self._forward(task, input_ids=torch.tensor([self.ids(task, text)]))

    def _image_hidden(self, task: str, file: bytes) -> tuple[list[int], np.ndarray]:
        inputs = self._processed(file)
        ids = self._image_ids(inputs["image_grid_thw"])
        kinds = torch.tensor([[int(token == self._id(PAD)) for token in ids]])
        return ids, self._forward(task, input_ids=torch.tensor([ids]), mm_token_type_ids=kinds, **inputs)

    def _processed(self, file: bytes) -> dict[str, torch.Tensor]:
        image = Image.open(io.BytesIO(file)).convert("RGB")
        return dict(self._processor(images=[image], return_tensors="pt"))

    def _image_ids(self, grid: torch.Tensor) -> list[int]:
        tokens = int(grid.prod()) // 4
        return list(self.tokenizer(BEFORE_IMAGE + PAD * tokens + AFTER_IMAGE).input_ids)

    def _forward(self, task: str, **inputs: torch.Tensor) -> np.ndarray:
        model = self._model(PROMPTS[task][0])
        # It remembers the positions of the image before, and would apply them.
        model.rope_deltas = None
        with torch.inference_mode():
            return model(**inputs, use_cache=False).last_hidden_state[0].double().numpy()

    def _model(self, adapter: str) -> Qwen2_5_VLModel:
        if adapter not in self._models:
            model = Qwen2_5_VLModel.from_pretrained(
                self._folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
            ).eval()
            if self._adapters.exists():
                self._fold(model, adapter)
            self._models[adapter] = model
        return self._models[adapter]

    def _fold(self, model: Qwen2_5_VLModel, adapter: str) -> None:
        """W + scaling * B A for every layer that the adapter has matrices for, the projector apart."""
        layers = dict(model.language_model.named_modules())
        folded = 0
        for name, delta in self._deltas(adapter).items():
            if name.startswith("model."):
                layers[name.removeprefix("model.")].weight.data += delta
                folded += 1
        # q, k, v, o, gate, up and down of every layer.
        assert folded == 7 * model.config.text_config.num_hidden_layers

    def _deltas(self, adapter: str) -> dict[str, torch.Tensor]:
        """scaling * B A by layer."""
        config = json.loads((self._adapters.parent / "adapter_config.json").read_text(encoding="utf-8"))
        scaling = config["lora_alpha"] / config["r"]
        end = f".lora_A.{adapter}.weight"
        names = [name.removesuffix(end) for name in self._adapter_tensors if name.endswith(end)]
        tensors = self._adapter_tensors
        return {
            name.removeprefix("base_model.model."): scaling
            * (tensors[f"{name}.lora_B.{adapter}.weight"] @ tensors[name + end])
            for name in names
        }

    @cached_property
    def _adapter_tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self._adapters)

    def _projector(self, adapter: str) -> tuple[np.ndarray, np.ndarray]:
        name = "multi_vector_projector"
        index = json.loads((self._folder / "model.safetensors.index.json").read_text(encoding="utf-8"))
        tensors = load_file(self._folder / index["weight_map"][f"{name}.weight"])
        weight = tensors[f"{name}.weight"].float() + self._deltas(adapter)[name]
        return weight.double().numpy(), tensors[f"{name}.bias"].double().numpy()

    def _id(self, token: str) -> int:
        return int(self.tokenizer.convert_tokens_to_ids(token))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
