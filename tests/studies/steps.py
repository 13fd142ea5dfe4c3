"""Where a start's time goes: the container's own tape with a clock reading between all steps.

python -m tests.studies.steps [--starts 100] [--rows 25]        (as root)
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from functools import partial
from pathlib import Path

from runtime.engine import ContainerConfig, Engine, Limits
from runtime.engine import container as container_module
from runtime.engine.prepare import plan_start
from runtime.oci import defaults
from runtime.oci.plan import Plan
from runtime.spawn import _tape
from runtime.spawn.syscalls import number
from runtime.spawn.tape import WORDS, Tape
from tests.runtime.container_rootfs import FIRST, build_rootfs

CLOCK_MONOTONIC = 1


def with_clock(tape: Tape, stamps: bytearray) -> Tape:
    """A copy of `tape` with a clock_gettime into `stamps` before every step."""
    copy = Tape()
    base = _tape.address(stamps)
    words = memoryview(tape.template()).cast("Q")
    moved = {place: name for name, places in tape.slots.items() for place in places}
    for index, step in enumerate(tape.steps):
        copy.add(f"clock {step}", "clock_gettime", CLOCK_MONOTONIC, base + 16 * index)
        row = list(words[index * WORDS : (index + 1) * WORDS])
        for place in range(6):
            if row[0] >> 32 >> place & 1:
                row[1 + place] = 2 * row[1 + place] + 1
        for place in range(WORDS):
            if index * WORDS + place in moved:
                copy.slots.setdefault(moved[index * WORDS + place], []).append(len(copy._words) + place)
        copy._words += row
        copy.steps.append(step)
        if row[0] & 0xFFFFFFFF in (number("execve"), number("execveat")) and copy.first_exec < 0:
            copy.first_exec = len(copy.steps) - 1
    return copy


def _give(plan: Plan, *_: object) -> Plan:
    return plan


def measure(engine: Engine, config: ContainerConfig, starts: int) -> list[tuple[float, str]]:
    """(median us, step), dearest first."""
    engine.warm(config)
    columns: dict[str, list[float]] = {}
    for _ in range(starts):
        container = engine.create(config)
        stamps = bytearray(16 * 1000)
        plan = plan_start(container._prepared, (0, 1, 2))
        timed = Plan(with_clock(plan.tape, stamps), plan.flags)
        container_module.plan_start = partial(_give, timed)
        container.start()
        container.wait()
        container.remove()
        words = memoryview(stamps).cast("Q")
        at = [words[2 * i] * 10**9 + words[2 * i + 1] for i in range(len(plan.tape.steps))]
        for i, step in enumerate(plan.tape.steps[:-1]):
            columns.setdefault(f"{i:3} {step}", []).append((at[i + 1] - at[i]) / 1e3)
    return sorted(((statistics.median(v), step) for step, v in columns.items()), reverse=True)


def main() -> None:
    """Print the dearest steps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=100)
    parser.add_argument("--rows", type=int, default=25)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nn-steps-") as name:
        rootfs = build_rootfs(Path(name) / "rootfs")
        config = ContainerConfig(
            layers=(str(rootfs),),
            argv=(FIRST,),
            namespaces=(*defaults.NAMESPACES, "time"),
            limits=Limits(memory_max=256 << 20, pids_max=64),
        )
        with Engine(Path(name) / "engine") as engine:
            rows = measure(engine, config, args.starts)
    total = sum(us for us, _ in rows)
    print(f"{len(rows) + 1} steps, sum of medians {total:.0f} us (with their clock readings)")
    for us, step in rows[: args.rows]:
        print(f"{us:8.1f} us  {step}")


if __name__ == "__main__":
    main()
