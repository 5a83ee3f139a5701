"""What a model is, as data: one `card.toml` per model folder."""
