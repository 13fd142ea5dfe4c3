"""Start: from the request to the first instruction (back to back, by phase, after a gap) or a server's first
byte.

All stamps are the host's. The image is present and the page cache warm; pulls are other metrics. A visit
makes as many starts as fit into a fixed time, at least one. So starts of a millisecond give many samples for
the tail, and starts of seconds do not use up the run.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import time
from collections.abc import Iterator

import msgspec

from bench.backends.base import Instance, InstanceSpec, StartRecord
from bench.model import Metric, Role
from bench.scenarios.base import Context, InstanceWorkload, Reading, ScenarioError

FIRST = ("/opt/ninetynine/first",)
BACK_TO_BACK_S, MOST_STARTS = 0.4, 40
"""Per visit: enough for a quick run to have the four hundred starts that a bound on p99 needs."""
GAP_S, GAPS = 0.1, 2
SERVERS_S, MOST_SERVERS = 0.12, 8
PORT = 6399
POLL_S = 0.0002
PATIENCE_S = 60.0


def _metric(name: str, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit="s", better="lower", role=role, definition=definition)


FIRST_INSTRUCTION = _metric(
    "startup.first_instruction",
    "primary",
    "Seconds from the request to start an instance until the host has the one byte that the first "
    "instructions of a static program without a libc write (bench/workloads/first.c); starts back to back, "
    "each after the one before was stopped.",
)
PACED = _metric(
    "startup.first_instruction.paced",
    "stress",
    f"The same, each start after {GAP_S:g} s in which nothing was asked for.",
)
FIRST_BYTE = _metric(
    "startup.first_byte",
    "primary",
    "Seconds from the request to start an instance with redis-server as its main program until the host has "
    f"the first byte of its answer; the host tries to connect every {POLL_S * 1000:g} ms. On the host over "
    "loopback, otherwise over the instance's bridge.",
)

_PHASES = {
    "prepare": "files and network of the instance are made",
    "directories": "the directories of the container's writable layer are made",
    "cgroup": "cgroups are made and limited",
    "slots": "the prepared system calls get this start's values",
    "spawn": "clone, all steps of isolation, execve",
    "define": "libvirt takes the VM's definition",
    "create": "libvirt starts QEMU, paused; a daemon answers that a container is made",
    "start": "a daemon answers that the container was started",
    "firmware": "from resumed to the kernel's clock zero",
    "kernel": "from there to the first act of the init program",
    "init": "from there until the agent says hello",
    "program": "from ready to the program's first byte",
    "other": "all phases of a backend that have no name of their own here, summed",
}
PHASES = {
    name: _metric(f"startup.phase.{name}", "info", f"Phase of `startup.first_instruction`, seconds: {words}.")
    for name, words in _PHASES.items()
}


class Starts(InstanceWorkload, kw_only=True):
    """As many starts as fit into `time_s`, at least one and never more than `most`."""

    gap_s: float = 0.0
    most: int
    time_s: float

    def run(self, context: Context) -> list[Reading]:
        """Make them, one after another. A failed start raises BackendError."""
        readings: list[Reading] = []
        end = time.monotonic() + self.time_s
        for number in range(self.most):
            if number and time.monotonic() >= end:
                break
            if self.gap_s:
                time.sleep(self.gap_s)
            readings += self._start(context)
        return readings

    def _start(self, context: Context) -> list[Reading]:
        raise NotImplementedError


class FirstInstruction(Starts, kw_only=True):
    """Starts of the smallest program. With a gap before each start they are `paced` and report no phases."""

    most: int = MOST_STARTS
    time_s: float = BACK_TO_BACK_S
    spec: InstanceSpec = InstanceSpec(argv=FIRST, until_output=True)

    def _start(self, context: Context) -> list[Reading]:
        with started(context, self.spec) as instance:
            return self._readings(instance.record)

    def of_start(self, instance: Instance) -> list[Reading]:
        """The one start that there was."""
        return self._readings(instance.record)

    def _readings(self, record: StartRecord) -> list[Reading]:
        if record.first_output_ns is None:
            raise ScenarioError(f"{self.name}: the backend did not stamp the first output of {FIRST[0]}")
        total = _reading(self.metrics[0], record.requested_ns, record.first_output_ns - record.requested_ns)
        return [total] if self.gap_s else [total, *phase_readings(record)]


class FirstByte(Starts, kw_only=True):
    """Starts of redis-server, each until it answers the host, or ScenarioError if one never does."""

    most: int = MOST_SERVERS
    time_s: float = SERVERS_S

    def _start(self, context: Context) -> list[Reading]:
        # The host's arm listens on the host's own addresses for a moment, so a password keeps others out.
        password = secrets.token_hex(8)
        spec = msgspec.structs.replace(self.spec, argv=server(password))
        with started(context, spec) as instance:
            if instance.address is None:
                raise ScenarioError(f"{self.name}: the instance on a bridge has no address")
            answered_ns = first_answer(instance.address, PORT, f"AUTH {password}\r\nPING\r\n".encode())
            requested_ns = instance.record.requested_ns
        return [_reading(FIRST_BYTE, requested_ns, answered_ns - requested_ns)]


def server(password: str) -> tuple[str, ...]:
    """Return the command line of redis-server: no persistence, all addresses, a password."""
    return (
        *("redis-server", "--port", str(PORT), "--bind", "0.0.0.0", "--requirepass", password),
        *("--save", "", "--appendonly", "no", "--dir", "/tmp"),
    )


@contextlib.contextmanager
def started(context: Context, spec: InstanceSpec) -> Iterator[Instance]:
    """Start an instance on the slice's CPUs; stop it after the block."""
    instance = context.backend.start(msgspec.structs.replace(spec, cpus=context.cpus))
    try:
        yield instance
    finally:
        instance.stop()


