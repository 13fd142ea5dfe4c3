"""Boot times of the VM harness by variant, interleaved: `python -m tests.studies.vm_boot ROOTFS [--boots 10]
[--json]`.

Each round boots every variant once, in an order shuffled by a fixed seed, so drift of the machine hits all
alike. Times are milliseconds on the host's clock; `total` is define → hello, as the acceptance figure is
worded. A last line, apart from the boots: the same VM restored from one saved state, request → agent answers.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from vm import Harness, VmConfig, VmImage
from vm.network import point_to_point

VARIANTS: dict[str, dict[str, str]] = {
    "tuned-q35": {"profile": "tuned", "machine": "q35"},
    "tuned-microvm": {"profile": "tuned", "machine": "microvm"},
    "untuned-q35": {"profile": "untuned", "machine": "q35"},
}
Row = dict[str, float]


def boot(harness: Harness, image: VmImage, variant: str, cpus: tuple[int, ...]) -> Row:
    """One boot and one stop of a variant."""
    config = VmConfig(image=image, network=point_to_point(), cpus=cpus, **VARIANTS[variant])  # type: ignore[arg-type]
    vm = harness.start(config)
    try:
        row = {name: ns / 1e6 for name, ns in vm.record.phases}
        row["total"] = sum(row.values()) - row["prepare"]
        row["ping"] = statistics.median(ping_ms(vm) for _ in range(20))
        started = time.monotonic_ns()
        vm.exec(["/bin/true"])
        row["exec.first"] = (time.monotonic_ns() - started) / 1e6
        row["pss_mib"] = vm.pss_bytes() / 2**20
        row["overlay_kib"] = vm.overlay_bytes() / 2**10
        started = time.monotonic_ns()
    finally:
        vm.stop()
    row["stop"] = (time.monotonic_ns() - started) / 1e6
    return row


def restores(harness: Harness, image: VmImage, cpus: tuple[int, ...], path: Path, count: int) -> list[Row]:
    """Save one tuned VM, then restore and stop it `count` times."""
    vm = harness.start(VmConfig(image=image, network=point_to_point(), cpus=cpus))
    started = time.monotonic_ns()
    saved = vm.save(path)
    save_ms = (time.monotonic_ns() - started) / 1e6
    rows = []
    for _ in range(count):
        with harness.restore(saved) as vm:
            row = {name: ns / 1e6 for name, ns in vm.record.phases}
            rows.append(row | {"total": sum(row.values()), "save": save_ms})
    return rows


def ping_ms(vm) -> float:  # type: ignore[no-untyped-def]
    """One round trip to the agent."""
    sent, _, _, received = vm.client.ping()
    return (received - sent) / 1e6


def summary(rows: list[Row]) -> dict[str, Row]:
    """Median, least and greatest of each column."""
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    return {k: {"p50": statistics.median(v), "min": min(v), "max": max(v)} for k, v in columns.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rootfs", type=Path)
    parser.add_argument("--boots", type=int, default=10)
    parser.add_argument("--cache", type=Path, default=Path("/var/tmp/ninetynine-vm-cache"))
    parser.add_argument("--variants", default=",".join(VARIANTS))
    parser.add_argument("--cpus", default="", help="host CPUs to pin to, for instance 0,1")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    names = options.variants.split(",")
    cpus = tuple(int(c) for c in options.cpus.split(",") if c)
    order = random.Random(99)
    rows: dict[str, list[Row]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(prefix="nv") as root, Harness(Path(root), options.cache) as harness:
        image = harness.prepare(options.rootfs, f"sha256:micro-{options.rootfs.resolve().name}")
        for _ in range(options.boots):
            for name in order.sample(names, len(names)):
                rows[name].append(boot(harness, image, name, cpus))
        rows["restored"] = restores(harness, image, cpus, Path(root) / "saved", options.boots)
        about = {"versions": harness.version(), "accel": harness.accel, "boots": options.boots}
    results = {name: summary(found) for name, found in rows.items()}
    if options.json:
        json.dump(about | {"results": results}, sys.stdout, indent=1)
        return 0
    print(about)
    for name, table in results.items():
        print(name)
        for key, value in table.items():
            print(f"  {key:12} {value['p50']:9.2f}  ({value['min']:.2f} .. {value['max']:.2f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
