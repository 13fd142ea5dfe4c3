"""A run directory made of drawn numbers, with every metric and arm a real run can have.

Nothing here was measured: it exists so that the report can be built, tested and looked at without a run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pandas as pd

from bench import claims, model, store
from bench.judge import judge

ARMS = ("host", "host-b", "runtime", "runtime-b", "host-2pct", "again", "vm-tcg", "crun")
ROLES: dict[str, Any] = {
    "host": "baseline",
    "host-b": "control",
    "runtime-b": "control",
    "host-2pct": "positive",
}
EXTRA = 0.02
PHASES = {
    "runtime": {"clone": 0.16, "mounts": 0.39, "cgroup": 0.08, "seccomp": 0.09, "exec": 0.31},
    "vm-tcg": {"define": 12, "create": 190, "kernel": 610, "hello": 940, "first_instruction": 31},
    "crun": {"create": 14.0, "start": 3.1},
}


class Spec(NamedTuple):
    """A metric, the host's level, and what share of the host's performance each other arm gives."""

    name: str
    unit: str
    better: model.Better
    role: model.Role
    level: float
    arms: Mapping[str, float]
    spread: float = 0.02


def known_specs() -> list[Spec]:
    """Every metric of a whole run."""
    equal = {"runtime": 1.0, "vm-tcg": 0.11, "crun": 0.999}
    lower = {"runtime": 0.71, "vm-tcg": 0.05, "crun": 0.69}
    specs = [
        Spec(
            "startup.first_instruction",
            "s",
            "lower",
            "primary",
            0.00045,
            {"runtime": 0.4, "vm-tcg": 0.00025, "crun": 0.025},
            0.18,
        ),
        Spec(
            "startup.first_instruction.paced",
            "s",
            "lower",
            "stress",
            0.0006,
            {"runtime": 0.4, "vm-tcg": 0.00033, "crun": 0.03},
            0.2,
        ),
        Spec(
            "startup.first_byte",
            "s",
            "lower",
            "primary",
            0.009,
            {"runtime": 0.86, "vm-tcg": 0.004, "crun": 0.32},
            0.1,
        ),
        Spec("cpu.integer", "events/s", "higher", "primary", 1180.0, equal),
        Spec("cpu.float", "ops/s", "higher", "primary", 5200.0, equal),
        Spec("cpu.crypto", "bytes/s", "higher", "primary", 1.31e9, equal),
        Spec(
            "cpu.syscall", "ops/s", "higher", "stress", 4.1e6, {"runtime": 0.83, "vm-tcg": 0.08, "crun": 0.79}
        ),
        Spec(
            "cpu.page_fault",
            "ops/s",
            "higher",
            "stress",
            7.9e5,
            {"runtime": 0.97, "vm-tcg": 0.04, "crun": 0.96},
        ),
        Spec("memory.bandwidth", "bytes/s", "higher", "primary", 9.7e9, equal, 0.03),
        Spec("memory.latency", "s", "lower", "primary", 9.4e-8, equal, 0.03),
        Spec(
            "memory.per_instance",
            "bytes",
            "lower",
            "primary",
            2.1e5,
            {"runtime": 0.42, "vm-tcg": 0.0012, "crun": 0.4},
            0.01,
        ),
        Spec(
            "network.loopback", "bit/s", "higher", "stress", 2.9e10, {"runtime": 0.99, "vm-tcg": 0.03}, 0.06
        ),
        Spec(
            "disk.extra_instance",
            "bytes",
            "lower",
            "primary",
            1024.0,
            {"runtime": 0.25, "vm-tcg": 0.0003, "crun": 0.25},
            0.0,
        ),
        Spec(
            "disk.copy_up.time",
            "s",
            "lower",
            "stress",
            0.0011,
            {"runtime": 0.8, "vm-tcg": 0.05, "crun": 0.8},
            0.1,
        ),
        Spec(
            "disk.copy_up", "B", "lower", "stress", 1.4e7, {"runtime": 1.0, "vm-tcg": 0.9, "crun": 1.0}, 0.0
        ),
    ]
    for mode in ("host", "bridge", "nat"):
        keep = dict.fromkeys(("runtime", "crun"), 1.0) | ({} if mode == "host" else {"vm-tcg": 0.41})
        specs += [
            Spec(f"network.throughput.{mode}", "bit/s", "higher", "primary", 9.56e8, keep, 0.002),
            Spec(
                f"network.throughput_10g.{mode}",
                "bit/s",
                "higher",
                "primary",
                9.2e9,
                {**keep, "runtime": 0.995},
                0.02,
            ),
            Spec(
                f"network.throughput_unshaped.{mode}",
                "bit/s",
                "higher",
                "stress",
                1.8e10,
                {**keep, "runtime": 0.88 if mode != "host" else 1.0},
                0.05,
            ),
            Spec(f"network.throughput_reverse.{mode}", "bit/s", "higher", "stress", 9.5e8, keep, 0.003),
            Spec(f"network.throughput_streams.{mode}", "bit/s", "higher", "stress", 9.5e8, keep, 0.003),
            Spec(
                f"network.latency.{mode}",
                "s",
                "lower",
                "stress",
                3.1e-5,
                dict.fromkeys(keep, 0.86 if mode != "host" else 1.0),
                0.05,
            ),
            Spec(
                f"network.cpu_per_gib.{mode}",
                "s/GiB",
                "lower",
                "primary",
                0.62,
                dict.fromkeys(keep, 0.83 if mode != "host" else 1.0),
                0.05,
            ),
        ]
    for where in ("image", "layer", "volume"):
        for what in ("randread", "seqread", "randwrite", "seqwrite"):
            if where == "image" and what.endswith("write"):
                continue
            unit, level = ("ops/s", 2.1e5) if what.startswith("rand") else ("bytes/s", 2.4e9)
            role: model.Role = "primary" if what == "randread" else "stress"
            specs.append(
                Spec(
                    f"disk.{what}.{where}",
                    unit,
                    "higher",
                    role,
                    level,
                    {"runtime": 1.0, "vm-tcg": lower["vm-tcg"], "crun": 0.99},
                    0.05,
                )
            )
    return specs


def draw_samples(
    seed: int = 7, sessions: int = 6, blocks: int = 6, specs: Sequence[Spec] | None = None
) -> pd.DataFrame:
    """Samples in run order: lognormal noise, a session effect, a slow drift, and a few invalid ones."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    chosen = known_specs() if specs is None else list(specs)
    for session in range(sessions):
        for block in range(blocks):
            for spec in chosen:
                _visit(rows, rng, spec, session, block)
    frame = pd.DataFrame(rows)
    frame["order"] = frame["order"].astype("int64")
    return frame


