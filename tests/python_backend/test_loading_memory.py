"""The base weights are never held twice: measured in a process of its own, on 330 MB of them in float32."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import Qwen2_5_VLModel

from gateway.python_backend.network_config import read_network_config

ROOT = Path(__file__).resolve().parents[2]
# Between one copy with room for the largest weight and what loading itself takes, and two.
MOST_COPIES = 1.4
HIDDEN, INNER, LAYERS, VOCABULARY = 1024, 3072, 4, 32768
# Reads the anonymous memory of its own process all the while, and tells how much more it became than before.
PROGRAM = """
import json, sys, threading
from pathlib import Path
import torch
from gateway.python_backend.loading import load_embedder
from gateway.python_backend.options import ServingOptions
from gateway.python_backend.placement import Placement

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

def watch():
    while not done.wait(0.001):
        readings.append(anonymous())

torch.set_num_threads(1)
dtype = getattr(torch, sys.argv[2])
readings, done = [], threading.Event()
before = anonymous()
watcher = threading.Thread(target=watch)
watcher.start()
embedder = load_embedder(ServingOptions(Path(sys.argv[1]), adapters=("one",)), Placement(torch.device("cpu"), dtype))
done.set()
watcher.join()
size = sum(parameter.numel() * parameter.element_size() for parameter in embedder.network.parameters())
print(json.dumps({"weights": size, "peak": max(readings) - before, "readings": len(readings)}))
"""


@pytest.fixture(scope="module")
def large_folder(v4_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In bfloat16 as published, in two shards, with an adapter for each layer of the text model."""
    folder = tmp_path_factory.mktemp("large")
    config = json.loads((v4_folder / "config.json").read_text())
    config |= {"hidden_size": HIDDEN, "intermediate_size": INNER, "num_hidden_layers": LAYERS}
    config |= {"vocab_size": VOCABULARY, "num_attention_heads": 8, "num_key_value_heads": 2}
    config["rope_scaling"]["mrope_section"] = [16, 24, 24]
    config["vision_config"] |= {"out_hidden_size": HIDDEN}
    (folder / "config.json").write_text(json.dumps(config))
    with torch.device("meta"):
        model = Qwen2_5_VLModel(read_network_config(folder / "config.json"))
    names = [(name, tuple(parameter.shape)) for name, parameter in model.named_parameters()]
    _write_shards(folder, names)
    _write_adapters(folder, names)
    return folder


def _write_shards(folder: Path, names: list[tuple[str, tuple[int, ...]]]) -> None:
    files = {name: f"model-{number % 2}.safetensors" for number, (name, _) in enumerate(names)}
    for file in sorted(set(files.values())):
        part = {name: torch.zeros(shape, dtype=torch.bfloat16) for name, shape in names if files[name] == file}
        save_file(part, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


def _write_adapters(folder: Path, names: list[tuple[str, tuple[int, ...]]]) -> None:
    adapters = folder / "adapters"
    adapters.mkdir()
    (adapters / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 2}))
    halves = {}
    for name, shape in names:
        if name.startswith("language_model.") and name.endswith("_proj.weight"):
            layer = name.removesuffix(".weight")
            halves[f"{layer}.lora_A.one.weight"] = torch.zeros(2, shape[1])
            halves[f"{layer}.lora_B.one.weight"] = torch.zeros(shape[0], 2)
    save_file(halves, adapters / "adapter_model.safetensors")


@pytest.fixture(scope="module", autouse=True)
def removed_afterwards(large_folder: Path) -> object:
    yield
    shutil.rmtree(large_folder)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_loading_takes_the_memory_of_one_copy(large_folder: Path, dtype: str) -> None:
    """In float32 every value is converted, in bfloat16 it is as stored."""
    command = [sys.executable, "-c", PROGRAM, str(large_folder), dtype]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    measured = json.loads(result.stdout)
    assert measured["weights"] > {"float32": 300e6, "bfloat16": 150e6}[dtype]
    assert measured["readings"] > 20
    assert measured["weights"] * 0.9 < measured["peak"] < measured["weights"] * MOST_COPIES, measured
