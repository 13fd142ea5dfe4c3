"""Disk: bytes of an extra instance, copy-up, and fio in the image, the writable layer and a volume.

fio bypasses the page cache (`direct=1`) with one request at a time, so the path to the disk and back is
timed. In a VM that path ends at the host's cache unless its disk is opened with cache=none. The tuned profile
of the `vm` backend does that; the untuned one does not, so its figures can exceed the host's. The host's arm
reads and writes its own copy of the same files, on the same file system as the containers'.

fio needs 0.3 s to start and to end, so reading and writing share a run: reads and writes alternate at random,
and each has its own figure, the inverse of the mean time of one operation.
"""

from __future__ import annotations

import time

from bench.backends.base import Instance
from bench.model import Better, Metric, Role
from bench.scenarios import parsers
from bench.scenarios.base import Context, InstanceWorkload, Reading, Scenario, ScenarioError
from bench.scenarios.startup import started
from bench.scenarios.tool import ToolSlice
from bench.scenarios.worker import Output

INSTANCES = 2
IMAGE_FILE = "/usr/bin/stress-ng"
"""The largest program of the image (some 14 MB), which all arms have and no disk slice runs."""

LAYER_FILE = "/var/tmp/ninetynine.fio"
VOLUME_FILE = "/volume/ninetynine.fio"
IMAGE_MIB, FILE_MIB = 12, 16

_PLACES = {
    "image": f"{IMAGE_MIB} MiB of a file of the image ({IMAGE_FILE})",
    "layer": f"a file of {FILE_MIB} MiB in the writable layer ({LAYER_FILE}; the host's copy of the image)",
    "volume": f"a file of {FILE_MIB} MiB in a volume ({VOLUME_FILE}; in a VM a disk of its own)",
}
_KINDS = {
    "rand": ("IO/s", "random", "4 KiB"),
    "seq": ("B/s", "in order", "1 MiB"),
}
RAND_BLOCK, SEQ_BLOCK = 4 << 10, 1 << 20
ROUNDS, RAND_A_ROUND = 50, 20
"""A round of fio's work is one sequential and twenty random blocks, in two jobs."""


def _metric(name: str, unit: str, better: Better, role: Role, definition: str) -> Metric:
    return Metric(name=name, unit=unit, better=better, role=role, definition=definition)


EXTRA = _metric(
    "disk.extra_instance",
    "B",
    "lower",
    "primary",
    f"Bytes on the host's disk that one of {INSTANCES} idle instances of the same image costs beyond the "
    "shared image: their blocks by inode, divided by their number. No instance costs nothing by this "
    "definition.",
)
EXTRA_FIRST = _metric(
    "disk.extra_instance.first",
    "B",
    "lower",
    "info",
    "Bytes of the first instance alone, beyond the shared image.",
)
COPY_UP = _metric(
    "disk.copy_up",
    "B",
    "lower",
    "stress",
    f"Bytes on the host's disk that the first write to a file of the image costs: one byte of {IMAGE_FILE}, "
    "written back as it was and synced.",
)
COPY_UP_TIME = _metric(
    "disk.copy_up.time",
    "s",
    "lower",
    "stress",
    "Seconds of that first write by the host's clock, the start of dd included.",
)


def _io_metric(kind: str, action: str, place: str) -> Metric:
    unit, order, block = _KINDS[kind]
    what = "Operations" if kind == "rand" else "Bytes"
    beside = "" if place == "image" else ", reads and writes alternating at random"
    return _metric(
        f"disk.{kind}{action}.{place}",
        unit,
        "higher",
        "primary",
        f"{what} per second, by fio: {action}s of {block}, {order}, one at a time and past the page cache"
        f"{beside}, in {_PLACES[place]}; the inverse of the mean time of one.",
    )


