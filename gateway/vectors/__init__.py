"""From a model's output to the vectors a caller gets: pooling, checking, shortening, encoding. Pure functions."""
