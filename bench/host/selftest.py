"""Host against host for twenty seconds: the noise of this machine for the slices of a run.

It measures as a run does: fresh instances of two arms for each session, in each block every slice of both
arms one directly after the other, in random order. Both arms are the bare host, so any difference is noise.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import random
import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median

import msgspec

from bench.backends.base import Backend, BackendError, Channel, Instance, InstanceSpec
from bench.host.spread import LEAST_SESSIONS, Noise, Pairs
from bench.scenarios.base import Context, Scenario, ScenarioError, Turns
from bench.scenarios.turns import by_turns
from bench.scenarios.worker import SHELL

FAMILIES = ("cpu", "memory", "network")
USUAL_SESSIONS, MAX_SESSIONS = 4, 12
"""Twenty seconds are four sessions of two blocks on the machines tried. A slower machine has fewer sessions,
and if LEAST_SESSIONS of one block each do not fit, the test takes longer."""

ARMS = ("host", "host-b")

Tell = Callable[[float, str], None]
"""Called between slices with the share done, 0..1, and a few words."""


def chosen(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return the slices with a primary metric of the families with claims on 1 %; one network mode only.

    On the host all network modes are the same wire, so the first mode represents all.
    """
    primary = [
        one
        for one in scenarios
        if one.kind == "slice"
        and one.family in FAMILIES
        and any(metric.role == "primary" for metric in one.metrics)
    ]
    mode = next((one.spec.network for one in primary if one.family == "network"), "none")
    return [one for one in primary if one.family != "network" or one.spec.network == mode]


def run(
    backend: Backend,
    scenarios: Sequence[Scenario],
    cpus: tuple[int, ...],
    *,
    wire: object | None = None,
    seconds: float,
    seed: int = 0,
    tell: Tell = lambda share, words: None,
    clock: Callable[[], float] = time.monotonic,
) -> Noise:
    """Measure the noise of `scenarios`. backend: the host, prepared. wire: required for network slices.

    Raises BackendError if instances cannot be started; a slice that fails is left out and reported.
    """
    begun = clock()
    test = _Test(backend, _able(scenarios, wire), cpus, wire, random.Random(seed))
    test.tell = lambda words: tell(min(1.0, (clock() - begun) / seconds), words)
    test.session(0, more=functools.partial(_before, clock, begun + seconds / USUAL_SESSIONS))
    sessions = sessions_for(seconds, clock() - begun)
    for session in range(1, sessions):
        end = begun + seconds * (session + 1) / sessions
        test.session(session, more=functools.partial(_before, clock, end))
    order = [metric.name for one in test.scenarios for metric in one.metrics if metric.role == "primary"]
    return Noise(
        kind="image",
        seconds=round(clock() - begun, 1),
        spreads=test.pairs.spreads(order),
        slices=test.pairs.slices(),
        trouble=tuple(test.trouble.values()),
    )


def sessions_for(seconds: float, first: float) -> int:
    """Return how many sessions fit, given that the first took `first` seconds."""
    return min(MAX_SESSIONS, max(LEAST_SESSIONS, round(seconds / max(first, 1e-3))))


def _before(clock: Callable[[], float], end: float) -> bool:
    return clock() < end


def _able(scenarios: Sequence[Scenario], wire: object | None) -> list[Scenario]:
    return [one for one in scenarios if wire is not None or one.family != "network"]


class _Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One side of the pairs. starts: see Context."""

    instance: Instance
    worker: Channel
    starts: dict[str, list[int]]


class _Test:
    def __init__(
        self,
        backend: Backend,
        scenarios: list[Scenario],
        cpus: tuple[int, ...],
        wire: object | None,
        rng: random.Random,
    ) -> None:
        self.backend = backend
        self.scenarios = scenarios
        self.cpus = cpus
        self.wire = wire
        self.rng = rng
        self.tell: Callable[[str], None] = lambda words: None
        self.pairs = Pairs()
        self.trouble: dict[str, str] = {}

    def session(self, session: int, more: Callable[[], bool]) -> None:
        """Start fresh instances; measure one block, then pairs while there is `more` time."""
        with contextlib.ExitStack() as stack:
            arms = {name: stack.enter_context(self._arm()) for name in ARMS}
            cheapest = min(self.scenarios, key=lambda one: one.cost_s, default=None)
            for arm in arms.values():
                if cheapest is not None:
                    self._values(cheapest, arm, session, 0)  # to warm up; not counted
            for block in itertools.count():
                able = [one for one in self.scenarios if one.name not in self.trouble]
                for scenario in self.rng.sample(able, len(able)):
                    if block == 0 or more():
                        self.tell(f"session {session + 1}: {scenario.name}")
                        self._pair(scenario, arms, session, block)
                if not able or not more():
                    return

    def _pair(self, scenario: Scenario, arms: dict[str, _Arm], session: int, block: int) -> None:
        values: dict[str, dict[str, float]] = {}
        order = self.rng.sample(ARMS, len(ARMS))
        begun = time.monotonic()
        if scenario.by_turns:
            found = by_turns(
                len(order),
                lambda turns: self._values(scenario, arms[order[turns.index]], session, block, turns),
            )
            values = dict(zip(order, found, strict=True))
        else:
            for name in order:
                values[name] = self._values(scenario, arms[name], session, block)
        for _ in order:
            self.pairs.took(scenario.name, (time.monotonic() - begun) / len(order))
        self.pairs.add(session, *(values[name] for name in ARMS))

    def _values(
        self, scenario: Scenario, arm: _Arm, session: int, block: int, turns: Turns | None = None
    ) -> dict[str, float]:
        context = Context(
            backend=self.backend,
            instance=arm.instance,
            worker=arm.worker,
            wire=self.wire if scenario.family == "network" else None,
            session=session,
            block=block,
            cpus=self.cpus,
            turns=turns,
            starts=arm.starts,
        )
        try:
            readings = [reading for reading in scenario.run(context) if reading.valid]
        except (ScenarioError, BackendError) as error:
            self.trouble[scenario.name] = f"{scenario.name}: {error}"
            return {}
        found: dict[str, list[float]] = {}
        for reading in readings:
            found.setdefault(reading.metric, []).append(reading.value)
        return {metric: median(values) for metric, values in found.items()}

    @contextlib.contextmanager
    def _arm(self) -> Iterator[_Arm]:
        """Start an instance with a shell; the padded environment shifts the stack, as in a run."""
        spec = msgspec.structs.replace(InstanceSpec(network="host"), cpus=self.cpus)
        instance = self.backend.start(spec)
        try:
            pad = f"NINETYNINE_PAD={'x' * self.rng.randrange(4096)}"
            worker = instance.open(("/usr/bin/env", pad, *SHELL))
            try:
                yield _Arm(instance=instance, worker=worker, starts={})
            finally:
                worker.close()
        finally:
            instance.stop()