def _visit(
    rows: list[dict[str, Any]], rng: np.random.Generator, spec: Spec, session: int, block: int
) -> None:
    for arm in rng.permutation(_present(spec)):
        performance = spec.arms.get(
            str(arm).removesuffix("-b"), 1 / (1 + EXTRA) if arm == "host-2pct" else 1.0
        )
        base = spec.level * (performance if spec.better == "higher" else 1 / performance)
        drift = 1 + 0.01 * np.sin((session * 6 + block) / 9)
        value = float(base * drift * np.exp(rng.normal(0, spec.spread)))
        _append(rows, rng, spec.name, spec.unit, spec.better, session, block, str(arm), value)
        if spec.name == "startup.first_instruction" and arm in PHASES:
            for phase, ms in PHASES[str(arm)].items():
                shown = ms / 1000 * float(np.exp(rng.normal(0, 0.1)))
                _append(rows, rng, f"startup.phase.{phase}", "s", "lower", session, block, str(arm), shown)


def _present(spec: Spec) -> list[str]:
    """The arms that measure a metric: extra work is only done where a program computes."""
    loaded = spec.name.startswith(("cpu.", "memory.bandwidth", "memory.latency"))
    kept = {"host", "host-b", "again", *spec.arms, *(f"{arm}-b" for arm in spec.arms)}
    return [arm for arm in ARMS if arm in kept or (arm == "host-2pct" and loaded)]


def _append(
    rows: list[dict[str, Any]],
    rng: np.random.Generator,
    metric: str,
    unit: str,
    better: str,
    session: int,
    block: int,
    arm: str,
    value: float,
) -> None:
    order = len(rows)
    pressed = rng.random() < 0.004
    repeated = rng.random() < 0.01
    stall = float(rng.beta(0.5, 20))
    rows.append(
        {
            "run": "synthetic",
            "session": session,
            "block": block,
            "order": order,
            "scenario": metric.rsplit(".", 1)[0],
            "arm": arm,
            "metric": metric,
            "unit": unit,
            "better": better,
            "value": value,
            "start_ns": 10**12 + order * 120_000_000,
            "duration_ns": 100_000_000,
            "valid": not pressed,
            "set_aside": "rejected" if pressed else "",
            "reason": "CPU pressure 31 % during the slice" if pressed else "",
            "stall_share": round(stall, 3),
            "steal_share": round(float(rng.beta(0.5, 60)), 3),
            "frequency_mhz": round(float(rng.normal(2900, 30))),
            "switches": int(rng.poisson(120)),
            "busy_s": round(0.1 * (1 + stall), 2),
            "take": int(repeated),
        }
    )
    if repeated:
        aside = {"value": value * 0.8, "valid": False, "set_aside": "pressure", "stall_share": 0.4, "take": 0}
        rows.append({**rows[-1], **aside, "reason": "taken under pressure: CPU pressure 40 %, repeated"})


def verdicts(samples: pd.DataFrame, record: model.Run) -> list[model.Verdict]:
    """What the judge makes of the drawn samples."""
    return judge(samples, claims.load(), record.plan, record.not_measured, record.image)


