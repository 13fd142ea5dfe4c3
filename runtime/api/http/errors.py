"""Which of our errors is which HTTP status. Clients print the message and look at the status, no more."""

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
"""Error class → status; by name, as classes live beside their rooms. A subclass has its base's."""

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
"""What we word for users ourselves; anything else is a bug of ours, and its traceback goes into the log."""


class ErrorBody(msgspec.Struct, frozen=True):
    """The body of every answer that is not a success."""

    message: str


class ApiError(engine.EngineError):
    """An answer whose status fits none of the engine's classes."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: BaseException) -> int:
    """Return the HTTP status of an error, 500 for one that has no other."""
    if isinstance(error, ApiError):
        return error.status
    for base in type(error).__mro__:
        if base.__name__ in STATUSES:
            return STATUSES[base.__name__]
    return 500


def text_of(error: BaseException) -> str:
    """Return what the client is told. What an image store advises is for those who have only the store."""
    text = str(error) or type(error).__name__
    names = {base.__name__ for base in type(error).__mro__}
    return text.partition("; ")[0] if "ImageNotFoundError" in names else text


def is_ours(error: BaseException) -> bool:
    """Say whether the error's text was worded for users."""
    names = {base.__name__ for base in type(error).__mro__}
    return not names.isdisjoint(OURS) or (isinstance(error, OSError) and bool(error.filename))
