"""Run directories made of drawn numbers with a known truth, for comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd

from bench import store
from bench.model import ArmPlan, Metric, Plan, Role, Run
from bench.testing import fake_run

PRIMARY = ("cpu.integer", "cpu.float", "memory.bandwidth")
STRESS = ("cpu.syscall",)
ARMS = {
    "host": ArmPlan(name="host", backend="host", kind="host", role="baseline"),
    "host-b": ArmPlan(name="host-b", backend="host", kind="host", role="control", twin_of="host"),
    "runtime": ArmPlan(name="runtime", backend="runtime", kind="container", role="arm"),
    "crun": ArmPlan(name="crun", backend="crun", kind="container", role="arm"),
}


def metric(name: str, unit: str = "events/s", better: Any = "higher", role: Role = "primary") -> Metric:
    return Metric(name=name, unit=unit, better=better, role=role, definition=name)


METRICS = (*(metric(name) for name in PRIMARY), *(metric(name, role="stress") for name in STRESS))


def drawn(
    metrics: Sequence[Metric] = METRICS,
    effects: Mapping[tuple[str, str], float] | None = None,
    *,
    arms: Sequence[str] = ("host", "host-b", "runtime"),
    sessions: int | Mapping[str, int] = 8,
    blocks: int = 4,
    level: float = 100.0,
    drift: float = 1.0,
    noise: float = 0.004,
    luck: float = 0.003,
    seed: int = 1,
) -> pd.DataFrame:
    """Samples of a run. effects: (metric, arm) → performance beside the host. drift: of all arms."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for one in metrics:
        most = sessions if isinstance(sessions, int) else sessions[one.name]
        for session in range(most):
            fate = {arm: luck * rng.standard_normal() for arm in arms}
            for block in range(blocks):
                for arm in arms:
                    performance = drift * (effects or {}).get((one.name, arm), 1.0)
                    performance *= float(np.exp(fate[arm] + noise * rng.standard_normal()))
                    value = level * performance if one.better == "higher" else level / performance
                    rows.append(_sample(one, arm, session, block, value, len(rows)))
    return pd.DataFrame(rows)


def _sample(one: Metric, arm: str, session: int, block: int, value: float, order: int) -> dict[str, Any]:
    return {
        "run": "made",
        "session": session,
        "block": block,
        "order": order,
        "scenario": one.name,
        "arm": arm,
        "metric": one.name,
        "unit": one.unit,
        "better": one.better,
        "value": value,
        "start_ns": order,
        "duration_ns": 1,
        "valid": True,
        "reason": "",
    }


def record(samples: pd.DataFrame, metrics: Sequence[Metric] = METRICS, **changes: Any) -> Run:
    """The run of these samples; keyword arguments replace fields."""
    plan = Plan(
        profile="quick",
        seed=1,
        arms=tuple(ARMS[name] for name in dict.fromkeys(samples["arm"])),
        scenarios=tuple(dict.fromkeys(samples["scenario"])),
        metrics=tuple(metrics),
        sessions=int(samples["session"].max()) + 1,
        steps=(),
        cpus=(0, 1),
        budget_s=340.0,
    )
    return msgspec.structs.replace(fake_run(plan, "complete"), **changes)


def write(
    where: Path, samples: pd.DataFrame | None = None, metrics: Sequence[Metric] = METRICS, **changes: Any
) -> Path:
    """A run directory of these samples."""
    frame = drawn(metrics) if samples is None else samples
    where.mkdir(parents=True)
    frame.to_parquet(where / store.SAMPLES, index=False)
    store.write_run(where, record(frame, metrics, **{"id": f"made-{where.name}"} | changes))
    return where


def loaded(
    where: Path, samples: pd.DataFrame | None = None, metrics: Sequence[Metric] = METRICS, **changes: Any
) -> store.Loaded:
    return store.load(write(where, samples, metrics, **changes))
