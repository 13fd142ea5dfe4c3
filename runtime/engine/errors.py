"""The engine's own errors. Each subclass says, for an API, what kind of answer it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from runtime.docker_syntax import MalformedError


class EngineError(Exception):
    """A container could not be made, started or freed. Names the operation, the container and the cause."""


class ContainerStateError(EngineError):
    """The operation does not fit the container's state (start of a running one, exec in a stopped one)."""


class StartFailedError(EngineError):
    """The program could not be executed. exit_code: 127 when there is none, 126 when it cannot be run."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BadParameterError(EngineError):
    """The request is invalid in itself (an API's 400)."""


@contextlib.contextmanager
def refusing(what: str = "") -> Iterator[None]:
    """Turn a MalformedError into a BadParameterError, with `what` before its message."""
    try:
        yield
    except MalformedError as error:
        raise BadParameterError(f"{what}{error}") from error


class ForbiddenError(EngineError):
    """The request is not allowed for this object, such as removing a predefined network (an API's 403)."""


class NotFoundError(EngineError):
    """No such container, network, volume, exec or path (an API's 404)."""


class ConflictError(EngineError):
    """A name is taken, or something still uses the object (an API's 409)."""


class NotModifiedError(EngineError):
    """The object is in the requested state already (an API's 304)."""


class UnavailableError(EngineError):
    """Not available on this host or now (an API's 501 or 503): names what is missing."""


class BuildError(EngineError):
    """A step of a build failed. code: the exit status of a RUN, 0 for everything else."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code
