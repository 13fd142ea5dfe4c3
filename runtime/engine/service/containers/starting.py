"""A container's start: what it needs is got ready, the spawner starts it, and its record says so."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from runtime.engine.errors import (
    ConflictError,
    ContainerStateError,
    EngineError,
    NotFoundError,
    NotModifiedError,
    StartFailedError,
    UnavailableError,
)
from runtime.engine.service.containers import health, oom
from runtime.engine.service.containers.removing import Remover
from runtime.engine.service.containers.start_errors import start_failure
from runtime.engine.service.containers.table import Member, Members
from runtime.engine.service.containers.to_config import FILES, Surroundings, hostname_of, start_of
from runtime.engine.service.containers.waits import Ended
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.host.filesystem_probe import check_answers
from runtime.engine.service.model import clock
from runtime.engine.service.model.record import ContainerRecord, MountPoint
from runtime.engine.service.rules import namespace_modes
from runtime.engine.service.rules.mounting import ANONYMOUS_LABEL, subpath_of
from runtime.engine.spawner.protocol import Endpoint, Start, Started
from runtime.image.errors import errno_advice
from runtime.network.model import Port
from runtime.spawn.errnos import errno_text

NO_ENDPOINTS: tuple[Endpoint, ...] = ()
NO_PORTS: tuple[Port, ...] = ()
_UNKNOWN = 128
"""Docker's exit code of a container that could not be started for another reason than its program."""


