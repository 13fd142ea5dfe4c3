"""Privileged containers, devices and their rules, sizes and propagation of mounts, kept layers."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, DeviceRule, Limits, bind, tmpfs
from runtime.engine.errors import BadParameterError, EngineError, StartFailedError
from runtime.oci.spec import Device
from runtime.spawn import capabilities

pytestmark = pytest.mark.root

ZERO = Device(path="/dev/mine", type="c", major=1, minor=5)
FUSE = Device(path="/dev/deep/er/fuse", type="c", major=10, minor=229)
WRITE_FUSE = DeviceRule(kind="c", major=10, minor=229, access="w")
READ_MISC = DeviceRule(kind="c", major=10, access="r")


def test_a_privileged_container_has_all_of_it(run):
    script = """
        grep CapEff /proc/self/status; grep Seccomp: /proc/self/status
        mount -t tmpfs none /tmp && echo mounted
        [ -w /sys/kernel ] && grep -c 'sysfs rw' /proc/mounts
        ls /dev/kmsg; head -c 1 /dev/kmsg | wc -c
        stat -c %t:%T /proc/interrupts
    """
    words = run(script, privileged=True)[1].split()
    assert int(words[1], 16) == capabilities.grantable()
    assert words[2:] == ["Seccomp:", "0", "mounted", "1", "/dev/kmsg", "1", "0:0"]


def test_a_privileged_containers_user_is_still_that_user(run):
    assert run("id -u", privileged=True, user="alice")[1] == "1000"


def test_a_privileged_cgroup_can_be_written(run):
    script = """
        d=$(find /sys/fs/cgroup -name cgroup.procs | head -n 1)
        mkdir ${d%/*}/x && rmdir ${d%/*}/x && echo ok
    """
    assert run(script, privileged=True, cgroup_view=True)[1] == "ok"


@pytest.mark.parametrize(
    ("devices", "rules", "script", "expected"),
    [
        ((ZERO,), (), "head -c 2 /dev/mine | wc -c; echo x > /dev/mine && echo written", "2 written"),
        ((FUSE,), (), "opened /dev/deep/er/fuse", "read"),
        ((FUSE,), (WRITE_FUSE,), "opened /dev/deep/er/fuse", ""),
        ((), (READ_MISC,), "mknod /f c 10 229; opened /f", "read"),
        (
            (),
            (READ_MISC,),
            "mknod /f c 10 229; (: > /f) && echo written",
            "",
        ),
        ((), (DeviceRule(kind="b", access="rwm"),), "mknod /f c 10 229; opened /f", ""),
        ((), (), "mknod /f c 10 229; opened /f", ""),
    ],
)
def test_devices_and_rules(run, devices, rules, script, expected):
    function = "exec 2> /dev/null; opened() { (: < $1) && echo read; };"
    words = run(function + script, devices=devices, limits=Limits(devices=rules))[1].split()
    assert words == expected.split()


def test_a_device_outside_of_dev_is_there_after_a_restart_too(run, rootfs, tmp_path):
    device = Device(path="/made/node", type="c", major=1, minor=5)
    for _ in range(2):
        text = run("stat -c %t:%T /made/node", devices=(device,), home=str(tmp_path / "home"))[1]
        assert text == "1:5"


def test_the_size_of_dev_shm(run):
    assert run("df -k /dev/shm | tail -n 1", shm_bytes=1 << 20)[1].split()[1] == "1024"
    assert run("df -k /dev/shm | tail -n 1")[1].split()[1] == "65536"


def test_there_is_one_dev_shm_or_none(run, tmp_path):
    count = "grep -c ' /dev/shm ' /proc/mounts"
    assert run(count, shm_bytes=0)[1] == "0"
    assert run(count, mounts=(bind(tmp_path, "/dev/shm"),))[1] == "1"
    assert run(count, mounts=(tmpfs("/dev/shm", size_bytes=4096),))[1] == "1"


def test_a_domain_name(run):
    assert run("cat /proc/sys/kernel/domainname", sysctl=(("kernel.domainname", "x.test"),))[1] == "x.test"


def test_groups_by_name(run):
    assert run("id -G", groups=("video", 7))[1] == "0 7 44"


def test_host_directories_below_sys_may_be_bound(run):
    assert run("ls /sys/fs/cgroup", mounts=(bind("/etc", "/sys/fs/cgroup", read_only=True),))[1]


# ---- the writable layer -----------------------------------------------------------------------------------


def test_a_kept_layer_is_used_again(engine, run, rootfs, tmp_path):
    home = str(tmp_path / "containers" / "x")
    layers = (str(rootfs),)
    engine.warm(ContainerConfig(layers=layers, argv=("true",)))  # the first start takes a ready root
    for number in (1, 2, 3):
        assert run("echo x >> /count; wc -l < /count", home=home)[1] == str(number)
    assert Path(home, "u/count").read_text() == "x\n" * 3
    assert Path(home, "u").stat().st_mode & 0o777 == 0o755
    assert sorted(path.name for path in Path(home).iterdir()) == ["u", "w"]


def test_a_ready_root_over_layers_that_were_replaced_is_not_used(engine, run, rootfs, tmp_path):
    layer = tmp_path / "layer"
    layer.mkdir()
    (layer / "old").touch()
    layers = (str(rootfs), str(layer))
    engine.warm(ContainerConfig(layers=layers, argv=("true",)))
    layer.rename(tmp_path / "gone")
    layer.mkdir()
    (layer / "new").touch()
    assert run("ls -d /old /new", layers=layers, home=str(tmp_path / "home"))[1].split()[-1] == "/new"
    assert "/old" not in run("ls -d /new", layers=layers, home=str(tmp_path / "home2"))[1]


def test_a_failed_start_keeps_what_was_in_the_layer(run, tmp_path):
    home = str(tmp_path / "home")
    run("echo kept > /kept", home=home)
    with pytest.raises(StartFailedError):
        run("true", home=home, env=("PATH=/nowhere",))
    assert run("cat /kept", home=home)[1] == "kept"


# ---- propagation ------------------------------------------------------------------------------------------


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that is a shared mount."""
    path = tmp_path / "shared"
    (path / "sub").mkdir(parents=True)
    subprocess.run(["mount", "--bind", path, path], check=True)
    subprocess.run(["mount", "--make-shared", path], check=True)
    yield path
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["umount", "-R", "-l", path], check=True)


@pytest.mark.parametrize(
    ("propagation", "inwards", "outwards"),
    [("rshared", True, True), ("rslave", True, False), ("rprivate", False, False), ("", False, False)],
)
def test_mounts_spread_as_asked(engine, rootfs, shared, propagation, inwards, outwards):
    options = (propagation,) if propagation else ()
    config = ContainerConfig(
        layers=(str(rootfs),),
        argv=("sleep", "1000"),
        mounts=(bind(shared, "/v", options=options),),
        privileged=True,
    )
    container = engine.create(config)
    container.start()
    try:
        subprocess.run(["mount", "-t", "tmpfs", "none", shared / "sub"], check=True)
        assert (container.exec(["grep", "-q", " /v/sub ", "/proc/mounts"]).wait() == 0) is inwards
        subprocess.run(["umount", shared / "sub"], check=True)
        assert container.exec(["mount", "-t", "tmpfs", "none", "/v/sub"]).wait() == 0
        assert (shared / "sub").is_mount() is outwards
    finally:
        container.remove()


@pytest.mark.parametrize("propagation", ["rshared", "slave"])
def test_what_the_host_does_not_share_cannot_spread(run, tmp_path, propagation):
    path = tmp_path / "private"
    path.mkdir()
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        subprocess.run(["mount", "--make-private", path], check=True)
        with pytest.raises(BadParameterError, match="but it is not a shared"):
            run("true", mounts=(bind(path, "/v", options=(propagation,)),))
    finally:
        subprocess.run(["umount", path], check=True)


def test_a_user_namespace_joins_nobody(engine, rootfs):
    first = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000")))
    with pytest.raises(EngineError, match=r"\buser namespace\b"):
        engine.create(
            ContainerConfig(layers=(str(rootfs),), argv=("true",), namespaces=("user", "mount", "ipc")),
            joined={"ipc": first},
        )
    first.remove()
