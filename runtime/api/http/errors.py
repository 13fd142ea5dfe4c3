"""Map errors to HTTP statuses and messages. Clients print the message and look only at the status."""

from __future__ import annotations

import msgspec

from runtime.engine import errors as engine

STATUSES: dict[str, int] = {
    "BadParameterError": 400,
    "StartFailedError": 400,
    "BadVolumeError": 400,
    "ImageReferenceError": 400,
    "ForbiddenError": 403,
    "NotFoundError": 404,
    "ImageNotFoundError": 404,
    "VolumeNotFoundError": 404,
    "NetworkNotFoundError": 404,
    "ConflictError": 409,
    "ContainerStateError": 409,
    "ImageConflictError": 409,
    "VolumeConflictError": 409,
    "NotModifiedError": 304,
    "UnavailableError": 501,
}
"""Error class → status, by name: importing the classes would import their packages. Subclasses inherit it."""

OURS = (
    "EngineError",
    "ImageError",
    "NetworkError",
    "VolumeError",
    "PlanError",
    "CgroupError",
    "InitError",
    "StepError",
    "StepKilledError",
)
"""Errors whose messages are written for users; any other is a bug, and its traceback is logged."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every response that is not a success."""

    message: str


class ApiError(engine.EngineError):
    """An error whose status no class of the engine stands for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error, 500 for an unknown class."""
    if isinstance(error, ApiError):
        return error.status
    for base in type(error).__mro__:
        if base.__name__ in STATUSES:
            return STATUSES[base.__name__]
    return 500


def text_of(error: BaseException) -> str:
    """Return the message for the client, without advice for direct users of the image store."""
    text = str(error) or type(error).__name__
    names = {base.__name__ for base in type(error).__mro__}
    return text.partition("; ")[0] if "ImageNotFoundError" in names else text


def is_ours(error: BaseException) -> bool:
    """Return whether the error's message is written for users."""
    names = {base.__name__ for base in type(error).__mro__}
    return not names.isdisjoint(OURS) or (isinstance(error, OSError) and bool(error.filename))
