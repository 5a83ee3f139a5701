"""Whether models of the Python backend can run in this environment, and in what memory. Nothing is imported for that:
torch alone takes seconds, and those who serve other models need none of it.
"""

from __future__ import annotations

import importlib.util
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.artifacts.safetensors_header import read_tensors
from gateway.cards.installation import read_installation
from gateway.cards.schema import Card
from gateway.errors import ArtifactError, ConfigurationError
from gateway.triton.embedded.python_models import torch_computes_on_gpus

# What `gateway.python_backend` imports; `scripts/install_torch.sh` brings both.
PACKAGES = ("torch", "transformers")
INSTALL = "scripts/install_torch.sh"

DEVICES = Path("/dev")
# A driver that hangs must not hang whoever asks.
ASK_SECONDS = 5.0

# Bytes of a number, by what is stored and by what is computed in.
_STORED_BYTES = {"F64": 8, "F32": 4, "BF16": 2, "F16": 2}
_COMPUTED_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def missing_packages() -> tuple[str, ...]:
    return tuple(name for name in PACKAGES if importlib.util.find_spec(name) is None)


def can_run(card: Card) -> bool:
    """Whether the packages that the model computes with are there; a graph needs none of them."""
    return card.triton.has_graph or not missing_packages()


def why_not(card: Card) -> str:
    """The sentence for a model that cannot run."""
    return f"{card.name} computes with {' and '.join(PACKAGES)}; not installed: {', '.join(missing_packages())}."


def refuse_what_cannot_run(card: Card) -> None:
    """Raises `ConfigurationError` with what to install, before gigabytes are fetched that could not be served."""
    if not can_run(card):
        raise ConfigurationError(f"{card.name} cannot be served. {why_not(card)}", remedy=INSTALL)


def computes_on_gpu() -> bool:
    """Whether a model of the Python backend would compute on a GPU: torch can, and the driver shows one."""
    return torch_computes_on_gpus() and any(DEVICES.glob("nvidia[0-9]*"))


def overflow_note(loaded: Sequence[Card], *, dtype: str | None) -> Iterator[str]:
    """A line for a type that settings name and that some of these models can overflow in. The model's own warning goes
    to Triton's log, which nobody reads in a cloud."""
    names = [card.name for card in loaded if not card.triton.has_graph]
    if dtype == "float16" and names:
        yield (
            f"{', '.join(names)}: float16 can overflow, and an input that does fails. The type they were trained in is "
            "bfloat16 (GATEWAY_DTYPE, DTYPE)."
        )


def free_gpu_bytes() -> int | None:
    """The free memory of the first GPU, in bytes; None where nobody says."""
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=ASK_SECONDS, check=True)
        return int(answer.stdout.split()[0]) << 20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def weight_bytes(card: Card, *, dtype: str | None) -> int:
    """What a model's weights take, in bytes: they are held once.

    An ONNX graph's lie in memory as in their files. Those of the Python backend are held in `dtype`, None meaning
    bfloat16 on a GPU and float32 on a CPU, whatever their files have.
    """
    files = read_installation(card).files.values()
    if card.triton.has_graph:
        return sum(file.size_bytes for file in files)
    size = _COMPUTED_BYTES[dtype or ("bfloat16" if computes_on_gpu() else "float32")]
    weights = (card.path_of(file.path) for file in files if file.path.endswith(".safetensors"))
    return sum(_bytes_in(path, size) for path in weights)


def _bytes_in(path: Path, number_bytes: int) -> int:
    """The bytes of a file's tensors with numbers of this size; none for one that cannot be read."""
    try:
        tensors = read_tensors(path).values()
    except ArtifactError:
        return 0
    return sum(tensor.length * number_bytes // _STORED_BYTES.get(tensor.data_type, number_bytes) for tensor in tensors)
