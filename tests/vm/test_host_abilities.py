import pytest

from vm.errors import VmUnavailableError
from vm.host_abilities import find_emulator, free_hugepages_mib, has_io_uring, tsc_khz


def test_the_tsc_rate_is_half_the_bogomips():
    assert tsc_khz("processor: 0\nbogomips\t: 5192.28\nprocessor: 1\nbogomips\t: 5192.28\n") == 2_596_140


def test_without_bogomips_the_rate_is_unknown():
    assert tsc_khz("processor: 0\n") == 0


def test_a_missing_qemu_names_the_package(monkeypatch):
    monkeypatch.setenv("PATH", "/nonesuch")
    with pytest.raises(VmUnavailableError, match=r"qemu-system-x86$"):
        find_emulator()


def test_probes_answer_without_side_effects():
    assert has_io_uring() == has_io_uring()
    assert free_hugepages_mib() >= 0
