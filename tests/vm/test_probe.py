import sys
from pathlib import Path

import pytest

from vm.probe import LIMIT_NS, boots, judge, usable_kvm


def test_no_device_is_not_usable(tmp_path):
    probe = usable_kvm(device=tmp_path / "kvm")
    assert (probe.usable, probe.ns_per_iteration) == (False, None)
    assert "there is no" in probe.reason


def test_the_verdict_follows_from_running_guest_code():
    probe = usable_kvm()
    assert probe.usable == (probe.ns_per_iteration is not None and probe.ns_per_iteration <= LIMIT_NS)
    assert probe.reason


def test_a_child_that_hangs_is_killed(monkeypatch, tmp_path):
    (tmp_path / "hang.py").write_text("import time; time.sleep(60)")
    (tmp_path / "kvm").touch()
    monkeypatch.setattr("vm.probe.RING0", tmp_path / "hang.py")
    probe = usable_kvm(device=tmp_path / "kvm", limit_s=0.3)
    assert probe.reason == "guest code did not come back within 0.3 s"


def test_a_child_that_dies_gives_its_last_words(monkeypatch, tmp_path):
    (tmp_path / "die.py").write_text("import sys; sys.exit('Operation not permitted')")
    monkeypatch.setattr("vm.probe.RING0", tmp_path / "die.py")
    assert usable_kvm(device=tmp_path / "die.py", limit_s=60).reason == "Operation not permitted"


@pytest.mark.parametrize(
    ("ns", "booted", "usable"),
    [
        (1.0, None, True),
        (900.0, None, False),
        (1.0, (False, "no kernel boots"), False),
        (1.0, (True, "ok"), True),
    ],
)
def test_speed_decides_and_a_boot_overrules(ns, booted, usable):
    assert judge(ns, "", booted).usable is usable


@pytest.mark.qemu
@pytest.mark.timeout(900)
def test_a_bare_kernel_is_seen_to_boot(image):
    assert boots(image.vmlinux, "tcg", 120.0) == (True, "a kernel booted under tcg")


@pytest.mark.qemu
def test_something_that_is_not_a_kernel_does_not_boot():
    booted, reason = boots(Path(sys.executable), "tcg", 120.0)
    assert not booted
    assert "no kernel boots under tcg" in reason
