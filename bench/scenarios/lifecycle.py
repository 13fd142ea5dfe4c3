"""The steps of a container's life as a user waits for them, by the daemon's API and by its client.

The image is present; the container has no network and no log. Containers are created one after the other and
removed again. Only systems with a daemon have these figures.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator

import msgspec

from bench.backends.base import Engine, EngineBackend, InstanceSpec
from bench.model import Metric, Role
from bench.scenarios.base import Context, InstanceWorkload, Reading, ScenarioError

PROGRAM = ("/opt/ninetynine/first",)
IDLE = ("/opt/ninetynine/idle",)
_PATIENCE_S = 60.0


def _metric(name: str, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit="s", better="lower", role=role, definition=definition)


RUN = _metric(
    "engine.run.cli",
    "primary",
    "Seconds from the start of the client's process to its end, of `run --rm --network none IMAGE "
    "/opt/ninetynine/first`: the container is made, started, writes one byte, ends and is removed.",
)
_STEPS = {
    "create": "a container is made",
    "start": "it is started, its program being one that sleeps",
    "stop": "it is ended, without a grace for its program",
    "remove": "it is removed",
}
API = {
    step: _metric(f"engine.{step}.api", "info", f"Seconds of the API's call by which {words}.")
    for step, words in _STEPS.items()
}
CLI = {
    step: _metric(
        f"engine.{step}.cli",
        "info",
        f"Seconds from the start of the client's process to its end, by which {words}.",
    )
    for step, words in _STEPS.items()
}


HELD = 10
MEMORY = Metric(
    name="engine.memory",
    unit="B",
    better="lower",
    role="info",
    definition="Bytes of memory (PSS) of all the daemon's processes: what supervises containers counts, "
    "what runs in them does not. No container runs but those that the session keeps.",
)
MEMORY_EACH = Metric(
    name=f"{MEMORY.name}.per_container",
    unit="B",
    better="lower",
    role="info",
    definition=f"Bytes that this grows by for each of {HELD} more idle containers; no growth is 0.",
)


class Timed(msgspec.Struct):
    """Collects the readings of one visit."""

    readings: list[Reading]

    @contextlib.contextmanager
    def step(self, metric: Metric) -> Iterator[None]:
        """Time the block."""
        start_ns = time.monotonic_ns()
        yield
        self.readings.append(Reading.since(start_ns, metric))


class OnDaemon(InstanceWorkload, kw_only=True):
    """What scenarios of daemons share: no instance is started for them, they create containers themselves."""

    spec: InstanceSpec = InstanceSpec(engine=True)


class RunCommand(OnDaemon, kw_only=True):
    """Whole `run` commands of the client."""

    runs: int = 3

    def run(self, context: Context) -> list[Reading]:
        """Run some, one after the other. Raises BackendError, ScenarioError."""
        engine, timed = engine_of(context), Timed([])
        argv = engine.command("run", "--rm", "--network", "none", engine.image, *PROGRAM)
        for _ in range(self.runs):
            with timed.step(RUN):
                command(argv)
        return timed.readings


class Life(OnDaemon, kw_only=True):
    """One container by the API, then one by the client."""

    def run(self, context: Context) -> list[Reading]:
        """Go through both. Raises BackendError, ScenarioError."""
        engine, timed = engine_of(context), Timed([])
        self._by_api(engine, timed)
        self._by_client(engine, timed)
        return timed.readings

    def _by_api(self, engine: Engine, timed: Timed) -> None:
        with timed.step(API["create"]):
            container = engine.create(engine.image, IDLE)
        with removed(engine, container):
            with timed.step(API["start"]):
                engine.start(container)
            with timed.step(API["stop"]):
                engine.stop(container)
            with timed.step(API["remove"]):
                engine.remove(container)

    def _by_client(self, engine: Engine, timed: Timed) -> None:
        with timed.step(CLI["create"]):
            container = command(engine.command("create", "--network", "none", engine.image, *IDLE))
        with removed(engine, container):
            with timed.step(CLI["start"]):
                command(engine.command("start", container))
            with timed.step(CLI["stop"]):
                command(engine.command("stop", "-t", "0", container))
            with timed.step(CLI["remove"]):
                command(engine.command("rm", container))


class Memory(OnDaemon, kw_only=True):
    """Memory of the daemon itself, and what each container adds to it."""

    def run(self, context: Context) -> list[Reading]:
        """Read it before and while containers run. Raises BackendError, ScenarioError."""
        engine, start_ns, containers = engine_of(context), time.monotonic_ns(), list[str]()
        before = engine.memory().bytes
        readings, weighed_ns = [Reading.since(start_ns, MEMORY, before)], time.monotonic_ns()
        try:
            for _ in range(HELD):
                containers.append(engine.create(engine.image, IDLE))
                engine.start(containers[-1])
            each = max(0, engine.memory().bytes - before) / HELD
            return [*readings, Reading.since(weighed_ns, MEMORY_EACH, each)]
        finally:
            for container in containers:
                engine.remove(container)


@contextlib.contextmanager
def removed(engine: Engine, *containers: str) -> Iterator[None]:
    """Remove containers if the block fails; otherwise the block has removed them."""
    try:
        yield
    except BaseException:
        for container in containers:
            with contextlib.suppress(Exception):
                engine.remove(container)
        raise


def engine_of(context: Context) -> Engine:
    """Return the daemon of an arm. Raises ScenarioError if it has none."""
    if not isinstance(context.backend, EngineBackend):
        raise ScenarioError(f"{context.backend.name} has no daemon that keeps images and containers")
    return context.backend.engine()


def command(argv: tuple[str, ...]) -> str:
    """Run a client to its end; return its output, stripped. Raises ScenarioError with its message."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ScenarioError(f"{' '.join(argv)}: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
        raise ScenarioError(f"{' '.join(argv)}: exit status {done.returncode}; it printed: {words}")
    return done.stdout.decode(errors="replace").strip()


SCENARIOS = (
    RunCommand(name=RUN.name, metrics=(RUN,), cost_s=0.06, every_nth_block=4),
    Life(name="engine.life", metrics=(*API.values(), *CLI.values()), cost_s=0.15, every_nth_block=8),
    Memory(name=MEMORY.name, metrics=(MEMORY, MEMORY_EACH), cost_s=0.3, every_nth_block=8),
)
