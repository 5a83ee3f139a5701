"""Write `sentence_transformers_reference.npz`: what sentence-transformers itself gives for small repositories, vectors
and windows, and `gateway models add` has to give too.

Run it from the repository's root in an environment of its own; the project never needs torch:

    python3 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install torch==2.13.0
    /tmp/oracle/bin/pip install sentence-transformers==6.2.0 onnx
    PYTHONPATH=. /tmp/oracle/bin/python tests/golden/make_sentence_transformers_reference.py
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sentence_transformers import SentenceTransformer

from tests.support.twins.publishing import write
from tests.support.twins.twin import Twin
from tests.support.twins.variations import from_weights

TARGET = Path(__file__).resolve().parent / "sentence_transformers_reference.npz"
TEXTS = [
    "The quick brown fox jumps",
    "a",
    "世界 🙂 MODEL",
    "search for a new question",
    "One and two and the of and to in is a for that it on with as are this by model text query",
]


def main() -> None:
    arrays: dict[str, np.ndarray] = {"texts": np.array(TEXTS)}
    for twin in from_weights():
        vectors, window = reference(twin)
        arrays[f"{twin.repository}/vectors"] = vectors
        arrays[f"{twin.repository}/window"] = np.array(window)
    np.savez_compressed(TARGET, **arrays)


def reference(twin: Twin) -> tuple[np.ndarray, int]:
    """float32 [texts, size] of unit length, longer texts cut to the window, and the window in tokens."""
    with TemporaryDirectory() as folder:
        model = SentenceTransformer(str(write(twin, Path(folder))), device="cpu")
    return model.encode(TEXTS, normalize_embeddings=True), model.max_seq_length


if __name__ == "__main__":
    main()
