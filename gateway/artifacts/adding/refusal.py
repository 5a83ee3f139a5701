"""The one error of this package: a model that would be served, but not with its authors' vectors."""

from __future__ import annotations

from gateway.errors import ConfigurationError


class CannotServe(ConfigurationError):
    """The repository cannot be served faithfully. The message says why, `remedy` what can be done about it."""

    code = "cannot_serve"
