"""Fake systems and workloads in memory, shipped and tested like the real ones.

They have the same protocols as the real backends and scenarios, need no root and hardly any time, and record
the calls in order. `python -m bench.testing …` is the command line `ninetynine` with fakes instead of the
real ones, for tests that need a process to interrupt, kill or starve.
"""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bench.backends.base import (
    BackendError,
    BenchImage,
    Completed,
    Footprint,
    Instance,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.model import SCHEMA_VERSION, ArmPlan, BackendInfo, Fingerprint, Kind, Metric, Plan, Run
from bench.plan import arms_for
from bench.scenarios.base import Context, Reading, Scenario, ScenarioError

Event = tuple[str, ...]
"""("start", backend, network), ("run", backend, scenario), ("stop", backend), ("cleanup", backend), …"""


class FakeClock:
    """A clock that only moves by `advance`, nanoseconds."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        """The time, nanoseconds."""
        return self.now_ns

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass."""
        self.now_ns += int(seconds * 1e9)


class FakeChannel:
    """A worker that echoes its input."""

    def __init__(self) -> None:
        self._pending = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        """Queue `data` as output."""
        if self.closed:
            raise BackendError("write to a closed fake channel; open another")
        self._pending += data

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        """Return output up to `marker`; BackendError if it never comes."""
        head, found, tail = self._pending.partition(marker)
        if not found:
            raise BackendError(f"fake channel: no {marker!r} within {timeout_s} s")
        self._pending = tail
        return head + found

    def close(self) -> None:
        """End it. Idempotent."""
        self.closed = True


class FakeInstance:
    """An instance of a FakeBackend. Its bytes and its address are constants of the backend."""

    def __init__(self, backend: FakeBackend, spec: InstanceSpec) -> None:
        now = time.monotonic_ns()
        self.record = StartRecord(
            requested_ns=now, ready_ns=now + 1_000_000, first_output_ns=None, phases=(("fake", 1_000_000),)
        )
        self.spec = spec
        self._backend = backend
        self._stopped = False

    @property
    def address(self) -> str | None:
        """A documentation address (RFC 5737), or None without a network."""
        return None if self.spec.network == "none" else "192.0.2.1"

    def exec(self, argv: Sequence[str], stdin: bytes = b"", timeout_s: float = 120.0) -> Completed:
        """Echo standard input, exit status 0."""
        now = time.monotonic_ns()
        return Completed(argv=tuple(argv), exit_code=0, stdout=stdin, stderr=b"", start_ns=now, end_ns=now)

    def open(self, argv: Sequence[str]) -> FakeChannel:
        """Return an echoing worker; BackendError if the backend fails at `open`."""
        self._backend.say("open", argv[-1])
        return FakeChannel()

    def memory(self) -> Footprint:
        """One MiB times the backend's factor."""
        return Footprint(bytes=int((1 << 20) * self._backend.slowness), method="fake")

    def disk(self) -> Footprint:
        """One page."""
        return Footprint(bytes=4096, method="fake")

    def stop(self) -> None:
        """End it. Idempotent."""
        if not self._stopped:
            self._stopped = True
            self._backend.live.remove(self)
            self._backend.say("stop")


class FakeBackend:
    """A system whose programs take `slowness` times as long as the host's.

    `fails(event)` is called at each event ("start", "open", "prepare", "cleanup", "stop", "run"); if it
    returns a text, the operation fails with it. `missing` makes probe() return NotAvailable; `modes`: network
    modes.
    """

    def __init__(
        self,
        name: str,
        *,
        slowness: float = 1.0,
        final: str = "",
        missing: str = "",
        modes: tuple[str, ...] = ("none", "host", "bridge", "nat"),
        events: list[Event] | None = None,
        fails: Callable[[Event], str] = lambda event: "",
    ) -> None:
        self.name = name
        self.slowness = slowness
        self.events: list[Event] = [] if events is None else events
        self.live: list[FakeInstance] = []
        self._final = final or name
        self._missing = missing
        self._modes = modes
        self._fails = fails

    def say(self, what: str, *details: str) -> None:
        """Record an event, then fail if `fails` wants it."""
        event = (what, self._final, *details)
        self.events.append(event)
        trouble = self._fails(event)
        if trouble:
            raise BackendError(f"{what} {self._final}: {trouble}")

    def probe(self) -> BackendInfo | NotAvailable:
        """Available under its final name, unless `missing`."""
        if self._missing:
            return NotAvailable(reason=self._missing)
        return msgspec.structs.replace(fake_info(self._final), version="fake 1.0")

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Refuse network modes that it does not have."""
        return None if spec.network in self._modes else f"{self._final} has no network mode {spec.network}"

    def prepare(self, image: BenchImage) -> None:
        """Only record the event."""
        self.say("prepare", image.digest)

    def start(self, spec: InstanceSpec) -> FakeInstance:
        """Start one instance in memory."""
        self.say("start", spec.network)
        instance = FakeInstance(self, spec)
        self.live.append(instance)
        return instance

    def cleanup(self) -> None:
        """Forget every instance."""
        self.say("cleanup")
        self.live.clear()


class FakeScenario:
    """A workload of one metric: `base` on the host, times the backend's slowness, with seeded noise of `cv`.

    The value is a time (lower is better) or a rate. `takes_s` is spent for real, to be interrupted in. Where
    it `scales_work` (every slice by default), more work than the nominal one shows in the value.
    """

    def __init__(
        self,
        name: str,
        family: str,
        *,
        kind: Literal["slice", "instance"] = "slice",
        role: Literal["primary", "stress", "info"] = "primary",
        better: Literal["higher", "lower"] = "higher",
        base: float = 100.0,
        cv: float = 0.01,
        cost_s: float = 0.01,
        every_nth_block: int = 1,
        takes_s: float = 0.0,
        spec: InstanceSpec | None = None,
        scales_work: bool | None = None,
        by_turns: bool = False,
    ) -> None:
        self.name = name
        self.family = family
        self.scales_work = kind == "slice" if scales_work is None else scales_work
        self.kind: Literal["slice", "instance"] = kind
        self.cost_s = cost_s
        self.every_nth_block = every_nth_block
        self.metrics: tuple[Metric, ...] = (
            Metric(
                name=name,
                unit="1/s" if better == "higher" else "s",
                better=better,
                role=role,
                definition=name,
            ),
        )
        self._base = base
        self._cv = cv
        self._takes_s = takes_s
        self.spec = spec or InstanceSpec()
        self.from_start = False
        self.by_turns = by_turns

    def of_start(self, instance: Instance) -> list[Reading]:
        """A fake start gives no reading."""
        raise ScenarioError(f"{self.name}: a fake start gives no reading")

    def run(self, context: Context) -> list[Reading]:
        """Return one reading. ScenarioError if the backend fails at `run`."""
        backend = context.backend
        assert isinstance(backend, FakeBackend), "fake scenarios run on fake backends only"
        start = time.monotonic_ns()
        try:
            backend.say("run", self.name)
        except BackendError as error:
            raise ScenarioError(f"{self.name}: {error}") from error
        if self.kind == "instance":
            backend.start(self.spec).stop()
        if self._takes_s:
            time.sleep(self._takes_s)
        rng = random.Random(
            f"{self.name}/{backend.name}/{context.session}/{context.block}/{len(backend.events)}"
        )
        cost = backend.slowness * (1 + (context.extra if self.scales_work else 0.0))
        slowed = self._base * cost if self.metrics[0].better == "lower" else self._base / cost
        value = slowed * (1 + rng.gauss(0, self._cv))
        end = time.monotonic_ns()
        return [Reading(metric=self.name, value=value, start_ns=start, duration_ns=max(1, end - start))]


_FAKE_VMS = {"vm-tcg": "tcg", "vm-tcg-untuned": "tcg", "vm-kvm": "kvm"}


def fake_info(name: str, kind: Kind = "container") -> BackendInfo:
    """A system as it would be found: the names of real ones have their kinds, others are of `kind`."""
    if name in _FAKE_VMS:
        return BackendInfo(name=name, kind="vm", version="", accelerator=_FAKE_VMS[name])
    return BackendInfo(name=name, kind="host" if name in ("host", "again") else kind, version="")


def fake_arms(**names: str) -> tuple[ArmPlan, ...]:
    """The arms of a run of the host and these systems: backend=name of its arm (`vm="vm-tcg"`)."""
    return arms_for({backend.replace("_", "-"): fake_info(name) for backend, name in names.items()})


def fake_image(root: Path = Path("/nonexistent")) -> BenchImage:
    """Return an image that exists in name only."""
    return BenchImage(
        layout=root,
        reference="fake:latest",
        digest="sha256:" + "0" * 64,
        layer_digests=("sha256:" + "1" * 64, "sha256:" + "2" * 64),
        layers=(root / "1", root / "2"),
        rootfs=root / "rootfs",
        source="bench.testing",
    )


def fake_host() -> Fingerprint:
    """Return the facts of a host that does not exist."""
    return Fingerprint(
        machine_id="fake",
        hostname="fake",
        cpu_model="Fake CPU",
        cpus=2,
        memory_bytes=1 << 30,
        kernel="6.0.0-fake x86_64",
        distribution="Fake Linux 1",
        python="3.11.0",
        cgroup_layout="v2",
        mitigations={"meltdown": "Not affected"},
        clocksource="tsc",
        governor="performance",
        smt="off",
        virtualization="none seen",
        filesystem="ext4 (/dev/fake)",
        thp="madvise",
        tools={"qemu": "fake 1.0"},
    )


def fake_run(plan: Plan, status: Literal["running", "interrupted", "complete", "failed"] = "running") -> Run:
    """Return a run of that plan on the fake host."""
    return Run(
        schema=SCHEMA_VERSION,
        id="20261124-000000-abcdef",
        command=("ninetynine", "run"),
        started="2026-11-24T00:00:00Z",
        ended="" if status == "running" else "2026-11-24T00:06:00Z",
        status=status,
        plan=plan,
        host=fake_host(),
        image=None,
        backends=(),
        not_measured=(),
        versions={},
    )


def fake_scenarios(takes_s: float = 0.0) -> tuple[Scenario, ...]:
    """Return two or more scenarios of each of five families, with names of real metrics."""
    bridge, nat = InstanceSpec(network="bridge"), InstanceSpec(network="nat")
    volume = InstanceSpec(volume=Path("volume"))
    return (
        FakeScenario("startup.first_instruction", "startup", kind="instance", better="lower", base=0.001),
        FakeScenario("startup.first_byte", "startup", kind="instance", better="lower", base=0.02),
        FakeScenario("cpu.integer", "cpu", takes_s=takes_s),
        FakeScenario("cpu.syscall", "cpu", role="stress", takes_s=takes_s),
        FakeScenario("memory.bandwidth", "memory", takes_s=takes_s),
        FakeScenario("memory.latency", "memory", better="lower", takes_s=takes_s),
        FakeScenario("network.throughput.bridge", "network", spec=bridge, takes_s=takes_s),
        FakeScenario("network.throughput.nat", "network", spec=nat, takes_s=takes_s),
        FakeScenario("disk.randread.layer", "disk", takes_s=takes_s),
        FakeScenario("disk.randread.volume", "disk", spec=volume, takes_s=takes_s),
    )


def fake_backends(events: list[Event] | None = None) -> dict[str, Callable[[Path], FakeBackend]]:
    """Factories of a host, a runtime at 1 % cost, a slow VM, and a docker that is not there."""
    return {
        "host": lambda root: FakeBackend("host", events=events),
        "runtime": lambda root: FakeBackend("runtime", slowness=1.01, events=events),
        "vm": lambda root: FakeBackend(
            "vm", slowness=5.0, final="vm-tcg", modes=("none", "bridge", "nat"), events=events
        ),
        "docker": lambda root: FakeBackend("docker", missing="no docker on this machine", events=events),
    }


def main() -> None:
    """`ninetynine` on fakes. NINETYNINE_FAKE_SLICE_S in the environment makes slices take so long."""
    from bench.cli import app
    from bench.cli.dependencies import Dependencies, use

    takes_s = float(os.environ.get("NINETYNINE_FAKE_SLICE_S", "0"))
    use(Dependencies.fake(backends=fake_backends(), scenarios=fake_scenarios(takes_s), image=fake_image()))
    app(sys.argv[1:])


if __name__ == "__main__":
    main()
