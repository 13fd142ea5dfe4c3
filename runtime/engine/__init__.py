"""Containers as a library: Engine.create(ContainerConfig) → Container.start(), exec, wait, stop, remove."""

from runtime.engine.config import ContainerConfig, bind, tmpfs
from runtime.engine.container import Container, StartRecord
from runtime.engine.engine import Engine
from runtime.engine.errors import ContainerStateError, EngineError
from runtime.spawn.cgroups import DeviceRule, IoLimit, Limits, Stats

__all__ = [
    "Container",
    "ContainerConfig",
    "ContainerStateError",
    "DeviceRule",
    "Engine",
    "EngineError",
    "IoLimit",
    "Limits",
    "StartRecord",
    "Stats",
    "bind",
    "tmpfs",
]
