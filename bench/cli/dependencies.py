"""What the command line depends on: backends, scenarios, the image, the wire. One object, so that tests and
`bench.testing` can replace it. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec

from bench.backends.base import Backend, BenchImage
from bench.model import Metric
from bench.scenarios.base import Scenario


class Dependencies(msgspec.Struct, kw_only=True):
    """Everything outside the suite's own logic.

    backends: factories by the name the user types, given the directory they may use. build_image: returns the
    image, from the cache if it was built before. digest: recomputes the image's digest from its bytes. wire:
    opens the link to the remote peer for the run's CPUs; sweep_wire removes what a killed run left of it.
    registry: opens the counting registry in a directory, with a program for its images. needs_root: whether
    a run needs root. self_test_s: how long a run tests the host's noise before it measures (0: not at all).
    remembers: whether a run's prices are kept for the next one's plan.
    """

    backends: Mapping[str, Callable[[Path], Backend]]
    scenarios: Sequence[Scenario]
    metrics: Mapping[str, Metric]
    build_image: Callable[[Path, Callable[[str], None]], BenchImage]
    digest: Callable[[BenchImage], str]
    wire: Callable[[Path, Sequence[int]], AbstractContextManager[object]] | None = None
    sweep_wire: Callable[[], object] = list
    registry: Callable[[Path, Path], AbstractContextManager[object]] | None = None
    needs_root: bool = True
    self_test_s: float = 8.0
    remembers: bool = True

    @classmethod
    def fake(
        cls,
        backends: Mapping[str, Callable[[Path], Backend]],
        scenarios: Sequence[Scenario],
        image: BenchImage,
    ) -> Dependencies:
        """Fakes (bench.testing), which need no root, image or wire."""
        return cls(
            backends=backends,
            scenarios=scenarios,
            metrics={metric.name: metric for scenario in scenarios for metric in scenario.metrics},
            build_image=lambda cache, tell: image,
            digest=lambda built: built.digest,
            needs_root=False,
            self_test_s=0.0,
            remembers=False,
        )


def real() -> Dependencies:
    """Return the real ones."""
    from bench import counting_registry, image, wire
    from bench.backends.registry import BACKENDS
    from bench.scenarios.registry import METRICS, SCENARIOS

    return Dependencies(
        backends=BACKENDS,
        scenarios=SCENARIOS,
        metrics=METRICS,
        build_image=image.build,
        digest=image.digest,
        wire=wire.Wire,
        sweep_wire=wire.sweep,
        registry=counting_registry.CountingRegistry,
    )


_used: Dependencies | None = None


def use(deps: Dependencies | None) -> None:
    """Use `deps` instead of the real ones; None restores these."""
    global _used
    _used = deps


def current() -> Dependencies:
    """Return the dependencies in use."""
    return _used if _used is not None else real()


def cache_dir() -> Path:
    """Where images are kept: $NINETYNINE_CACHE, else /var/cache/ninetynine for root, else ~/.cache."""
    named = os.environ.get("NINETYNINE_CACHE")
    if named:
        return Path(named)
    return Path("/var/cache/ninetynine") if os.geteuid() == 0 else Path.home() / ".cache" / "ninetynine"