class ExtraInstance(InstanceWorkload, kw_only=True):
    """Two idle instances: their bytes, then bytes and time of a copy-up in one of them."""

    name: str = EXTRA.name
    metrics: tuple[Metric, ...] = (EXTRA, EXTRA_FIRST, COPY_UP, COPY_UP_TIME)
    cost_s: float = 0.25
    every_nth_block: int = 8
    from_start: bool = True

    def run(self, context: Context) -> list[Reading]:
        """Start two instances and write once. A failed start raises BackendError."""
        start_ns = time.monotonic_ns()
        with started(context, self.spec) as first:
            with started(context, self.spec) as second:
                one = first.disk().bytes
                both = one + second.disk().bytes
            counted = (
                Reading.since(start_ns, EXTRA, both / INSTANCES),
                Reading.since(start_ns, EXTRA_FIRST, float(one)),
            )
            return [*counted, *self._copy_up(first, one)]

    def of_start(self, instance: Instance) -> list[Reading]:
        """The bytes of that one, which is both the first and one more; then of its copy-up."""
        start_ns, one = time.monotonic_ns(), instance.disk().bytes
        counted = (Reading.since(start_ns, metric, float(one)) for metric in (EXTRA, EXTRA_FIRST))
        return [*counted, *self._copy_up(instance, one)]

    def _copy_up(self, instance: Instance, before: int) -> list[Reading]:
        argv = ("dd", f"if={IMAGE_FILE}", f"of={IMAGE_FILE}", "bs=1", "count=1", "conv=notrunc,fsync")
        done = instance.exec(argv)
        if done.exit_code:
            words = (done.stderr or done.stdout).decode(errors="replace").strip()[-300:]
            raise ScenarioError(f"{' '.join(argv)}: exit status {done.exit_code}; it printed: {words}")
        added = max(0, instance.disk().bytes - before)
        duration_ns = done.end_ns - done.start_ns
        values = ((COPY_UP, float(added)), (COPY_UP_TIME, duration_ns / 1e9))
        return [
            Reading(metric=metric.name, value=value, start_ns=done.start_ns, duration_ns=duration_ns)
            for metric, value in values
        ]


def fio(place: str, rounds: int = ROUNDS) -> tuple[str, ...]:
    """Return the command line: a random, then a sequential job on the file of a place, with JSON output."""
    path = {"image": IMAGE_FILE, "layer": LAYER_FILE, "volume": VOLUME_FILE}[place]
    image = place == "image"
    size = IMAGE_MIB if image else FILE_MIB
    # Without `overwrite`, writes go to blocks that are reserved but not yet written, which costs more.
    access = ("--readonly",) if image else ("--overwrite=1",)
    return (
        *("fio", "--ioengine=psync", "--direct=1", "--thread", "--output-format=json", "--disk_util=0"),
        *("--clocksource=clock_gettime", "--randseed=99", f"--filename={path}", f"--size={size}M", *access),
        *("--name=rand", f"--bs={RAND_BLOCK}", f"--io_size={rounds * RAND_A_ROUND * RAND_BLOCK}"),
        f"--rw={'randread' if image else 'randrw'}",
        *("--name=seq", "--stonewall", f"--bs={SEQ_BLOCK}", f"--io_size={rounds * SEQ_BLOCK}"),
        f"--rw={'read' if image else 'rw'}",
    )


def actions(place: str) -> tuple[str, ...]:
    """Return what is done in a place; the image is not written to."""
    return ("read",) if place == "image" else ("read", "write")


def _slice(place: str) -> ToolSlice:
    metrics = tuple(_io_metric(kind, action, place) for kind in _KINDS for action in actions(place))

    def parse(output: Output) -> dict[str, float]:
        jobs = parsers.fio_jobs(output.text)
        return {
            f"disk.{kind}{action}.{place}": parsers.fio_rate(jobs, kind, action)
            * (SEQ_BLOCK if kind == "seq" else 1)
            for kind in _KINDS
            for action in actions(place)
        }

    return ToolSlice(
        name=f"disk.{place}",
        metrics=metrics,
        units=ROUNDS,
        command=lambda rounds: fio(place, rounds),
        parse=parse,
        # 2 % more work was never found in a disk's noise, so the positive control leaves it alone.
        scales_work=False,
        cost_s=0.65 if place == "image" else 0.85,
        every_nth_block=4,
    )


SCENARIOS: tuple[Scenario, ...] = (ExtraInstance(), *(_slice(place) for place in _PLACES))
