"""What the tests of official clients share: the gateways, one run of each program, and what the vectors have to be."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from tokenizers import Tokenizer

from tests.clients.gateways import PLAIN_NAMES, RERANKER_NAMES, ClientGateway, client_gateway
from tests.clients.programs.report import KEY, Plan
from tests.conftest import BUNDLED_MODEL, REPOSITORY, VOCABULARIES, ServedTriton, need
from tests.support.client_environment import (
    NEWEST_FOLDER,
    ClientEnvironmentError,
    client_python,
    client_variables,
)
from tests.support.telling import past_capture

RERANKER = "jina-reranker-v2-base-multilingual"
PROGRAMS = Path(__file__).parent / "programs"
PROGRAM_SECONDS = 240
NEWEST = ", newest"
QUERY = "When does the first boat leave the harbour?"
TEXTS = (
    "A harbour in the morning, before the first boat leaves.",
    "Größe, Straße und Äpfel: ein Hafen am Morgen.",
    "今日は天気がいいですね。",
    "def add(a, b): return a + b  # sum",
    " ".join(["The quick brown fox jumps over the lazy dog."] * 12),
)


@pytest.fixture(scope="session")
def clients_python(pytestconfig: pytest.Config) -> Path:
    """The interpreter that has the clients; a download is told past pytest's own capture."""
    try:
        return client_python(past_capture(pytestconfig))
    except ClientEnvironmentError as error:
        need(str(error))
        raise


@pytest.fixture(scope="session")
def plain_gateway(embedded_triton: ServedTriton) -> Iterator[ClientGateway]:
    """One model without tasks, under the names that clients have by default."""
    aliases = dict.fromkeys(PLAIN_NAMES, BUNDLED_MODEL)
    with client_gateway(embedded_triton, REPOSITORY, aliases=aliases) as gateway:
        yield gateway


@pytest.fixture(scope="session")
def tasks_gateway(twin_triton: ServedTriton, twin_models: Path) -> Iterator[ClientGateway]:
    """Jina's models and reranker, the latter under the names that clients have by default too."""
    with client_gateway(twin_triton, twin_models, aliases=dict.fromkeys(RERANKER_NAMES, RERANKER)) as gateway:
        yield gateway


@dataclass
class Reports:
    """What each program wrote down. Each runs once, when it is first asked for."""

    python: Path
    plan: Plan
    folder: Path
    gateways: tuple[ClientGateway, ...]
    found: dict[str, dict[str, Any] | str] = field(default_factory=dict)
    counted: dict[str, Counter[str]] = field(default_factory=dict)

    def of(self, program: str) -> dict[str, Any]:
        """Outcomes by case. Fails where the program itself did not come to its end."""
        if program not in self.found:
            for gateway in self.gateways:
                gateway.requests.clear()
            self.found[program] = self._run(program)
            self.counted[program] = sum((gateway.requests for gateway in self.gateways), Counter())
        outcomes = self.found[program]
        assert isinstance(outcomes, dict), outcomes
        return outcomes

    def gave(self, program: str, case: str) -> Any:
        found = self.of(program)[case]
        assert "gave" in found, found
        return found["gave"]

    def requests(self, program: str, key: str) -> int:
        """How many of a key's requests came as far as the models."""
        self.of(program)
        return self.counted[program][key]

    def _run(self, program: str) -> dict[str, Any] | str:
        """A program's name with `NEWEST` behind it is the same program with the newest packages."""
        written = self.folder / f"{program}.json"
        variables = client_variables(self.folder)
        if program.endswith(NEWEST):
            variables["PYTHONPATH"] = str(NEWEST_FOLDER)
        result = subprocess.run(
            [self.python, PROGRAMS / f"{program.removesuffix(NEWEST)}.py", json.dumps(asdict(self.plan)), written],
            cwd=self.folder, env=variables, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=PROGRAM_SECONDS, check=False,
        )  # fmt: skip
        if result.returncode:
            return f"{program} failed:\n{result.stdout}\n{result.stderr}"
        return dict(json.loads(written.read_text(encoding="utf-8")))


@pytest.fixture(scope="session")
def reports(
    clients_python: Path,
    plain_gateway: ClientGateway,
    tasks_gateway: ClientGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Reports:
    file = VOCABULARIES / "cl100k_base.tiktoken"
    need(None if file.is_file() else "cl100k_base is not installed; gateway models pull cl100k_base")
    plan = Plan(url=plain_gateway.url, tasks_url=tasks_gateway.url, texts=list(TEXTS), query=QUERY)
    return Reports(clients_python, plan, tmp_path_factory.mktemp("clients"), (plain_gateway, tasks_gateway))


@pytest.fixture(scope="session")
def in_process_vectors() -> np.ndarray:
    """The plain model's vectors of `TEXTS`, float32 [texts, 384], computed in this process without the gateway: each
    text by itself, by ONNX Runtime."""
    folder = REPOSITORY / BUNDLED_MODEL / "1"
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    rows = []
    for text in TEXTS:
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        [row] = session.run(["sentence_embedding"], feeds)[0].astype(np.float64)
        rows.append(row / np.linalg.norm(row))
    return np.array(rows, np.float32)


@pytest.fixture(scope="session")
def tasks_client(tasks_gateway: ClientGateway) -> Iterator[httpx.Client]:
    """Plain HTTP to the gateway of models with tasks."""
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=tasks_gateway.url, headers=headers, timeout=60) as client:
        yield client
