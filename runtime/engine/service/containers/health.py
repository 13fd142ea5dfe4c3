"""Health checks: run a probe in a container at intervals, and derive its health from the exit codes."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from runtime.docker_syntax import durations, times
from runtime.engine.errors import EngineError
from runtime.engine.service.containers.parts import Parts
from runtime.engine.service.model.record import ContainerRecord, Health, HealthProbe, HealthStatus, now
from runtime.engine.service.model.request import Config, Healthcheck
from runtime.engine.service.records.table import ContainerEntry

INTERVAL_NS = TIMEOUT_NS = 30_000_000_000
START_INTERVAL_NS = 5_000_000_000
RETRIES = 3
_KEPT = 5
_MOST = 4096

log = logging.getLogger(__name__)


def probe_argv(config: Config) -> tuple[str, ...]:
    """Return the program that probes a container's health, () for none."""
    test = config.healthcheck.test if config.healthcheck else None
    match test:
        case ["CMD", *argv]:
            return tuple(argv)
        case ["CMD-SHELL", *argv]:
            return (*(config.shell or ("/bin/sh", "-c")), *argv)
        case _:
            return ()


def wait_ns(check: Healthcheck, health: Health, ran_ns: int) -> int:
    """Return how long to wait for the next probe of a container that has run for `ran_ns`."""
    if health.status == "starting" and ran_ns < check.start_period:
        return check.start_interval or START_INTERVAL_NS
    return check.interval or INTERVAL_NS


def judge(health: Health, probe: HealthProbe, check: Healthcheck, ran_ns: int) -> Health:
    """Return the health after a probe. ran_ns: how long the container had run when it was made.

    Failures within the start period do not count until the first success.
    """
    kept = (*health.log, probe)[-_KEPT:]
    if probe.exit_code == 0:
        return Health(status="healthy", failing_streak=0, log=kept)
    if health.status == "starting" and ran_ns < check.start_period:
        return msgspec.structs.replace(health, log=kept)
    streak = health.failing_streak + 1
    status: HealthStatus = "unhealthy" if streak >= (check.retries or RETRIES) else health.status
    return Health(status=status, failing_streak=streak, log=kept)


def begin(record: ContainerRecord) -> Health | None:
    """Return the health a container starts with, None when nothing probes it."""
    if not probe_argv(record.config):
        return None
    before = record.state.health
    return Health(log=before.log if before else ())


class Monitor:
    """Probes one running container from begin() to end()."""

    def __init__(self, parts: Parts, entry: ContainerEntry) -> None:
        self._parts, self._entry = parts, entry
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Probe from now on."""
        self._task = asyncio.create_task(self._probe_on())

    def end(self) -> None:
        """Stop probing. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _probe_on(self) -> None:
        check = self._entry.record.config.healthcheck
        assert check is not None
        while True:
            health = self._entry.record.state.health or Health()
            await asyncio.sleep(wait_ns(check, health, self._ran_ns()) / 1e9)
            if self._entry.record.state.status == "running":
                await self._probe(check)

    async def _probe(self, check: Healthcheck) -> None:
        entry, timeout_ns = self._entry, check.timeout or TIMEOUT_NS
        argv, ran_ns, start = probe_argv(entry.record.config), self._ran_ns(), now()
        try:
            code, output = await self._parts.execs.probe(
                entry.record, argv, timeout_s=timeout_ns / 1e9, most=_MOST
            )
            if code == -1:
                given = durations.text_of(timeout_ns)
                output = f"Health check exceeded timeout ({given}): {output}".rstrip(": ")
        except EngineError as error:
            code, output = -1, str(error)
        if entry.record.state.running:
            probe = HealthProbe(start=start, end=now(), exit_code=code, output=output[:_MOST])
            self._take(judge(entry.record.state.health or Health(), probe, check, ran_ns))

    def _take(self, health: Health) -> None:
        entry = self._entry
        before = entry.record.state.health
        changed = before is None or before.status != health.status
        self._parts.table.set_state(entry, save=changed, health=health)
        if changed:
            self._parts.table.publish(entry.record, f"health_status: {health.status}")

    def _ran_ns(self) -> int:
        return time.time_ns() - times.ns_of(self._entry.record.state.started_at)


def monitor(parts: Parts, entry: ContainerEntry) -> None:
    """Begin to probe a running container, if its config asks for it."""
    unmonitor(entry)
    if probe_argv(entry.record.config):
        entry.health = monitor = Monitor(parts, entry)
        monitor.begin()


def unmonitor(entry: ContainerEntry) -> None:
    """Stop probing a container. Idempotent."""
    if entry.health is not None:
        entry.health.end()
        entry.health = None