class Starter:
    """Starts containers. All methods are called with the container's lock held."""

    def __init__(self, members: Members, remover: Remover) -> None:
        self._members, self._remover = members, remover

    async def start(self, member: Member, *, by_policy: bool = False) -> None:
        """Start a container that does not run. by_policy: its restart policy does, so its count goes on.

        Raises EngineError or what the part raised that failed; the record then says why, and a container that
        goes with its end is gone.
        """
        self._check(member)
        cancel_restart(member)
        member.stay_down = False
        if not by_policy:
            member.backoff = type(member.backoff)()
        try:
            started, fds = await self._attempt(member)
        except Exception as error:
            worded = start_failure(member.record.path, error)
            await self._failed(member, worded, by_policy=by_policy)
            if worded is error:
                raise
            raise worded from error
        await self._began(member, started, fds, by_policy=by_policy)

    async def _attempt(self, member: Member) -> tuple[Started, list[int]]:
        """Let the spawner start it; when that one dies over it, the next one."""
        spawner = self._members.service.spawner
        try:
            return await spawner.start(await self._request(member))
        except UnavailableError:
            if not await self._members.service.reopened(spawner):
                raise
        await self._remover.give_back(member)
        return await self._members.service.spawner.start(await self._request(member))

    async def _request(self, member: Member) -> Start:
        around = await self._ready(member)
        host = self._members.service.settings.at_start(member.record.host_config)
        record = msgspec.structs.replace(member.record, host_config=host)
        return start_of(record, around, host_facts(), self._members.coming)

    def _check(self, member: Member) -> None:
        record = member.record
        self._members.require(member)
        if record.state.status == "paused":
            raise ConflictError("cannot start a paused container, try unpause instead")
        if record.state.running:
            raise NotModifiedError(f"container {record.id} is running already")
        if member.removing or record.state.status in ("removing", "dead"):
            raise ConflictError("container is marked for removal and cannot be started")
        if self._members.closing:
            raise ContainerStateError(f"start {record.id}: the daemon is ending")

    async def _ready(self, member: Member) -> Surroundings:
        """Take and make what the container needs beside its image."""
        service, members = self._members.service, self._members
        layers = members.layers(member.record)
        directory = members.store.directory(member.id)
        partners = namespace_modes.partners(member.record)
        joined: dict[str, str] = {kind: self._partner(member, kind, ref).id for kind, ref in partners.items()}
        volumes = await asyncio.to_thread(self._mount, member.record, layers) if _mounts_any(member) else {}
        member.held = True
        files, endpoints, ports = directory, NO_ENDPOINTS, NO_PORTS
        variables: dict[str, str] = {}
        if "network" in joined:
            files = members.store.directory(self._whose_network(joined["network"]))
        else:
            if namespace_modes.has_own_network(member.record):
                endpoints, ports, networks = await service.networks.endpoints_for(member.record)
                member.record = msgspec.structs.replace(member.record, networks=networks)
            self._write_files(member.record, directory)
            if member.record.host_config.links:
                variables = service.networks.link_variables(member.record)
        return Surroundings(
            layers=layers,
            home=directory / "layer",
            files=files,
            joined=joined,
            volumes=volumes,
            endpoints=endpoints,
            ports=ports,
            variables=variables,
        )

    def _whose_network(self, id: str) -> str:  # noqa: A002
        """Return whose network a container has; one that has joined another's keeps no files of its own."""
        passed: set[str] = set()
        while id not in passed:
            passed.add(id)
            ref = namespace_modes.partners(self._members.find(id).record).get("network")
            id = self._members.find(ref).id if ref else id  # noqa: A001
        return id

    def _partner(self, member: Member, kind: namespace_modes.Kind, ref: str) -> Member:
        """The running container whose namespace another one shares."""
        if kind == "network":
            partner = self._members.find(ref)
            if partner is member:
                raise EngineError("cannot join own network; name another container, or leave --network away")
            if not partner.record.state.running:
                raise ConflictError(f"cannot join network of a non running container: {partner.id}")
            return partner
        failed = f"failed to join {kind.upper()} namespace"
        try:
            partner = self._members.find(ref)
        except NotFoundError as error:
            raise EngineError(f"{failed}: {error}") from error
        if not partner.record.state.running:
            raise EngineError(f"{failed}: container {partner.id} is not running")
        if kind == "ipc" and partner.record.host_config.ipc_mode != "shareable":
            raise EngineError(
                f"{failed}: container {partner.id}: non-shareable IPC (hint: use IpcMode:shareable for the "
                "donor container)"
            )
        return partner

    def _mount(self, record: ContainerRecord, layers: Iterable[Path]) -> dict[str, Path]:
        """Blocking. Directories of a container's volumes; sources of its binds are made as docker does."""
        volumes, found = self._members.service.volumes, {}
        check_answers(point.source for point in record.mounts if point.type == "bind")
        with contextlib.ExitStack() as undo:
            for point in record.mounts:
                if point.type == "volume":
                    labels = {ANONYMOUS_LABEL: ""} if point.anonymous else {}
                    new = volumes.ensure(point.name, driver="local", options={}, labels=labels)
                    found[point.name] = volumes.mount(point.name)
                    undo.callback(volumes.unmount, point.name)
                    if new and not point.no_copy:
                        volumes.populate(point.name, tuple(layers), point.destination, subpath_of(point))
                elif point.type == "bind":
                    _make_source(point)
            undo.pop_all()
        return found

    def _write_files(self, record: ContainerRecord, directory: Path) -> None:
        contents = {
            **self._members.service.networks.files_for(record),
            "hostname": f"{hostname_of(record)}\n".encode(),
        }
        for name in FILES:
            try:
                _write(f"{directory}/{name}", contents.get(name, b""))
            except OSError as error:
                raise EngineError(f"write {directory}/{name}: {errno_advice(error)}") from error

    async def _began(self, member: Member, started: Started, fds: list[int], *, by_policy: bool) -> None:
        members, service = self._members, self._members.service
        restarts = member.record.state.restart_count
        members.set_state(
            member,
            status="running",
            pid=started.pid,
            error="",
            oom_killed=False,
            started_at=clock.now(),
            exit_code=0,
            restart_count=restarts if by_policy else 0,
            manually_stopped=False,
            health=health.begin(member.record),
            ports=started.ports,
        )
        service.streams.adopt(member.id, fds)
        await service.networks.started(member.record)
        self._remover.tell_volumes(member.record, "mount")
        members.publish(member.record, "start")
        health.monitor(members, member)
        oom.watch(members, member)
        if member.record.host_config.restart_policy.name not in ("", "no"):
            members.in_thread(members.store.sync_state, member.id)

    async def _failed(self, member: Member, error: Exception, *, by_policy: bool) -> None:
        """Take back what the start had taken; who is attached to it is let go.

        Who waits for an end is not told, unless it waited for its restart, which counted as running.
        """
        members, state = self._members, member.record.state
        code = error.exit_code if isinstance(error, StartFailedError) else _UNKNOWN
        status = "exited" if state.started_at else "created"
        members.set_state(member, status=status, pid=0, error=str(error), exit_code=code, ports=())
        await self._remover.give_back(member)
        await members.service.streams.drained(member.id)
        members.publish(member.record, "die", {"exitCode": str(code)})
        if by_policy:
            member.waiters.stopped(Ended(code, str(error)))
        if member.record.host_config.auto_remove and not member.by_hand:
            await self._remover.remove(member, volumes=True)


def cancel_restart(member: Member) -> None:
    """Let a waiting restart be. Idempotent."""
    task, member.restart = member.restart, None
    if task is not None and task is not asyncio.current_task():
        task.cancel()


def _mounts_any(member: Member) -> bool:
    return any(point.type != "tmpfs" for point in member.record.mounts)


def _make_source(point: MountPoint) -> None:
    path = Path(point.source)
    if not path.exists():
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EngineError(
                f"error while creating mount source path '{point.source}': "
                f"mkdir {error.filename}: {errno_text(error)}"
            ) from error


def _write(path: str, data: bytes) -> None:
    """Write in place: a running container that shares the file sees the new text."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        while data:
            data = data[os.write(fd, data) :]
    finally:
        os.close(fd)