def phase_readings(record: StartRecord) -> list[Reading]:
    """Return the phases of a start; unknown ones are summed under `other`."""
    lengths: dict[str, int] = {}
    for name, length_ns in record.phases:
        known = name if name in PHASES else "other"
        lengths[known] = lengths.get(known, 0) + length_ns
    readings, start_ns = [], record.requested_ns
    for name, length_ns in lengths.items():
        readings.append(_reading(PHASES[name], start_ns, length_ns))
        start_ns += length_ns
    return readings


def first_answer(address: str, port: int, question: bytes, patience_s: float = PATIENCE_S) -> int:
    """Connect and ask until a byte of an answer arrives; return its CLOCK_MONOTONIC stamp, ns.

    Raises ScenarioError after `patience_s`, naming the last failure.
    """
    deadline = time.monotonic() + patience_s
    while True:
        try:
            # A short timeout, because a SYN that is lost while the instance's link comes up is sent again
            # only after a second.
            with socket.create_connection((address, port), timeout=0.1) as connection:
                connection.settimeout(max(0.1, deadline - time.monotonic()))
                connection.sendall(question)
                if connection.recv(1):
                    return time.monotonic_ns()
                problem = "it closed the connection"
        except OSError as error:
            problem = str(error)
        if time.monotonic() > deadline:
            raise ScenarioError(
                f"no answer from {address}:{port} within {patience_s:g} s: {problem}; is its server running?"
            )
        time.sleep(POLL_S)


def _reading(metric: Metric, start_ns: int, duration_ns: int) -> Reading:
    return Reading(metric=metric.name, value=duration_ns / 1e9, start_ns=start_ns, duration_ns=duration_ns)


SCENARIOS = (
    FirstInstruction(
        name=FIRST_INSTRUCTION.name,
        metrics=(FIRST_INSTRUCTION, *PHASES.values()),
        cost_s=0.18,
        every_nth_block=1,
        from_start=True,
    ),
    FirstInstruction(
        name=PACED.name, metrics=(PACED,), gap_s=GAP_S, most=GAPS, time_s=1.0, cost_s=0.22, every_nth_block=4
    ),
    FirstByte(
        name=FIRST_BYTE.name,
        metrics=(FIRST_BYTE,),
        spec=InstanceSpec(argv=server("0" * 16), network="bridge"),
        cost_s=0.15,
        every_nth_block=4,
    ),
)
