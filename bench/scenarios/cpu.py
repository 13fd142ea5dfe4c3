"""Processor: integer, floating point, cryptography; the cost of a system call and of a page fault."""

from __future__ import annotations

import math

import msgspec

from bench.model import Metric, Role
from bench.scenarios import parsers
from bench.scenarios.base import Context, Reading, Scenario, Workload
from bench.scenarios.tool import BY_TURNS, PIN, ToolSlice, rate_by_turns, readings
from bench.scenarios.work import Work
from bench.scenarios.worker import Output, Worker

EVENTS = 500
FLOATS = 250
HASHES, HASHED = 60_000, 3_000
MOST_START = 0.3
CALLS = 150_000
FAULT_MIB, FAULT_ROUNDS = 50, 3


def _metric(name: str, unit: str, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit=unit, better="higher", role=role, definition=definition)


INTEGER = _metric(
    "cpu.integer",
    "events/s",
    "primary",
    f"Events per second of `sysbench cpu` by its own clock: {EVENTS} events in one thread, each the trial "
    f"division of all numbers up to 10,000 (64-bit integer division and branches).{BY_TURNS}",
)
FLOAT = _metric(
    "cpu.float",
    "ops/s",
    "primary",
    f"Operations per second of `stress-ng --cpu-method float` by its own clock, by turns of the CPU time "
    f"that it counted: {FLOATS} times a thousand rounds of additions, multiplications, divisions and "
    "functions of single-precision numbers.",
)
CRYPTO = _metric(
    "cpu.crypto",
    "hashes/s",
    "primary",
    f"SHA-256 hashes per second of `openssl kdf` SSKDF: {HASHES:,} hashes of {HASHED:,} bytes divided by the "
    "host's time from request to answer, less the shorter of two runs of one hash, which is openssl's own "
    f"start.{BY_TURNS}",
)
SYSCALL = _metric(
    "cpu.syscall",
    "calls/s",
    "stress",
    f"System calls per second, by dd's own clock: {CALLS:,} times a read of one byte from /dev/zero and a "
    f"write of it to /dev/null, two calls each.{BY_TURNS}",
)
PAGE_FAULT = _metric(
    "cpu.page_fault",
    "faults/s",
    "stress",
    "Page faults per second, by the program's own clock, by turns by the CPU time that it used: first writes "
    f"to the 4 KiB pages of {FAULT_MIB} MiB of fresh anonymous memory, {FAULT_ROUNDS} times "
    "(bench/workloads/fault.c); mapping and unmapping are "
    "not timed.",
)


class Crypto(Workload, kw_only=True):
    """openssl for one hash, twice, then for all of them.

    Not `openssl speed`, which works for whole seconds and reads its clock in steps of 10 ms, too coarse for
    1 %.
    """

    scales_work: bool = True

    def run(self, context: Context) -> list[Reading]:
        """Measure once. Raises ScenarioError with openssl's message."""
        worker = Worker.of(context)
        work = Work(HASHES, context.extra)
        if context.turns is not None:
            found = rate_by_turns(context, self.name, _quietly, work.done, 1.0, _no_figure)
            return work.nominal(found, self.metrics)
        return work.nominal(self._alone(worker, work), self.metrics)

    def _alone(self, worker: Worker, work: Work) -> list[Reading]:
        """By the host's clock, less openssl's own start."""
        starts = [worker.run(derivation(1)) for _ in range(2)]
        for start in starts:
            parsers.derived_key(start.text)
        # The shorter of two: a start that was preempted would be subtracted and make the work look faster.
        start_ns = min(start.duration_ns for start in starts)
        done = worker.run(_quietly(work.done))

        def rate(output: Output) -> dict[str, float]:
            # One hash less: the start that is subtracted did one as well.
            return {CRYPTO.name: (work.done - 1) / (max(1, output.duration_ns - start_ns) / 1e9)}

        found = readings(done, rate)
        if start_ns > MOST_START * done.duration_ns:
            shares = f"{start_ns / 1e6:.0f} of {done.duration_ns / 1e6:.0f} ms"
            reason = f"openssl's start took {shares}: the host is too busy"
            return [msgspec.structs.replace(reading, valid=False, reason=reason) for reading in found]
        return found


