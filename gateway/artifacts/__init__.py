"""Getting a model's files onto this machine, and proving that they are the right ones."""
