"""Start a container: prepare what it needs, ask the spawner, update the record."""

from __future__ import annotations

import asyncio
import contextlib
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
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.containers.program_errors import start_failure
from runtime.engine.service.containers.removal import Remover
from runtime.engine.service.containers.to_config import FILES, Surroundings, hostname_of, start_of
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.host.filesystem_probe import check_answers
from runtime.engine.service.model.record import ContainerRecord, MountPoint, now
from runtime.engine.service.networks.files import replace_in_place
from runtime.engine.service.records.table import ContainerEntry
from runtime.engine.service.records.waiters import Ended
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

    def __init__(self, parts: Parts, remover: Remover) -> None:
        self._parts, self._table = parts, parts.table
        self._remover = remover

    async def start(self, entry: ContainerEntry, *, by_policy: bool = False) -> None:
        """Start a container that does not run. by_policy: its restart policy does, so its count goes on.

        Raises EngineError or the error of a part; the record then has the reason, and an auto-remove
        container is gone.
        """
        self._check(entry)
        cancel_restart(entry)
        entry.no_restart = False
        if not by_policy:
            entry.backoff = type(entry.backoff)()
        try:
            started, fds = await self._attempt(entry)
        except Exception as error:
            worded = start_failure(entry.record.path, error)
            await self._failed(entry, worded, by_policy=by_policy)
            if worded is error:
                raise
            raise worded from error
        await self._began(entry, started, fds, by_policy=by_policy)

    async def _attempt(self, entry: ContainerEntry) -> tuple[Started, list[int]]:
        """Have it started by the spawner, or by the next one when that dies meanwhile."""
        spawner = self._parts.spawner
        try:
            return await spawner.start(await self._request(entry))
        except UnavailableError:
            if not await self._parts.reopened(spawner):
                raise
        await self._remover.give_back(entry)
        return await self._parts.spawner.start(await self._request(entry))

    async def _request(self, entry: ContainerEntry) -> Start:
        around = await self._ready(entry)
        host = self._parts.settings.at_start(entry.record.host_config)
        record = msgspec.structs.replace(entry.record, host_config=host)
        return start_of(record, around, host_facts(), self._table.coming)

    def _check(self, entry: ContainerEntry) -> None:
        record = entry.record
        self._table.require(entry)
        if record.state.status == "paused":
            raise ConflictError("cannot start a paused container, try unpause instead")
        if record.state.running:
            raise NotModifiedError(f"container {record.id} is running already")
        if entry.removing or record.state.status in ("removing", "dead"):
            raise ConflictError("container is marked for removal and cannot be started")
        if self._table.closing:
            raise ContainerStateError(f"start {record.id}: the daemon is ending")

    async def _ready(self, entry: ContainerEntry) -> Surroundings:
        """Take and make what the container needs besides its image."""
        parts, table = self._parts, self._table
        layers = table.layers(entry.record)
        directory = table.store.directory(entry.id)
        partners = namespace_modes.partners(entry.record)
        joined: dict[str, str] = {kind: self._partner(entry, kind, ref).id for kind, ref in partners.items()}
        volumes = await asyncio.to_thread(self._mount, entry.record, layers) if _mounts_any(entry) else {}
        entry.volumes_held = True
        files, endpoints, ports = directory, NO_ENDPOINTS, NO_PORTS
        variables: dict[str, str] = {}
        if "network" in joined:
            files = table.store.directory(self._whose_network(joined["network"]))
        else:
            if namespace_modes.has_own_network(entry.record):
                endpoints, ports, networks = await parts.networks.endpoints_for(entry.record)
                entry.record = msgspec.structs.replace(entry.record, networks=networks)
            self._write_files(entry.record, directory)
            if entry.record.host_config.links:
                variables = parts.networks.link_variables(entry.record)
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

    def _whose_network(self, container_id: str) -> str:
        """Return the id of the container whose network this one has: only that one keeps network files."""
        passed: set[str] = set()
        while container_id not in passed:
            passed.add(container_id)
            ref = namespace_modes.partners(self._table.find(container_id).record).get("network")
            container_id = self._table.find(ref).id if ref else container_id
        return container_id

    def _partner(self, entry: ContainerEntry, kind: namespace_modes.Kind, ref: str) -> ContainerEntry:
        """Return the running container whose namespace another one shares."""
        if kind == "network":
            partner = self._table.find(ref)
            if partner is entry:
                raise EngineError("cannot join own network; name another container, or leave out --network")
            if not partner.record.state.running:
                raise ConflictError(f"cannot join network of a non running container: {partner.id}")
            return partner
        failed = f"failed to join {kind.upper()} namespace"
        try:
            partner = self._table.find(ref)
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
        """Mount volumes and return their directories; make missing sources of binds, as docker does.

        Blocking.
        """
        volumes, directories = self._parts.volumes, {}
        check_answers(point.source for point in record.mounts if point.type == "bind")
        with contextlib.ExitStack() as undo:
            for point in record.mounts:
                if point.type == "volume":
                    labels = {ANONYMOUS_LABEL: ""} if point.anonymous else {}
                    new = volumes.ensure(point.name, driver="local", options={}, labels=labels)
                    directories[point.name] = volumes.mount(point.name)
                    undo.callback(volumes.unmount, point.name)
                    if new and not point.no_copy:
                        volumes.populate(point.name, tuple(layers), point.destination, subpath_of(point))
                elif point.type == "bind":
                    _make_source(point)
            undo.pop_all()
        return directories

    def _write_files(self, record: ContainerRecord, directory: Path) -> None:
        contents = {
            **self._parts.networks.files_for(record),
            "hostname": f"{hostname_of(record)}\n".encode(),
        }
        for name in FILES:
            try:
                replace_in_place(f"{directory}/{name}", contents.get(name, b""))
            except OSError as error:
                raise EngineError(f"write {directory}/{name}: {errno_advice(error)}") from error

    async def _began(
        self, entry: ContainerEntry, started: Started, fds: list[int], *, by_policy: bool
    ) -> None:
        table, parts = self._table, self._parts
        restarts = entry.record.state.restart_count
        table.set_state(
            entry,
            status="running",
            pid=started.pid,
            error="",
            oom_killed=False,
            started_at=now(),
            exit_code=0,
            restart_count=restarts if by_policy else 0,
            manually_stopped=False,
            health=health.begin(entry.record),
            ports=started.ports,
        )
        parts.streams.adopt(entry.id, fds)
        await parts.networks.started(entry.record)
        self._remover.publish_mounts(entry.record, "mount")
        table.publish(entry.record, "start")
        health.monitor(parts, entry)
        oom.watch(table, entry)
        if entry.record.host_config.restart_policy.name not in ("", "no"):
            table.in_thread(table.store.sync_state, entry.id)

    async def _failed(self, entry: ContainerEntry, error: Exception, *, by_policy: bool) -> None:
        """Release what the start had taken, and end attachments.

        Waiters are not woken, except by a failed restart: a container that waits for its restart counts as
        running.
        """
        table, state = self._table, entry.record.state
        code = error.exit_code if isinstance(error, StartFailedError) else _UNKNOWN
        status = "exited" if state.started_at else "created"
        table.set_state(entry, status=status, pid=0, error=str(error), exit_code=code, ports=())
        await self._remover.give_back(entry)
        await self._parts.streams.drained(entry.id)
        table.publish(entry.record, "die", {"exitCode": str(code)})
        if by_policy:
            entry.waiters.stopped(Ended(code, str(error)))
        if entry.record.host_config.auto_remove and not entry.user_restarting:
            await self._remover.remove(entry, volumes=True)


def cancel_restart(entry: ContainerEntry) -> None:
    """Cancel a pending restart. Idempotent."""
    task, entry.restart = entry.restart, None
    if task is not None and task is not asyncio.current_task():
        task.cancel()


def _mounts_any(entry: ContainerEntry) -> bool:
    return any(point.type != "tmpfs" for point in entry.record.mounts)


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
