"""How fast a container starts, against crun on the same root file system, interleaved in one run.

    python -m tests.studies.race [--rounds 30] [--json]        (as root; crun is left out when not installed)

Each contestant starts the same static program, which writes one byte. *first* is the time from the call (for
crun: from the start of its process) until this process has read the byte; *whole* until all is cleaned up.
Each round starts everybody once in random order. Before each start the machine has to be quiet: the median of
a few bare processes below --quiet-ms, else the start is counted as noisy (and kept).

crun refuses a hybrid cgroup layout, so there the whole script runs once more in a mount namespace without
/sys/fs/cgroup/unified; the wrapper is not in the timing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from runtime.engine import ContainerConfig, Engine, Limits
from runtime.oci import defaults
from runtime.oci.plan import namespaces_of
from runtime.oci.spec import NamespaceType
from runtime.spawn import capabilities
from runtime.spawn.seccomp import bpf
from runtime.spawn.seccomp.profile import default_machines
from runtime.spawn.syscalls import MACHINE, table
from tests.runtime.container_rootfs import FIRST, build_rootfs

UNIFIED = "/sys/fs/cgroup/unified"
MEMORY, PIDS = 256 << 20, 64
NAMESPACES: tuple[NamespaceType, ...] = (*defaults.NAMESPACES, "time")
Contestant = Callable[[int], tuple[float, float]]
"""One start; returns (first, whole) in ms."""


def hide_unified() -> None:
    """Run this script again where crun works."""
    if os.path.ismount(UNIFIED) and shutil.which("crun") and "RACE_INNER" not in os.environ:
        inner = f'umount {UNIFIED}; exec "$@"'
        command = ["unshare", "-m", "sh", "-c", inner, "sh", sys.executable, *sys.orig_argv[1:]]
        os.execvpe("unshare", command, {**os.environ, "RACE_INNER": "1"})


def timed(start: Callable[[int], Callable[[], object]]) -> tuple[float, float]:
    """Time one start: start(fd) returns what waits for the end and cleans up."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        begin = time.monotonic_ns()
        finish = start(write)
        os.close(write)
        write = -1
        byte = os.read(read, 1)
        first = time.monotonic_ns()
        finish()
        end = time.monotonic_ns()
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)
    if byte != b"1":
        raise RuntimeError("the program did not write its byte")
    return (first - begin) / 1e6, (end - begin) / 1e6


def bare(program: str, null: int) -> Contestant:
    """A plain process, the floor."""
    return command([program], null)


def command(argv: list[str], null: int) -> Contestant:
    """A program of its own; `%i` becomes the number of the start."""
    path = shutil.which(argv[0]) or argv[0]

    def go(number: int) -> tuple[float, float]:
        words = [word.replace("%i", str(number)) for word in argv]

        def start(out: int) -> Callable[[], object]:
            actions = [(os.POSIX_SPAWN_DUP2, a, b) for a, b in ((null, 0), (out, 1), (2, 2))]
            pid = os.posix_spawn(path, words, os.environ, file_actions=actions)
            return lambda: os.waitpid(pid, 0)

        return timed(start)

    return go


def ours(engine: Engine, rootfs: Path, network: str = "none") -> Contestant:
    """Our engine, in this process: create, start, wait, remove."""
    config = ContainerConfig(
        layers=(str(rootfs),),
        argv=(FIRST,),
        namespaces=NAMESPACES,
        network=network,  # type: ignore[arg-type]
        limits=Limits(memory_max=MEMORY, pids_max=PIDS),
    )
    engine.warm(config)

    def go(number: int) -> tuple[float, float]:
        def start(out: int) -> Callable[[], object]:
            container = engine.create(config)
            container.start(-1, out, -1)
            return lambda: (container.wait(), container.remove())

        return timed(start)

    return go


def crun(work: Path, rootfs: Path, null: int) -> Contestant:
    """`crun run` of a bundle with the same namespaces, capabilities, mounts, masks, limits and filter."""
    (work / "config.json").write_text(json.dumps(bundle(rootfs)))
    return command(["crun", "--root", str(work / "crun"), "run", "-b", str(work), "race%i"], null)


