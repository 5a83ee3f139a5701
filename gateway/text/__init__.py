"""From text or token ids to the rows a model reads, within its window and off the event loop."""
