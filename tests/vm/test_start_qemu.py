"""Starts and ends of a real VM, which leave nothing behind."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.waiting import eventually
from vm import Harness, VmConfig, VmError, VmNetwork
from vm.leftovers import qemu_processes, sweep_root
from vm.network import point_to_point

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(900),
]

BRIDGE_ADDRESS = "10.211.250.1"
VARIANTS = [("tuned", "q35"), ("tuned", "microvm"), ("untuned", "q35"), ("untuned", "microvm")]


@pytest.mark.parametrize(("profile", "machine"), VARIANTS)
def test_every_variant_runs_a_program_from_its_first_moment_and_powers_off(harness, image, profile, machine):
    argv = ("/bin/sh", "-c", "echo ready; exec sleep 1000")
    config = VmConfig(
        image=image,
        profile=profile,
        machine=machine,
        argv=argv,
        until_output=True,
        kernel_arguments="no_timer_check",  # which fails on a busy host
    )
    with harness.start(config) as vm:
        assert vm.main.read_until(b"ready\n", 60) == b"ready\n"
        assert vm.record.first_output_ns == vm.record.ready_ns + vm.record.phase_ns("program")
        assert vm.exec(["uname", "-r"]).stdout.decode().strip() == image.kernel_version
        vm.power_off()
        assert qemu_processes(vm.name) == []
        assert not vm.files.overlay.exists()


@pytest.fixture
def undisturbed():
    """Other children are neither reaped nor killed, and there are no more threads than before."""
    ended, running, before = subprocess.Popen(["true"]), subprocess.Popen(["sleep", "600"]), threads()
    yield
    assert threads() <= before
    assert running.poll() is None
    assert os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT).si_pid == ended.pid
    running.kill()
    running.wait()
    ended.wait()


@pytest.mark.usefixtures("undisturbed")
def test_saved_state_comes_back_twice_with_its_disks_its_programs_and_our_time(harness, image, tmp_path):
    before = threads()
    vm = harness.start(VmConfig(image=image, network=point_to_point(), data_disk_mib=16))
    assert threads() <= before
    vm.exec(["/bin/sh", "-c", "echo kept > /root/a; echo kept > /volume/b; echo kept > /dev/shm/c"])
    saved = vm.save(tmp_path / "saved")
    seen = set()
    for _ in range(2):
        time.sleep(1.1)
        asked = time.time()
        with harness.restore(saved) as vm:
            assert vm.record.way == "restore"
            assert vm.exec(["cat", "/root/a", "/volume/b", "/dev/shm/c"]).stdout == b"kept\n" * 3
            assert asked < float(vm.exec(["date", "+%s.%N"]).stdout) < time.time() + 1
            seen.add(vm.exec(["cat", "/proc/sys/kernel/random/uuid"]).stdout)
            assert b"1 received" in vm.exec(["ping", "-c1", "-W5", vm.config.network.gateway]).stdout
        assert traces(vm.name, vm.files.overlay.parent) == []
    assert len(seen) == 2


def test_a_kernel_that_panics_is_reported_with_its_last_words_and_cleared(harness, image):
    config = VmConfig(image=image, kernel_arguments="nn.root=/dev/vdz rdinit=/nonesuch", timeout_s=120)
    with pytest.raises(VmError, match=r"\bconsole\b.*panic"):
        harness.start(config)
    assert harness._home.names == ()


def test_a_start_cut_by_ctrl_c_leaves_nothing(harness, image):
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            harness.start(VmConfig(image=image, network=point_to_point()))
    finally:
        signal.signal(signal.SIGALRM, before)
    assert harness._home.names == ()
    assert list(harness._home.path.glob("nv*")) == []


def interrupt(*_):
    raise KeyboardInterrupt


def threads():
    return {task.name for task in Path("/proc/self/task").iterdir()}


@pytest.fixture
def bridge():
    """A bridge of the host, and its address."""
    name = f"nvb{os.getpid() % 100000}"
    subprocess.run(["ip", "link", "add", name, "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", f"{BRIDGE_ADDRESS}/24", "dev", name], check=True)
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
        yield name
    finally:
        subprocess.run(["ip", "link", "del", name], check=True)


def test_two_harnesses_on_one_root_live_side_by_side_and_join_a_given_bridge(image, bridge):
    on_it = [VmNetwork(address=f"10.211.250.{n}/24", gateway=BRIDGE_ADDRESS, bridge=bridge) for n in (5, 6)]
    with (
        tempfile.TemporaryDirectory(prefix="nv") as root,
        Harness(Path(root), image.base.parent, "tcg") as first,
    ):
        one = first.start(VmConfig(image=image, network=on_it[0]))
        with Harness(Path(root), image.base.parent, "tcg") as second:
            two = second.start(VmConfig(image=image, network=on_it[1]))
            assert second.sweep() == []
            for guest in (one, two):
                assert b" 1 received" in guest.exec(["ping", "-c1", "-w60", BRIDGE_ADDRESS]).stdout
        assert one.exec(["true"]).exit_code == 0


def test_a_lost_driver_is_reported_and_nothing_stays(image, short_root):
    harness = Harness(short_root, image.base.parent, "tcg")
    vm = harness.start(VmConfig(image=image, network=point_to_point()))
    os.kill(harness._driver.owner.pid, signal.SIGKILL)
    with pytest.raises(VmError, match="libvirt driver"):
        harness.start(VmConfig(image=image))
    harness.close()
    assert traces(vm.name, short_root) == []
    assert list(short_root.iterdir()) == []


CHILD = """
import sys, time
from pathlib import Path
from vm import Harness, VmConfig
from vm.network import point_to_point
import msgspec
harness = Harness(Path(sys.argv[1]), Path(sys.argv[2]), "tcg")
image = harness.prepare(Path(sys.argv[3]), sys.argv[4])
data = Path(sys.argv[1]) / "elsewhere"
data.mkdir()
vm = harness.start(VmConfig(image=image, network=point_to_point(), data_disk_mib=16, data_dir=data))
print(vm.name, harness._driver.owner.pid, flush=True)
time.sleep(1000)
"""


@pytest.fixture
def killed(short_root, image, rootfs):
    """A process with a running VM, in a root of its own: (process, VM name, driver's pid)."""
    command = [sys.executable, "-c", CHILD, short_root, image.base.parent, rootfs[0], rootfs[1]]
    child = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    name, driver = child.stdout.readline().split()
    yield child, name, int(driver)
    child.kill()
    child.wait()


def test_kill_9_of_the_caller_ends_everything_by_itself(killed, short_root):
    child, name, _ = killed
    assert traces(name, short_root) != []
    child.send_signal(signal.SIGKILL)
    child.wait()
    eventually(lambda: traces(name, short_root), [])


def test_kill_9_of_caller_and_driver_is_swept_by_the_next_start(killed, short_root):
    child, name, driver = killed
    os.kill(driver, signal.SIGKILL)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert qemu_processes(name) != []
    assert any(name in removed or "/" in removed for removed in sweep_root(short_root))
    assert traces(name, short_root) == []


def traces(name: str, root: Path) -> list[str]:
    """Processes, links and files of a VM."""
    found = [f"process {pid}" for pid in qemu_processes(name)]
    found += [f"link {name}"] if Path(f"/sys/class/net/{name}").exists() else []
    below = [Path(folder) / each for folder, *names in os.walk(root) for each in (*names[0], *names[1])]
    return found + [str(path) for path in below if name in path.name and "log" not in path.parts]
