from __future__ import annotations

from pathlib import Path

import pytest

from bench.backends.base import BenchImage, InstanceSpec, NotAvailable
from bench.backends.registry import BACKENDS

pytestmark = [pytest.mark.root, pytest.mark.qemu, pytest.mark.slow]


def test_an_untuned_vm_is_named_and_runs(state: Path, bench_image: BenchImage) -> None:
    backend = BACKENDS["vm-untuned"](state)
    found = backend.probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    assert found.name in ("vm-kvm-untuned", "vm-tcg-untuned")
    assert found.accelerator in found.name
    backend.prepare(bench_image)
    try:
        instance = backend.start(InstanceSpec(cpus=(0,), memory_max=512 << 20))
        assert instance.exec(["nproc"]).stdout == b"1\n"
        total_kib = int(instance.exec(["grep", "MemTotal", "/proc/meminfo"]).stdout.split()[1])
        assert 400 << 10 < total_kib < 512 << 10
        assert [name for name, _ in instance.record.phases][-2:] == ["kernel", "init"]
    finally:
        backend.cleanup()
