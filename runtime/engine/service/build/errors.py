"""What can go wrong in a build, in docker's words where its clients know them."""

from __future__ import annotations

from runtime.engine.errors import BadParameterError, EngineError


class DockerfileError(BadParameterError):
    """The Dockerfile, or what was asked of it, makes no sense: nothing was built."""


class BuildError(EngineError):
    """A step failed. code: what a RUN ended with, 0 for everything else."""

    def __init__(self, message: str, code: int = 0) -> None:
        super().__init__(message)
        self.code = code


def on_line(line: int, message: str) -> DockerfileError:
    """Return the error of a line of the Dockerfile (the first is 1)."""
    return DockerfileError(f"dockerfile parse error on line {line}: {message}")
