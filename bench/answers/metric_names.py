"""Metrics in a reader's words. The dotted names stay the stable ones; an unknown metric is shown as it is."""

from __future__ import annotations

import re

_WORDS = {
    "startup.first_instruction": "start to the program's first instruction",
    "startup.first_instruction.paced": "start to the first instruction, after an idle gap",
    "startup.first_byte": "start to a server's first byte",
    "cpu.integer": "integer arithmetic",
    "cpu.float": "floating point",
    "cpu.crypto": "cryptography",
    "cpu.syscall": "bare system calls",
    "cpu.page_fault": "page faults",
    "memory.bandwidth": "memory bandwidth",
    "memory.latency": "memory latency",
    "memory.per_instance": "memory of an idle instance",
    "network.throughput": "throughput at 1 Gbit/s",
    "network.throughput_10g": "throughput at 10 Gbit/s",
    "network.throughput_unshaped": "throughput, no line rate",
    "network.throughput_reverse": "throughput inwards",
    "network.throughput_streams": "throughput, several streams",
    "network.throughput_streams_reverse": "throughput inwards, several streams",
    "network.latency": "network latency",
    "network.cpu_per_gib": "CPU time per GiB sent",
    "network.cpu_per_gib_10g": "CPU time per GiB sent at 10 Gbit/s",
    "network.loopback": "loopback throughput",
    "disk.extra_instance": "disk of an extra instance",
    "disk.extra_instance.first": "disk of the first instance",
    "disk.copy_up": "disk taken by a first write to an image file",
    "disk.copy_up.time": "time of a first write to an image file",
    "disk.randread": "random reads",
    "disk.randwrite": "random writes",
    "disk.seqread": "sequential reads",
    "disk.seqwrite": "sequential writes",
    "engine.run": "a container run and removed",
    "engine.create": "a container created",
    "engine.start": "a container started",
    "engine.stop": "a container stopped",
    "engine.remove": "a container removed",
    "image.digest": "the image's digest",
    "image.pull.cold": "first pull",
    "image.pull.warm": "pull of what is there",
    "image.pull.changed": "pull of a changed layer",
    "image.push.changed": "push of a changed layer",
    "image.push.again": "push of what is there",
    "image.commit": "commit of 1 MiB",
    "image.disk_per_container": "disk of each container, of this many",
    "image.changed_files": "files of the image that changed",
    "check.same_output": "the same program's output",
    "check.clock_rate": "the clock's rate",
}
_TAILS = {
    "nat": "NAT",
    "host": "host network",
    "layer": "writable layer",
    "api": "through the API",
    "cli": "through the command line",
    "moved": "bytes moved",
}
_QUANTILE = re.compile(r"\.p(\d+(?:\.\d+)?)$")


def plain_metric(name: str) -> str:
    """The metric behind a row's name: `startup.first_byte` for the row `startup.first_byte.p99`."""
    return _QUANTILE.sub("", name)


def metric_words(name: str) -> str:
    """`CPU time per GiB sent, bridge` for `network.cpu_per_gib.bridge`; the name itself when unknown.

    >>> metric_words("startup.first_byte.p50")
    "start to a server's first byte, half of all"
    """
    base = plain_metric(name)
    tail = name[len(base) + 2 :]
    known = next((stem for stem in _stems(base) if stem in _WORDS), None)
    if known is None:
        return name
    parts = [_WORDS[known], tail_words(base[len(known) :]), _share(tail)]
    return ", ".join(part for part in parts if part)


def tail_words(rest: str) -> str:
    """The last parts of a name, a mode or a place: `NAT` for `nat`."""
    parts = [_TAILS.get(part, part.replace("_", " ")) for part in rest.split(".") if part]
    return ", ".join(parts)


def _stems(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:size]) for size in range(len(parts), 0, -1)]


def _share(quantile: str) -> str:
    return "half of all" if quantile == "50" else f"{quantile} of 100" if quantile else ""