def derivation(hashes: int, *options: str) -> tuple[str, ...]:
    """Return the command line that derives a key of that many hashes (NIST SP 800-56C, one-step).

    Not PBKDF2, which hashes 64 bytes at a time and is busy with openssl's bookkeeping (docs/metrics.md).
    """
    return (
        *(*PIN, "openssl", "kdf", "-keylen", str(32 * hashes), *options, "-kdfopt", "digest:SHA256"),
        *("-kdfopt", "key:ninetynine", "-kdfopt", f"info:{'n' * HASHED}", "SSKDF"),
    )


def _quietly(hashes: int) -> tuple[str, ...]:
    return derivation(hashes, "-binary", "-out", "/dev/null")


def _no_figure(output: Output) -> dict[str, float]:
    """openssl prints none; what counts is the time."""
    return {CRYPTO.name: math.nan}


SCENARIOS: tuple[Scenario, ...] = (
    ToolSlice(
        name="cpu.integer",
        metrics=(INTEGER,),
        units=EVENTS,
        command=lambda events: (
            *(*PIN, "sysbench", "cpu", "--threads=1", "--time=0"),
            *(f"--events={events}", "--cpu-max-prime=10000", "run"),
        ),
        parse=lambda output: {INTEGER.name: parsers.sysbench_events(output.text)},
        by_turns=True,
        amount=1.0,
        cost_s=0.08,
    ),
    ToolSlice(
        name="cpu.float",
        metrics=(FLOAT,),
        units=FLOATS,
        # Not `matrixprod`, which fills the second-level cache and the core's units: where a neighbour shares
        # the core, its slices differ by 9 % and these by 1 % (docs/metrics.md).
        command=lambda rounds: (
            *(*PIN, "stress-ng", "--cpu", "1", "--cpu-method", "float", "--cpu-ops", str(rounds)),
            # Otherwise it fills a buffer as large as the last-level cache first, in up to 0.3 s.
            *("--cache-size", "64K", "--no-rand-seed", "--temp-path", "/tmp"),
            *("--metrics", "--yaml", "/dev/stdout"),
        ),
        parse=lambda output: {FLOAT.name: parsers.stress_ng_rate(output.text)},
        by_turns=True,
        # Less a start (a tenth of a slice), which in a container takes 5 % more first than right after
        # another, the container's figure was 0.7 % too high.
        parse_cpu=lambda output: {FLOAT.name: parsers.stress_ng_cpu_rate(output.text)},
        cost_s=0.1,
    ),
    Crypto(name="cpu.crypto", metrics=(CRYPTO,), cost_s=0.11, by_turns=True),
    ToolSlice(
        name="cpu.syscall",
        metrics=(SYSCALL,),
        units=CALLS,
        command=lambda calls: (*PIN, "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={calls}"),
        parse=lambda output: {SYSCALL.name: 2 * parsers.dd_blocks(output.text, block_bytes=1)},
        by_turns=True,
        amount=2.0,
        cost_s=0.09,
    ),
    ToolSlice(
        name="cpu.page_fault",
        metrics=(PAGE_FAULT,),
        units=FAULT_MIB,
        command=lambda mib: (*PIN, "/opt/ninetynine/fault", str(mib), str(FAULT_ROUNDS)),
        parse=lambda output: {
            PAGE_FAULT.name: parsers.number(parsers.json_object(output.text), "faults_per_s")
        },
        by_turns=True,
        parse_cpu=lambda output: {
            PAGE_FAULT.name: parsers.number(parsers.json_object(output.text), "faults_per_cpu_s")
        },
        cost_s=0.08,
    ),
)
