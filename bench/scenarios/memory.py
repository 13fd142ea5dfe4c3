"""Memory: bandwidth, latency, and what an idle instance uses on the host."""

from __future__ import annotations

import time

from bench.backends.base import Instance
from bench.model import Metric
from bench.scenarios import parsers
from bench.scenarios.base import Context, InstanceWorkload, Reading
from bench.scenarios.startup import started
from bench.scenarios.tool import BY_TURNS, PIN, ToolSlice

BLOCK_MIB, BLOCKS = 64, 100
"""A block is twice a last cache of 32 MiB. Of one of just that size, how much stays in the cache depends on
which pages a process got: processes of one host differed by 1.4 %, with twice as much by 0.7 %."""

CHASE_MIB, STEPS = 96, 400_000
SETTLE_S = 0.02

BANDWIDTH = Metric(
    name="memory.bandwidth",
    unit="MiB/s",
    better="higher",
    role="primary",
    definition=f"MiB per second of `sysbench memory` by its own clock: {BLOCKS} times {BLOCK_MIB} MiB, "
    "written by one thread 8 bytes at a time, in order, over and over through one buffer of that size."
    f"{BY_TURNS}",
)
LATENCY = Metric(
    name="memory.latency",
    unit="ns",
    better="lower",
    role="primary",
    definition=f"Nanoseconds for a load that depends on the one before: {STEPS:,} steps of a random walk "
    f"over {CHASE_MIB} MiB in pages of 4 KiB, 256 at a time in 64 KiB (bench/workloads/chase.c), by its own "
    "clock, by turns by the CPU time that it used.",
)
PER_INSTANCE = Metric(
    name="memory.per_instance",
    unit="B",
    better="lower",
    role="primary",
    definition="Host memory of one instance in which only `idle` runs, read 20 ms after it was ready (of a "
    "slow arm, before its first slice): the proportional set size of all its processes; of a VM, of its QEMU "
    "process.",
)


class IdleMemory(InstanceWorkload, kw_only=True):
    """Starts an idle instance, reads its memory, and stops it."""

    def run(self, context: Context) -> list[Reading]:
        """Start one and read once. A failed start raises BackendError."""
        start_ns = time.monotonic_ns()
        with started(context, self.spec) as instance:
            time.sleep(SETTLE_S)
            return self._weighed(start_ns, instance)

    def of_start(self, instance: Instance) -> list[Reading]:
        """Of an instance that has done nothing yet but start."""
        return self._weighed(time.monotonic_ns(), instance)

    def _weighed(self, start_ns: int, instance: Instance) -> list[Reading]:
        return [Reading.since(start_ns, PER_INSTANCE, float(instance.memory().bytes))]


SCENARIOS = (
    ToolSlice(
        name="memory.bandwidth",
        metrics=(BANDWIDTH,),
        units=BLOCKS,
        command=lambda blocks: (
            *(*PIN, "sysbench", "memory", "--threads=1", "--time=0", f"--memory-block-size={BLOCK_MIB}M"),
            *(f"--memory-total-size={blocks * BLOCK_MIB}M", "--memory-oper=write", "run"),
        ),
        parse=lambda output: {BANDWIDTH.name: parsers.sysbench_memory(output.text)},
        by_turns=True,
        amount=BLOCK_MIB,
        cost_s=0.38,
    ),
    ToolSlice(
        name="memory.latency",
        metrics=(LATENCY,),
        units=STEPS,
        command=lambda steps: (*PIN, "/opt/ninetynine/chase", str(CHASE_MIB), str(steps)),
        parse=lambda output: {LATENCY.name: parsers.number(parsers.json_object(output.text), "ns_per_step")},
        by_turns=True,
        parse_cpu=lambda output: {
            LATENCY.name: parsers.number(parsers.json_object(output.text), "cpu_ns_per_step")
        },
        cost_s=0.16,
    ),
    IdleMemory(
        name=PER_INSTANCE.name, metrics=(PER_INSTANCE,), cost_s=0.04, every_nth_block=4, from_start=True
    ),
)
