"""Schemas of answers that the engine makes as plain dicts, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from typing_extensions import dataclass_transform

from runtime.engine.service.model.request import Body


class Exact(Body, forbid_unknown_fields=True):
    """A document with exactly these fields."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Plain(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, with lower-case names."""


# ---- exec ------------------------------------------------------------------------------------------------


class ProcessConfig(Plain):
    """The program of an exec."""

    tty: bool
    entrypoint: str
    arguments: list[str]
    privileged: bool
    user: str | UnsetType = UNSET


class ExecAnswer(Exact):
    """An exec. exit_code: null while it runs and before; pid: on the host, 0 without a process."""

    id: str = msgspec.field(name="ID")
    running: bool
    exit_code: int | None
    process_config: ProcessConfig
    open_stdin: bool
    open_stderr: bool
    open_stdout: bool
    can_remove: bool
    container_id: str = msgspec.field(name="ContainerID")
    detach_keys: str
    pid: int


# ---- events and progress ---------------------------------------------------------------------------------


class Actor(Exact):
    """The object of an event. attributes: its names and labels, and details of the action."""

    id: str = msgspec.field(name="ID")
    attributes: dict[str, str]


class EventAnswer(Exact, kw_only=True):
    """An event, one per line. status, id, from: of containers and images, for old clients. time: Unix."""

    status: str | UnsetType = msgspec.field(default=UNSET, name="status")
    old_id: str | UnsetType = msgspec.field(default=UNSET, name="id")
    old_from: str | UnsetType = msgspec.field(default=UNSET, name="from")
    type: str
    action: str
    actor: Actor
    scope: str = msgspec.field(name="scope")
    time: int = msgspec.field(name="time")
    time_nano: int = msgspec.field(name="timeNano")


class ErrorDetail(Plain):
    """Why an operation failed after it had begun. code: the exit status of a failed program."""

    message: str
    code: int | UnsetType = UNSET


class ProgressDetail(Plain):
    """Progress in bytes."""

    current: int | UnsetType = UNSET
    total: int | UnsetType = UNSET


class ProgressAnswer(Plain):
    """Progress, one message per line. stream: output of a build; aux: ids and digests; error: the failure."""

    status: str | UnsetType = UNSET
    stream: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    progress: str | UnsetType = UNSET
    progress_detail: ProgressDetail | UnsetType = msgspec.field(default=UNSET, name="progressDetail")
    aux: dict[str, Any] | UnsetType = UNSET
    error: str | UnsetType = UNSET
    error_detail: ErrorDetail | UnsetType = msgspec.field(default=UNSET, name="errorDetail")


# ---- stats -----------------------------------------------------------------------------------------------


class CpuUsage(Plain):
    """CPU time in ns."""

    total_usage: int
    usage_in_kernelmode: int
    usage_in_usermode: int
    percpu_usage: list[int] | UnsetType = UNSET


class Throttling(Plain):
    """Periods of a CPU limit, the throttled ones among them, and the throttled time in ns."""

    periods: int
    throttled_periods: int
    throttled_time: int


class CpuStats(Plain):
    """The container's CPU time, and the whole host's in ns."""

    cpu_usage: CpuUsage
    throttling_data: Throttling
    system_cpu_usage: int | UnsetType = UNSET
    online_cpus: int | UnsetType = UNSET


class MemoryStats(Plain):
    """Bytes; empty if the container does not run."""

    usage: int | UnsetType = UNSET
    max_usage: int | UnsetType = UNSET
    failcnt: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET
    stats: dict[str, int] | UnsetType = UNSET


class PidsStats(Plain):
    """Processes and threads."""

    current: int | UnsetType = UNSET
    limit: int | UnsetType = UNSET


class IoRow(Plain):
    """Bytes or operations of one kind on a block device."""

    major: int
    minor: int
    op: str
    value: int


class StatsAnswer(Plain):
    """A container's resource usage, one document per second."""

    id: str
    name: str
    read: str
    preread: str
    num_procs: int
    pids_stats: PidsStats
    cpu_stats: CpuStats
    precpu_stats: CpuStats
    memory_stats: MemoryStats
    blkio_stats: dict[str, list[IoRow] | None]
    storage_stats: dict[str, int]
    networks: dict[str, dict[str, int]] | UnsetType = UNSET
