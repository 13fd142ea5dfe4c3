"""Options of a build, as `POST /build` names them."""

from __future__ import annotations

import msgspec
from msgspec import field

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import HostConfig, Query, Ulimit
from runtime.image.references import named_reference


class BuildOptions(Query, frozen=True):
    """A build. tags: names for the last image. buildargs: None means that the client has no such variable.

    remove, force_remove: the steps' containers, after a success and after a failure. cache_from: images whose
    steps may be reused, none for all. platform: of base images, "" for any. remote: URL of the context.
    memory, memory_swap and shm_size in bytes. squash: merge all added layers. version: 2 asks for BuildKit.
    """

    dockerfile: str = ""
    tags: list[str] = field(name="t", default_factory=list)
    remote: str = ""
    target: str = ""
    buildargs: dict[str, str | None] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    no_cache: bool = field(name="nocache", default=False)
    cache_from: tuple[str, ...] = field(name="cachefrom", default=())
    pull: bool = False
    platform: str = ""
    remove: bool = field(name="rm", default=True)
    force_remove: bool = field(name="forcerm", default=False)
    quiet: bool = field(name="q", default=False)
    squash: bool = False
    network_mode: str = field(name="networkmode", default="")
    extra_hosts: list[str] = field(name="extrahosts", default_factory=list)
    shm_size: int = field(name="shmsize", default=0)
    memory: int = 0
    memory_swap: int = field(name="memswap", default=0)
    cpu_shares: int = field(name="cpushares", default=0)
    cpu_period: int = field(name="cpuperiod", default=0)
    cpu_quota: int = field(name="cpuquota", default=0)
    cpuset_cpus: str = field(name="cpusetcpus", default="")
    cpuset_mems: str = field(name="cpusetmems", default="")
    cgroup_parent: str = field(name="cgroupparent", default="")
    ulimits: tuple[Ulimit, ...] = ()
    security_opt: list[str] = field(name="securityopt", default_factory=list)
    isolation: str = ""
    version: str = ""

    def checked(self) -> BuildOptions:
        """Return the options with complete names. Raises BadParameterError, ImageReferenceError."""
        if "" in self.buildargs:
            raise BadParameterError("build argument without a name; write NAME=value")
        return msgspec.structs.replace(
            self,
            dockerfile=self.dockerfile or "Dockerfile",
            tags=[named_reference(tag) for tag in self.tags if tag],
            remove=self.remove or self.force_remove,
            network_mode=self.network_mode or "default",
        )

    def host_config(self) -> HostConfig:
        """Return the HostConfig of the steps' containers: its fields are named as the options."""
        return msgspec.convert(self, HostConfig, from_attributes=True)
