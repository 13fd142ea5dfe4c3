"""A real guest, one per module: programs, streams, system set-up, figures."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from vm import GuestError, GuestTimeoutError, VmConfig
from vm.network import point_to_point

pytestmark = [pytest.mark.qemu, pytest.mark.root, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def vm(harness, image):
    config = VmConfig(
        image=image,
        vcpus=2,
        cpus=tuple(sorted(os.sched_getaffinity(0)))[:2],
        network=point_to_point(),
        data_disk_mib=64,
    )
    with harness.start(config) as vm:
        yield vm


def sh(vm, script, **options):
    return vm.exec(["/bin/sh", "-c", script], **options)


def test_phases_cover_the_start(vm):
    assert [name for name, _ in vm.record.phases] == [
        "prepare",
        "define",
        "create",
        "firmware",
        "kernel",
        "init",
    ]
    # Where those of the kernel begin is by the guest's clock, which may be wrong on a busy host.
    taken = dict(vm.record.phases)
    assert taken.pop("firmware") + taken.pop("kernel") > 0
    assert all(ns > 0 for ns in taken.values())
    assert sum(ns for _, ns in vm.record.phases) == vm.record.ready_ns - vm.record.requested_ns


def test_output_code_and_input(vm):
    assert sh(vm, "cat; echo oops >&2; exit 3", stdin=b"given").stdout == b"given"
    done = sh(vm, "echo oops >&2; exit 3")
    assert (done.exit_code, done.stderr) == (3, b"oops\n")


def test_death_by_signal_is_128_and_the_signal(vm):
    assert sh(vm, "kill -SEGV $$").exit_code == 128 + signal.SIGSEGV


def test_a_missing_program_is_an_error(vm):
    with pytest.raises(GuestError, match=r"/nonesuch in .*: No such file or directory"):
        vm.exec(["/nonesuch"])


def test_environment_and_directory(vm):
    assert vm.exec(["pwd"], cwd="/etc").stdout == b"/etc\n"
    assert vm.exec(["env"], env={"PATH": "/bin", "A": "ä"}).stdout.decode() == "PATH=/bin\nA=ä\n"


def test_eight_megabytes_come_out_whole(vm):
    """Thirty times what the host grants at once."""
    assert vm.exec(["head", "-c", "8000000", "/dev/zero"]).stdout == bytes(8_000_000)


def test_five_megabytes_go_in_and_out_again(vm):
    data = os.urandom(5_000_000)
    assert vm.exec(["cat"], stdin=data).stdout == data


def test_a_program_that_ignores_its_input_does_not_block(vm):
    assert vm.exec(["true"], stdin=bytes(2_000_000)).exit_code == 0


def test_nobody_blocks_while_one_program_floods_and_another_never_reads(vm):
    flood, deaf = vm.open(["yes"]), vm.open(["sleep", "1000"])
    writer = threading.Thread(target=swallow, args=(deaf,), daemon=True)
    writer.start()
    try:
        assert sh(vm, "echo still here").stdout == b"still here\n"
    finally:
        flood.close()
        deaf.close()
        writer.join(10)
    assert not writer.is_alive()


def swallow(channel):
    """Write more than window and pipe hold, until the program is gone."""
    try:
        channel.write(bytes(4_000_000))
    except GuestError:
        return


def test_a_worker_answers_line_by_line(vm):
    worker = vm.open(["/bin/sh"])
    for i in range(20):
        worker.write(f"echo $(({i} * 7)) done\n".encode())
        assert worker.read_until(b"done\n", 60) == f"{i * 7} done\n".encode()
    worker.end_input()
    assert worker.wait(60) == 0
    worker.close()


def test_a_worker_can_be_signalled(vm):
    worker = vm.open(
        ["/bin/sh", "-c", "trap 'echo caught; exit 7' TERM; echo up; while :; do sleep 0.05; done"]
    )
    worker.read_until(b"up\n", 60)
    worker.kill(signal.SIGTERM)
    assert worker.read_until(b"caught\n", 60) == b"caught\n"
    assert worker.wait(60) == 7


def test_closing_a_worker_ends_its_whole_group(vm):
    worker = vm.open(["/bin/sh", "-c", "sleep 4321 & sleep 4321 & echo up; wait"])
    worker.read_until(b"up\n", 60)
    worker.close()
    assert sh(vm, "while ps -eo args | grep -q '[s]leep 4321'; do sleep 0.1; done").exit_code == 0


def test_a_hung_program_is_killed_at_its_timeout(vm):
    with pytest.raises(GuestTimeoutError, match=r"^sleep in .*\b0\.3 s"):
        vm.exec(["sleep", "1234"], timeout_s=0.3)
    assert sh(vm, "ps -eo args | grep -c '[s]leep 1234'").stdout == b"0\n"


def test_a_child_left_behind_does_not_hold_the_call_and_is_reaped(vm):
    done = sh(vm, "sleep 0.3 & echo $!")
    assert sh(vm, f"while ps -p {int(done.stdout)}; do sleep 0.1; done").exit_code == 0


def test_many_programs_at_once(vm):
    channels = [vm.open(["/bin/sh", "-c", f"sleep 0.2; echo {i}"]) for i in range(30)]
    assert [c.read_until(b"\n", 60) for c in channels] == [b"%d\n" % i for i in range(30)]
    for channel in channels:
        channel.close()


def test_more_programs_than_the_agent_has_places_for_is_refused(vm):
    channels = [vm.open(["cat"]) for _ in range(64)]
    try:
        with pytest.raises(GuestError, match="Resource temporarily unavailable"):
            vm.exec(["true"])
    finally:
        for channel in channels:
            channel.close()
    assert vm.exec(["true"]).exit_code == 0


def test_the_guest_is_a_normal_system(vm):
    said = sh(
        vm, "cat /proc/mounts; stat -c '%a %n' /tmp /dev/shm; hostname; ls -l /dev/fd /dev/stdin; nproc"
    ).stdout
    for part in (b"proc /proc", b"/sys sysfs", b"/dev/pts devpts", b"/dev/shm tmpfs", b"/volume ext4"):
        assert part in said
    assert b"1777 /tmp\n1777 /dev/shm\nninetynine\n" in said
    assert said.endswith(b"\n2\n")


def test_the_network_is_up_both_ways(vm):
    said = sh(vm, "ip -br addr; ip route; ping -c1 -W5 " + vm.config.network.gateway).stdout.decode()
    assert "127.0.0.1/8" in said
    assert vm.config.network.address in said
    assert f"default via {vm.config.network.gateway}" in said
    assert "1 received" in said


def test_the_guests_clock_runs_like_the_hosts(vm):
    before, guest, after = asked_between(vm)
    time.sleep(0.5)
    later, guest_later, last = asked_between(vm)
    assert 0.98 * (later - after) < guest_later - guest < 1.02 * (last - before)


def asked_between(vm):
    """The guest's clock, and the host's before and after it was asked."""
    before = time.monotonic_ns()
    guest, host = vm.clock_ns()
    after = time.monotonic_ns()
    assert before <= host <= after
    return before, guest, after


def test_vcpus_are_pinned_and_so_is_the_rest(vm):
    allowed = set(vm.config.cpus)
    for task in Path(f"/proc/{vm.pid}/task").iterdir():
        affinity = os.sched_getaffinity(int(task.name))
        assert affinity <= allowed
        if (task / "comm").read_text().startswith("CPU "):
            assert len(affinity) == 1


def test_memory_and_disk_are_counted_on_the_host(vm):
    assert 20 << 20 < vm.pss_bytes() < 2 << 30
    before = vm.overlay_bytes()
    sh(vm, "head -c 10000000 /dev/urandom > /tmp/big; sync")
    assert vm.overlay_bytes() - before >= 10_000_000
    grown = vm.overlay_bytes()
    sh(vm, "head -c 10000000 /dev/urandom > /volume/big; sync")
    assert vm.overlay_bytes() - grown < 5_000_000


def test_a_paused_guest_takes_no_cpu_and_goes_on(vm):
    vm.pause()
    before = cpu_ticks(vm.pid)
    late = vm.open(["echo", "on"])
    with pytest.raises(GuestTimeoutError):
        late.read_until(b"\n", 0.5)
    assert cpu_ticks(vm.pid) - before <= 5
    vm.resume()
    assert late.read_until(b"\n", 60) == b"on\n"
    late.close()


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_the_base_is_never_written(vm, image):
    assert image.base.stat().st_mtime < Path(f"/proc/{vm.pid}").stat().st_mtime
