"""Texts that a model's vectors are compared over: plain and odd, in several scripts, from one word to hundreds."""

from __future__ import annotations

_SENTENCES = (
    "Hello",
    "What is the capital of France?",
    "Paris is the capital and the most populous city of France, with more than two million residents.",
    "The mitochondrion makes most of the energy that a cell uses, in the form of adenosine triphosphate.",
    "how to reset a router",
    "Zwei Häuser, drei Türme und ein schmaler Weg am Fluss entlang.",
    "def mean(values): return sum(values) / len(values)",
    "Le chat dort sur le canapé pendant que la pluie tombe doucement dehors.",
    "SELECT name, price FROM products WHERE price > 3.14 ORDER BY price DESC LIMIT 10;",
    "Die Bank senkte ihren Zins um 0,25 Prozent; der Kurs stieg daraufhin deutlich.",
    "猫が窓のそばで静かに眠っている。",
    "Это короткое предложение о погоде в Москве.",
    "Refunds are paid within fourteen days, provided that the item is returned unused and in its original packaging.",
    "GPU memory, 80 GB; bandwidth, 3.35 TB/s; price on request!",
    'She said: "Never again", closed the door, and walked north until the road ended at the sea.',
    "12345 67890",
)


def sample_texts() -> tuple[str, ...]:
    """The sentences by themselves, each after growing lots of others, and all of them together."""
    growing = (
        " ".join((*_SENTENCES[start:], *_SENTENCES[:start])[: 2 + start % 6]) for start in range(len(_SENTENCES))
    )
    return (*_SENTENCES, *growing, " ".join(_SENTENCES))
