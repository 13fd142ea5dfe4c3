"""The harness's logic on libvirt's in-process test driver with a fake guest: no QEMU, no root."""

import re

import pytest

from tests.vm.vm_builders import image
from vm import GuestError, GuestTimeoutError, VmConfig, VmError
from vm.leftovers import Ledger, read_ledger
from vm.testing import FakeGuest


@pytest.fixture
def config(tmp_path):
    (tmp_path / "base.qcow2").write_bytes(b"empty overlay")
    return VmConfig(image=image(tmp_path), timeout_s=5)


def files_of(root):
    return sorted(p.name for p in root.rglob("nv*"))


def test_phases_are_in_order_and_add_up_to_the_whole(fake, config):
    vm = fake[0].start(config)
    names = [name for name, _ in vm.record.phases]
    assert names == ["prepare", "define", "create", "firmware", "kernel", "init"]
    assert sum(ns for _, ns in vm.record.phases) == vm.record.ready_ns - vm.record.requested_ns
    assert vm.record.first_output_ns is None


def test_the_program_is_sent_before_hello_and_its_first_byte_stamped(fake, config):
    vm = fake[0].start(replace(config, argv=("echo",), until_output=True))
    assert vm.record.first_output_ns == vm.record.ready_ns + vm.record.phase_ns("program")
    assert vm.main.read(5) == b"hello"


def test_exec_gives_code_output_and_stamps(fake, config):
    with fake[0].start(config) as vm:
        done = vm.exec(["echo"])
    assert (done.exit_code, done.stdout) == (0, b"hello")
    assert done.start_ns < done.end_ns


def test_read_until_keeps_what_follows_the_marker(fake, config):
    harness, guest = fake
    with harness.start(config) as vm:
        channel = vm.open(["cat"])
        vm.clock_ns()  # the guest has handled the spawn
        guest.spawned[1].say(b"one;two;th")
        assert channel.read_until(b";", 5) == b"one;"
        assert channel.read_until(b";", 5) == b"two;"
        with pytest.raises(GuestTimeoutError):
            channel.read_until(b";", 0.05)
        guest.spawned[1].say(b"ree;")
        assert channel.read_until(b";", 5) == b"three;"


def test_a_channel_whose_program_ended_says_so(fake, config):
    with fake[0].start(config) as vm, pytest.raises(GuestError, match="b'hello'"):
        vm.open(["echo"]).read_until(b"\n", 5)


def test_stop_leaves_no_file_and_may_be_repeated(fake, config, short_root):
    vm = fake[0].start(config)
    assert vm.overlay_bytes() > 0
    vm.stop()
    vm.stop()
    assert files_of(short_root) == []


def test_ctrl_c_while_a_guest_is_recorded_leaves_no_record(fake, config, monkeypatch):
    fake[0].version()
    written = Ledger.write

    def interrupted(self, home):
        written(self, home)
        if self.names:
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(Ledger, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fake[0].start(config)
    assert fake[0]._home.names == ()


def test_a_guest_without_hello_is_taken_down(fake, config, short_root):
    fake[0]._connect = FakeGuest(hello=False).connect
    with pytest.raises(GuestTimeoutError, match=r"\b0\.1 s"):
        fake[0].start(replace(config, timeout_s=0.1))
    assert files_of(short_root) == []
    assert fake[0]._home.names == ()


def test_two_vms_live_at_once_and_close_ends_both(fake, config, short_root):
    first, second = fake[0].start(config), fake[0].start(config)
    assert first.name != second.name
    fake[0].close()
    assert list(short_root.iterdir()) == []


def test_a_missing_overlay_is_an_error_that_names_it(fake, config, short_root):
    (config.image.overlay).unlink()
    with pytest.raises(VmError, match=re.escape(str(config.image.overlay))):
        fake[0].start(config)
    assert files_of(short_root) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [({"until_output": True}, r"\bargv\b"), ({"data_disk_mib": 1, "data_dir": "/nonesuch"}, "/nonesuch")],
)
def test_impossible_configurations_are_refused_before_anything_is_made(
    fake, config, change, message, short_root
):
    from pathlib import Path

    change = {k: Path(v) if k == "data_dir" else v for k, v in change.items()}
    with pytest.raises(VmError, match=message):
        fake[0].start(replace(config, **change))
    assert files_of(short_root) == []


def test_save_and_restore_bring_the_disk_back(fake, config, tmp_path):
    harness, _ = fake
    vm = harness.start(config)
    vm.files.overlay.write_bytes(b"written by the guest")
    saved = vm.save(tmp_path / "saved")
    for _ in range(2):
        vm = harness.restore(saved)
        assert vm.files.overlay.read_bytes() == b"written by the guest"
        assert vm.record.way == "restore"
        assert [name for name, _ in vm.record.phases] == ["prepare", "create", "resume"]
        vm.stop()


def test_a_saved_vm_is_restored_one_at_a_time(fake, config, tmp_path):
    saved = fake[0].start(config).save(tmp_path / "saved")
    vm = fake[0].restore(saved)
    with pytest.raises(VmError, match=f"{saved.path}: {saved.name} "):
        fake[0].restore(saved)
    assert vm.exec(["echo"]).stdout == b"hello"


def test_every_vm_is_in_the_ledger_while_it_lives(fake, config, short_root):
    vm = fake[0].start(config)
    (home,) = short_root.iterdir()
    assert read_ledger(home).names == [vm.name]
    vm.stop()
    assert read_ledger(home).names == []


def replace(config: VmConfig, **changes) -> VmConfig:
    import msgspec

    return msgspec.structs.replace(config, **changes)
