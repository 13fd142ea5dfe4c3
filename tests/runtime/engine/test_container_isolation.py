from __future__ import annotations

from pathlib import Path

import pytest

from runtime.engine import EngineError, Limits
from runtime.oci.spec import Rlimit, TimeOffset
from runtime.spawn import capabilities
from runtime.spawn.namespaces import FLAGS

pytestmark = pytest.mark.root

LINKS = {"mount": "mnt", "network": "net"}


def status(text: str) -> dict[str, str]:
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


@pytest.mark.parametrize("name", [n for n in FLAGS if n != "user"])
def test_a_namespace_is_the_containers_own(run, name):
    link = LINKS.get(name, name)
    mine = str(Path(f"/proc/self/ns/{link}").readlink())
    assert run(f"readlink /proc/self/ns/{link}", namespaces=("mount", "pid", name))[1] != mine


@pytest.mark.parametrize("name", ["uts", "ipc", "network", "cgroup", "pid", "time"])
def test_a_namespace_left_out_is_the_hosts(run, name):
    link = LINKS.get(name, name)
    mine = str(Path(f"/proc/self/ns/{link}").readlink())
    assert run(f"readlink /proc/self/ns/{link}", namespaces=("mount",))[1] == mine


def test_rights_are_dockers(run):
    found = status(run("cat /proc/self/status; true")[1])
    docker = f"{capabilities.mask(capabilities.DEFAULT):016x}"
    assert [found[f"Cap{kind}"] for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")] == [
        "0" * 16, docker, docker, docker, "0" * 16,
    ]  # fmt: skip
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "0")
    assert found["SigIgn"] == found["SigBlk"] == "0" * 16


def test_another_user_keeps_only_ambient_capabilities(run):
    options = {"user": "1000:44", "caps": ("NET_RAW", "CHOWN"), "no_new_privs": True}
    found = status(run("cat /proc/self/status", **options)[1])
    assert found["Uid"].split() == ["1000"] * 4
    assert found["CapEff"] == "0" * 16
    assert (found["Seccomp"], found["NoNewPrivs"]) == ("2", "1")
    found = status(run("cat /proc/self/status", ambient_caps=("NET_RAW",), **options)[1])
    assert int(found["CapEff"], 16) == int(found["CapAmb"], 16) == capabilities.mask(["NET_RAW"])


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs x /tmp",
        "echo x > /proc/sys/kernel/hostname",
        "touch /sys/x",
        "head -c1 /proc/interrupts | grep .",
        "ls /sys/firmware | grep .",
        "unshare -m true",
        "mknod /tmp/disk b 254 0 && head -c1 /tmp/disk",
    ],
)
def test_what_a_container_may_not_do(run, script):
    assert run(script)[0] != 0


def test_its_file_systems(run):
    code, text = run("cat /proc/mounts; ls /dev; echo x > /dev/null; hostname", hostname="box")
    mounts = {line.split()[1]: line.split()[2] for line in text.splitlines() if line.count(" ") == 5}
    assert code == 0
    assert mounts["/"] == "overlay"
    assert {p: mounts[p] for p in ("/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys")} == {
        "/dev": "tmpfs", "/dev/pts": "devpts", "/dev/shm": "tmpfs", "/dev/mqueue": "mqueue", "/sys": "sysfs",
    }  # fmt: skip
    assert text.endswith("box")
    assert {"null", "zero", "full", "random", "urandom", "tty", "fd", "ptmx"} <= set(text.split())


def test_only_its_own_processes_are_seen(run):
    assert run("echo /proc/[0-9]*")[1] == "/proc/1"


def test_limits_hold(run):
    limits = Limits(memory_max=32 << 20, swap_max=0, pids_max=20)
    assert run("head -c 200000000 /dev/zero | tail -c 100000000 | wc -c", limits=limits)[1] != "100000000"
    assert "fork" in run("for i in $(seq 40); do sleep 99 & done", limits=limits)[1]


def test_process_settings(run):
    script = "ulimit -n; umask; cat /proc/self/oom_score_adj; pwd; nproc"
    options = {
        "rlimits": (Rlimit(type="RLIMIT_NOFILE", soft=77, hard=99),),
        "umask": 0o077,
        "oom_score_adj": 300,
        "cwd": "/not/there/yet",
        "limits": Limits(cpuset_cpus="0"),
    }
    assert run(script, **options)[1].split() == ["77", "0077", "300", "/not/there/yet", "1"]


def test_clocks_and_kernel_parameters_of_its_own(run):
    options = {
        "namespaces": ("mount", "pid", "network", "ipc", "time"),
        "time_offsets": (("boottime", TimeOffset(secs=864000)),),
        "sysctl": (("net.ipv4.ip_unprivileged_port_start", "0"), ("kernel.shmmni", "77")),
    }
    script = "cut -d. -f1 /proc/uptime; cd /proc/sys; cat net/ipv4/ip_unprivileged_port_start kernel/shmmni"
    uptime, port, shared = run(script, **options)[1].split()
    assert int(uptime) >= 864000
    assert (port, shared) == ("0", "77")


def test_an_error_names_the_step_and_errno(run):
    with pytest.raises(EngineError, match=r"\(sh\): .*RLIMIT_NOFILE.* 10:5: EINVAL"):
        run("true", rlimits=(Rlimit(type="RLIMIT_NOFILE", soft=10, hard=5),))


@pytest.mark.parametrize(
    ("switch", "script", "expected"),
    [
        ({"seccomp": "unconfined"}, "grep -c '^Seccomp:\t0' /proc/self/status", "1"),
        ({"caps": None}, "grep -c '^CapEff:\t00000000a80425fb' /proc/self/status", "0"),
        ({"cgroup": False}, "true", ""),
        ({"masked_paths": ()}, "head -c1 /proc/interrupts | wc -c", "1"),
        ({"readonly_paths": ()}, "grep -c ' /proc/sys ' /proc/mounts", "0"),
    ],
)
def test_a_mechanism_can_be_switched_off(run, switch, script, expected):
    assert run(script, **switch)[1] == expected


def test_no_overlay_writes_to_the_root_itself(run, tmp_path, rootfs):
    (tmp_path / "bin").symlink_to("/elsewhere")
    assert run("true", rootfs=str(rootfs))[0] == 0
    assert run("grep -c overlay /proc/mounts", rootfs=str(rootfs))[1] == "0"


@pytest.mark.parametrize("overlay", [True, False])
def test_without_a_mount_namespace_the_root_is_a_chroot(run, rootfs, overlay):
    root = {} if overlay else {"rootfs": str(rootfs)}
    code, text = run("echo /*; cat /etc/passwd | grep -c alice", namespaces=("uts",), **root)
    assert code == 0
    assert text.split()[-1] == "1"
    assert "/home" not in text