def bundle(rootfs: Path) -> dict[str, object]:
    """config.json."""
    caps = ["CAP_" + name for name in capabilities.DEFAULT]
    kinds = [ns.type for ns in namespaces_of(NAMESPACES)]
    return {
        "ociVersion": "1.0.0",
        "process": {
            "args": [FIRST],
            "env": [defaults.PATH],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        },
        "root": {"path": str(rootfs)},
        "hostname": "race",
        "mounts": [
            {"destination": m.destination, "type": m.type, "source": m.source, "options": list(m.options)}
            for m in defaults.MOUNTS
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "resources": {"memory": {"limit": MEMORY}, "pids": {"limit": PIDS}},
            "maskedPaths": list(defaults.MASKED),
            "readonlyPaths": list(defaults.READONLY),
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO",
                "architectures": ["SCMP_ARCH_X86_64" if MACHINE == "x86_64" else "SCMP_ARCH_AARCH64"],
                "syscalls": [{"names": allowed_calls(), "action": "SCMP_ACT_ALLOW"}],
            },
        },
    }


def allowed_calls() -> list[str]:
    """What our own filter allows without a condition."""
    verdicts = default_machines(capabilities.mask(capabilities.DEFAULT))[MACHINE].verdicts
    allowed = {number for number, verdict in verdicts.items() if verdict == bpf.ALLOW}
    return sorted(name for name, number in table(MACHINE).items() if number in allowed)


def wait_until_quiet(probe: Contestant, limit_ms: float, patience_s: float = 4.0) -> bool:
    """Wait until bare processes start fast; False when they did not within the patience."""
    deadline = time.monotonic() + patience_s
    while statistics.median(probe(0)[0] for _ in range(7)) > limit_ms:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def race(
    who: dict[str, Contestant], rounds: int, quiet_ms: float
) -> tuple[dict[str, list[tuple[float, float]]], int]:
    """Run all rounds (three more to warm up); return the times by contestant, and the noisy starts."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in who}
    noisy = 0
    for number in range(-3, rounds):
        for name in random.sample(list(who), len(who)):
            noisy += not wait_until_quiet(who["bare process"], quiet_ms)
            result = who[name](number + 3)
            if number >= 0:
                times[name].append(result)
    return times, noisy


def summary(times: dict[str, list[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """p50, minimum and p95 of *first*, p50 of *whole*, and the median of the pairs' ratio to ours."""
    mine = times["ours"]
    rows = {}
    for name, values in times.items():
        first = sorted(a for a, _ in values)
        rows[name] = {
            "first_p50_ms": statistics.median(first),
            "first_min_ms": first[0],
            "first_p95_ms": first[min(len(first) - 1, int(len(first) * 0.95))],
            "whole_p50_ms": statistics.median(b for _, b in values),
            "pairs_ratio": statistics.median(a / b for (a, _), (b, _) in zip(values, mine, strict=True)),
        }
    return rows


def conditions(rounds: int, noisy: int, starts: int) -> dict[str, object]:
    """What the figures depend on."""
    return {
        "rounds": rounds,
        "noisy_starts": noisy,
        "starts": starts,
        "kernel": os.uname().release,
        "python": sys.version.split()[0],
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "namespaces": NAMESPACES,
        "unified_hidden": "RACE_INNER" in os.environ,
        "root": "ours: overlay; crun: the directory itself",
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--quiet-ms", type=float, default=0.25)
    parser.add_argument("--no-pools", action="store_true", help="make everything within the start")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def main() -> None:
    """Run the race and print it."""
    args = arguments()
    hide_unified()
    null = os.open("/dev/null", os.O_RDWR)
    with tempfile.TemporaryDirectory(prefix="nn-race-") as name:
        work = Path(name)
        rootfs = build_rootfs(work / "rootfs")
        with Engine(work / "engine", pools=not args.no_pools) as engine:
            who = {"bare process": bare(str(rootfs) + FIRST, null), "ours": ours(engine, rootfs)}
            if shutil.which("crun"):
                who["crun run"] = crun(work, rootfs, null)
            times, noisy = race(who, args.rounds, args.quiet_ms)
    rows = summary(times)
    about = conditions(args.rounds, noisy, args.rounds * len(times)) | {"pools": not args.no_pools}
    if args.json:
        print(json.dumps({"conditions": about, "contestants": rows}, indent=1))
        return
    print("  ".join(f"{key}={value}" for key, value in about.items()))
    print(f"{'contestant':14} {'first p50':>10} {'min':>7} {'p95':>7} {'whole p50':>10} {'x ours':>7}   ms")
    for name, row in rows.items():
        print(
            f"{name:14} {row['first_p50_ms']:10.2f} {row['first_min_ms']:7.2f} {row['first_p95_ms']:7.2f}"
            f" {row['whole_p50_ms']:10.2f} {row['pairs_ratio']:7.1f}"
        )


if __name__ == "__main__":
    main()
