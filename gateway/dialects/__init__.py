"""The public APIs, one module each: thin translators between their wire format and `gateway.types`."""
