"""Every error the gateway raises on purpose, as one tree.

No HTTP in here: each dialect maps these classes to its own status codes and envelope.

    GatewayError
    ├── InvalidRequest            the caller can mend it
    │   ├── InvalidField          one field is wrong; `param` names it
    │   │   ├── InvalidImage          an image cannot be fetched, is none, or is too large
    │   │   ├── TokenLimitExceeded    a text, or the request as a whole, is too long
    │   │   │   └── TooManyTokenVectors   more than the caller of the service said that its answer holds
    │   │   └── TooManyInputs
    │   ├── MalformedBody         not JSON, not UTF-8, too deep
    │   ├── UnsupportedBody       a content encoding that is not read here
    │   ├── BodyTooLarge
    │   ├── BodyTooSlow           the client took too long to send it
    │   ├── UnknownModel
    │   ├── NotOffered            an API has it, this gateway does not
    │   └── Unauthenticated
    ├── NotServing                nothing wrong with the request; try again after `retry_after_seconds`
    │   ├── Overloaded            the queue is full
    │   ├── DeviceOutOfMemory     this input did not fit into the memory that the model's device has left
    │   └── EngineUnavailable     Triton is away, starting, or was lost during the call
    │       └── BackendProcessDied    Triton lives, the process that runs this model does not
    ├── DeadlineExceeded          the answer would have come too late
    ├── InferenceFailed           Triton answered with an error
    │   └── InvalidVector         NaN, Inf, all zeros or the wrong shape: never handed out
    └── SetupError                the operator can mend it; `remedy` says how
        ├── ConfigurationError
        ├── ArtifactError         a model file is missing, damaged or cannot be fetched
        │   └── SourceUnavailable     this source does not hand the file out; another one may
        └── EmbeddedTritonError   the local Triton cannot be started here
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all expected errors.

    `message` is one or two plain sentences for the person who reads it and never holds input text.
    `code` is a stable machine-readable word.
    """

    code = "gateway_error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidRequest(GatewayError):
    code = "invalid_request"
    param: str | None = None


class InvalidField(InvalidRequest):
    code = "invalid_value"

    def __init__(self, message: str, *, param: str | None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.param = param


class TokenLimitExceeded(InvalidField):
    code = "context_length_exceeded"


class TooManyTokenVectors(TokenLimitExceeded):
    code = "max_tokens_per_request"


class InvalidImage(InvalidField):
    code = "invalid_image"


class TooManyInputs(InvalidField):
    code = "too_many_inputs"


class MalformedBody(InvalidRequest):
    code = "malformed_body"


class UnsupportedBody(InvalidRequest):
    code = "unsupported_body"


class BodyTooLarge(InvalidRequest):
    code = "body_too_large"


class BodyTooSlow(InvalidRequest):
    code = "body_too_slow"


class UnknownModel(InvalidRequest):
    code = "model_not_found"
    param = "model"


class NotOffered(InvalidRequest):
    code = "not_offered"


class Unauthenticated(InvalidRequest):
    code = "invalid_api_key"


class NotServing(GatewayError):
    code = "unavailable"

    def __init__(self, message: str, *, retry_after_seconds: int = 1, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.retry_after_seconds = retry_after_seconds


class Overloaded(NotServing):
    code = "overloaded"


class DeviceOutOfMemory(NotServing):
    code = "device_out_of_memory"


class EngineUnavailable(NotServing):
    code = "engine_unavailable"


class BackendProcessDied(EngineUnavailable):
    code = "backend_process_died"


class DeadlineExceeded(GatewayError):
    code = "deadline_exceeded"


class InferenceFailed(GatewayError):
    code = "inference_failed"


class InvalidVector(InferenceFailed):
    code = "embedding_invalid"


class SetupError(GatewayError):
    """Something the operator has to mend. `remedy` is a sentence or a command; the CLI prints it under the message."""

    code = "setup_error"

    def __init__(self, message: str, *, remedy: str | None = None, code: str | None = None) -> None:
        super().__init__(message, code=code)
        self.remedy = remedy


class ConfigurationError(SetupError):
    code = "configuration_error"


class ArtifactError(SetupError):
    code = "artifact_error"


class SourceUnavailable(ArtifactError):
    code = "source_unavailable"


class EmbeddedTritonError(SetupError):
    code = "embedded_triton_error"
