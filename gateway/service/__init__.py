"""The only path from a request to its vectors: card, tokens, batch, pool, check, shorten."""
