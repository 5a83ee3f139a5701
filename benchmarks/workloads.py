"""Deterministic texts for the benchmarks: no file to fetch, the same on every machine."""

from __future__ import annotations

import numpy as np

WORDS = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had an they one
you were her all she there would their we him been has when who will more no if out so said what up its about
into than them can only other new some could time these two may then do first any my now such like our over
man me even most made after also did many before must through back years where much your way well down should
because each just those people how too little state good very make world still own see men work long get here
between both life being under never day same another know while last might us great old year off come since
against go came right used take three system vector search index query document language model server request
answer length token memory
""".split()


def mixed_length(count: int, *, seed: int) -> list[str]:
    """Texts of log-normal length: median 40 words, clipped to 3..220."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(mean=np.log(40), sigma=0.7, size=count), 3, 220).astype(int)
    return [" ".join(rng.choice(WORDS, size=length)) for length in lengths]


def short_queries(count: int, *, seed: int) -> list[str]:
    """Queries of 6 to 12 words."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(6, 13))) for _ in range(count)]
