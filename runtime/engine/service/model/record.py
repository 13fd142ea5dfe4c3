"""The record of a container: one document on disk, replaced as a whole, read at a start."""

from __future__ import annotations

import time
from typing import Literal

import msgspec

from runtime.docker_syntax.times import text_of
from runtime.engine.service.model.request import Config, EndpointSettings, HostConfig
from runtime.network.model import Port

Status = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
HealthStatus = Literal["none", "starting", "healthy", "unhealthy"]


class HealthProbe(msgspec.Struct, frozen=True, kw_only=True):
    """One probe; times in RFC 3339, output cut to 4096 bytes."""

    start: str
    end: str
    exit_code: int
    output: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Health as last probed; `log` holds the last five probes."""

    status: HealthStatus = "starting"
    failing_streak: int = 0
    log: tuple[HealthProbe, ...] = ()


class State(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a container.

    Times are RFC 3339 with nanoseconds, "" for never. exit_code: of its last exit. manually_stopped:
    unless-stopped then does not restart it. finished_at has no meaning while it runs again. ports: as bound
    on the host while it runs, one entry a host address and port.
    """

    status: Status = "created"
    pid: int = 0
    exit_code: int = 0
    error: str = ""
    oom_killed: bool = False
    started_at: str = ""
    finished_at: str = ""
    restart_count: int = 0
    manually_stopped: bool = False
    health: Health | None = None
    ports: tuple[Port, ...] = ()

    @property
    def running(self) -> bool:
        """Whether it has processes (a paused one has)."""
        return self.status in ("running", "paused")


class MountPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A mount as resolved at the creation. name: of a volume, else "". source: on the host ("" for tmpfs).

    anonymous: goes with the container on `rm -v` and `--rm`. options: of a tmpfs. propagation_implied: it was
    not asked for. read_only_non_recursive: what is mounted below may be written to.
    """

    type: Literal["bind", "volume", "tmpfs"]
    destination: str
    source: str = ""
    name: str = ""
    mode: str = ""
    read_only: bool = False
    propagation: str = ""
    propagation_implied: bool = False
    anonymous: bool = False
    non_recursive: bool = False
    read_only_non_recursive: bool = False
    no_copy: bool = False
    options: tuple[str, ...] = ()


class ContainerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All of one container. id: 64 hex digits; name: without a slash.

    image_id: the config digest it was made from, kept by this record; image: as it was asked for.
    config: the image's config merged under what was asked; path, args: what runs. networks: by network name.
    created: RFC 3339. of_build: a RUN's, which goes when its build is cut off.
    """

    id: str
    name: str
    created: str
    image: str
    image_id: str
    config: Config
    host_config: HostConfig
    path: str
    args: tuple[str, ...]
    networks: dict[str, EndpointSettings]
    mounts: tuple[MountPoint, ...]
    state: State
    of_build: bool = False
    version: int = 1


def now() -> str:
    """Return the time as records and answers have it: RFC 3339 in UTC with nanoseconds."""
    return text_of(time.time_ns())
