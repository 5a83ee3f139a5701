"""Deterministic texts for measurements: no file to fetch, the same on every machine."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

_WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from or had an they "
    "one you were her all she there would their we him been has when who will more no if out so said what up its "
    "about into than them can only other new some could time these two may then do first any my now such like our "
    "over man me even most made after also did many before must through back years where much your way well down "
    "should because each just those people how too little state good very make world still own see men work long "
    "get here between both life being under never day same another know while last might us great old year off "
    "come since against go came right used take three system vector search index query document language model "
    "server request answer length token memory"
)
WORDS: tuple[str, ...] = tuple(_WORDS.split())


def mixed_length(count: int, *, seed: int) -> list[str]:
    """Texts of log-normal length: median 40 words, clipped to 3..220."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(mean=np.log(40), sigma=0.7, size=count), 3, 220).astype(int)
    return [" ".join(rng.choice(WORDS, size=length)) for length in lengths]


def alike_lengths(count: int, *, seed: int) -> list[str]:
    """As `mixed_length`, but of the same lengths whatever the seed, in another order: that distribution's quantiles.

    Who got through two such requests and who got through three have done the same work a text.
    """
    rng = np.random.default_rng(seed)
    deviations = np.array([NormalDist().inv_cdf((place + 0.5) / count) for place in range(count)])
    lengths = np.clip(40 * np.exp(0.7 * deviations), 3, 220).astype(int)
    return [" ".join(rng.choice(WORDS, size=length)) for length in rng.permutation(lengths)]


def tiny_texts(count: int, *, seed: int) -> list[str]:
    """Texts of 3 or 4 words: little to compute, so that what each text costs besides shows."""
    rng = np.random.default_rng(seed)
    words = rng.choice(WORDS, size=(count, 4))
    return [" ".join(row[: 3 + place % 2]) for place, row in enumerate(words.tolist())]


def short_queries(count: int, *, seed: int) -> list[str]:
    """Queries of 6 to 12 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(6, 13))) for _ in range(count)]


def long_texts(count: int, *, seed: int) -> list[str]:
    """Texts of 200 words."""
    return texts_of_words(count, words=200, seed=seed)


def texts_of_words(count: int, *, words: int, seed: int) -> list[str]:
    """Texts of so many words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=words)) for _ in range(count)]


def half_repeated(count: int, *, pool: list[str], seed: int) -> list[str]:
    """Texts of mixed length, of which every second one is from `pool`."""
    rng = np.random.default_rng(seed)
    own = iter(mixed_length(count, seed=seed))
    return [next(own) if place % 2 else pool[rng.integers(len(pool))] for place in range(count)]