def closed(samples: pd.DataFrame) -> tuple[model.Closed, ...]:
    """Every scenario of the quick arms decided by a look after 5 or 6 sessions, one left open."""
    pairs = samples[["scenario", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    return tuple(
        model.Closed(scenario=str(scenario), arm=str(arm), sessions=5 + place % 2)
        for place, (scenario, arm) in enumerate(pairs)
        if arm in ("runtime", "again", "crun") and scenario != "memory"
    )


def metrics() -> tuple[model.Metric, ...]:
    """The plan's metrics, phases included."""
    known = [
        model.Metric(
            name=s.name, unit=s.unit, better=s.better, role=s.role, definition=f"Drawn numbers for {s.name}."
        )
        for s in known_specs()
    ]
    phases = {name for arm in PHASES.values() for name in arm}
    return tuple(known) + tuple(
        model.Metric(
            name=f"startup.phase.{name}", unit="s", better="lower", role="info", definition=f"Phase {name}."
        )
        for name in sorted(phases)
    )


def arm(name: str) -> model.ArmPlan:
    """The arm of that name, as a plan would have it."""
    backend = name.split("-")[0]
    kind: model.Kind = "vm" if backend == "vm" else "host" if backend in ("host", "again") else "container"
    return model.ArmPlan(
        name=name,
        backend=backend,
        kind=kind,
        emulated=name == "vm-tcg",
        role=ROLES.get(name, "arm"),
        twin_of=name.removesuffix("-b") if name.endswith("-b") else "",
        extra=EXTRA if name == "host-2pct" else 0.0,
    )


def run(**changes: Any) -> model.Run:
    """A complete run's `run.json`; keyword arguments replace fields."""
    plan = model.Plan(
        profile="quick",
        seed=20261124,
        arms=tuple(map(arm, ARMS)),
        scenarios=("startup", "cpu.integer"),
        metrics=metrics(),
        sessions=6,
        steps=(),
        cpus=(0, 1),
        budget_s=360.0,
        looks=model.Looks(first=5, last=8),
    )
    whole = model.Run(
        schema=model.SCHEMA_VERSION,
        id="20261124-073000-synthetic",
        command=("ninetynine", "run", "--profile", "quick", "--seed", "20261124"),
        started="2026-11-24T07:30:00+00:00",
        ended="2026-11-24T07:35:41+00:00",
        status="complete",
        plan=plan,
        host=fingerprint(),
        image=model.ImageInfo(
            reference="ninetynine-bench:1",
            digest="sha256:" + "ab" * 32,
            layers=("sha256:" + "01" * 32, "sha256:" + "23" * 32),
            source="mmdebstrap trixie",
            digest_after="sha256:" + "ab" * 32,
        ),
        backends=(
            model.BackendInfo(name="host", kind="host", version="chroot + exec"),
            model.BackendInfo(name="runtime", kind="container", version="0.1.0"),
            model.BackendInfo(
                name="vm-tcg",
                kind="vm",
                version="QEMU 10.0.2, libvirt 11.3.0",
                accelerator="tcg",
                limits=("no host network mode",),
            ),
            model.BackendInfo(name="crun", kind="container", version="1.21"),
        ),
        not_measured=(
            model.NotMeasured(
                arm="vm-kvm",
                metric="",
                reason="/dev/kvm is there, but a guest run on it makes no progress (probe ended after 2 s)",
            ),
            model.NotMeasured(arm="docker", metric="", reason="docker: no such program on PATH"),
            model.NotMeasured(
                arm="vm-tcg", metric="network.throughput.host", reason="a VM has no host network"
            ),
        ),
        versions={
            "sysbench": "1.0.20",
            "fio": "3.39",
            "iperf3": "3.18",
            "openssl": "3.5.1",
            "qemu": "10.0.2",
        },
        notes=("The governor could not be read: frequency scaling is unknown.",),
    )
    return msgspec.structs.replace(whole, **changes)


def fingerprint() -> model.Fingerprint:
    """A machine that does not exist."""
    return model.Fingerprint(
        machine_id="synthetic",
        hostname="drawn",
        cpu_model="Example CPU 3.0 GHz",
        cpus=2,
        memory_bytes=24 * 2**30,
        kernel="6.18.0",
        distribution="Debian GNU/Linux 13 (trixie)",
        python="3.11.9",
        cgroup_layout="hybrid",
        mitigations={"spectre_v2": "Mitigation: Retpolines", "meltdown": "Not affected"},
        clocksource="tsc",
        governor="unknown",
        smt="on",
        virtualization="kvm",
        filesystem="ext4",
        thp="madvise",
        tools={"fio": "3.39", "iperf3": "3.18"},
    )


def write(
    where: Path,
    *,
    samples: pd.DataFrame | None = None,
    record: model.Run | None = None,
    judged: Sequence[model.Verdict] | None = None,
) -> Path:
    """Write `run.json`, `samples.parquet` and `verdicts.json` into `where` and return it."""
    frame = draw_samples() if samples is None else samples
    whole = run(closed=closed(frame), sessions_run=6) if record is None else record
    where.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(where / store.SAMPLES, compression="zstd", index=False)
    store.write_run(where, whole)
    store.write_verdicts(where, verdicts(frame, whole) if judged is None else judged)
    return where
