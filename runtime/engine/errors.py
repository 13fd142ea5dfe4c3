"""The engine's own errors."""

from __future__ import annotations


class EngineError(Exception):
    """A container could not be made, started or freed: names the operation, the container and the cause."""


class ContainerStateError(EngineError):
    """The operation does not fit the container's state (start of a running one, exec in a stopped one)."""
