"""Options of a build, as `POST /build` names them."""

from __future__ import annotations

import msgspec

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import HostConfig, Ulimit
from runtime.image.references import named_reference


class BuildOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A build. tags: names for the last image. buildargs: None means that the client has no such variable.

    remove, force_remove: the steps' containers, after a success and after a failure. cache_from: images whose
    steps may be reused, none for all. platform: of base images, "" for any. memory, memory_swap and shm_size
    in bytes. squash: merge all added layers.
    """

    dockerfile: str = "Dockerfile"
    tags: tuple[str, ...] = ()
    target: str = ""
    buildargs: dict[str, str | None] = {}
    labels: dict[str, str] = {}
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    pull: bool = False
    platform: str = ""
    remove: bool = True
    force_remove: bool = False
    quiet: bool = False
    squash: bool = False
    network_mode: str = ""
    extra_hosts: tuple[str, ...] = ()
    shm_size: int = 0
    memory: int = 0
    memory_swap: int = 0
    cpu_shares: int = 0
    cpu_period: int = 0
    cpu_quota: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    cgroup_parent: str = ""
    ulimits: tuple[Ulimit, ...] = ()
    security_opt: tuple[str, ...] = ()

    def checked(self) -> BuildOptions:
        """Return the options with complete image names. Raises BadParameterError, ImageReferenceError."""
        for name in self.buildargs:
            if not name:
                raise BadParameterError("build argument without a name; write NAME=value")
        return msgspec.structs.replace(self, tags=tuple(named_reference(tag) for tag in self.tags))

    def host_config(self) -> HostConfig:
        """Return the HostConfig of the steps' containers."""
        network = self.network_mode if self.network_mode not in ("", "default") else "default"
        return HostConfig(
            network_mode=network,
            extra_hosts=list(self.extra_hosts) or None,
            shm_size=self.shm_size,
            memory=self.memory,
            memory_swap=self.memory_swap,
            cpu_shares=self.cpu_shares,
            cpu_period=self.cpu_period,
            cpu_quota=self.cpu_quota,
            cpuset_cpus=self.cpuset_cpus,
            cpuset_mems=self.cpuset_mems,
            cgroup_parent=self.cgroup_parent,
            ulimits=list(self.ulimits) or None,
            security_opt=list(self.security_opt) or None,
        )
