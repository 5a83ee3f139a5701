"""What the gateway tells about itself: metrics and log lines. Never inputs, vectors or keys."""
