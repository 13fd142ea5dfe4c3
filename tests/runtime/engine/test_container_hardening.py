"""Escapes that other runtimes had to be mended for, by their advisories' numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine, EngineError, bind
from runtime.spawn.tape import Tape

pytestmark = pytest.mark.root


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    (tmp_path / "layer").mkdir()
    return tmp_path / "layer"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A host directory that must not be reached."""
    (tmp_path / "outside").mkdir()
    return tmp_path / "outside"


@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("target", ["/tmp", "tmp", "/proc/self/fd/0"])
def test_a_symlink_in_the_place_of_a_kernel_file_system_is_refused(run, rootfs, layer, name, target):
    """CVE-2019-16884, CVE-2019-19921, CVE-2023-27561, CVE-2026-41579."""
    (layer / name).symlink_to(target)
    with pytest.raises(EngineError, match=rf" /{name} .*: ELOOP"):
        run("true", layers=(str(rootfs), str(layer)))


@pytest.mark.parametrize("cwd", ["/proc/self/fd/7", "/proc/self/fd/8/..", "/proc/1/cwd", "/escape/x"])
def test_a_working_directory_outside_is_refused(run, rootfs, layer, cwd):
    """CVE-2024-21626."""
    (layer / "escape").symlink_to("/proc/self/fd/7")
    held = os.open("/", os.O_RDONLY)
    try:
        with pytest.raises(EngineError, match=r" /(proc|escape)\b.*: (ELOOP|ENOENT)"):
            run("pwd", layers=(str(rootfs), str(layer)), cwd=cwd)
    finally:
        os.close(held)


def test_nothing_but_stdio_is_inherited(run):
    """CVE-2024-21626, CVE-2016-9962."""
    held = os.open("/", os.O_RDONLY)
    os.set_inheritable(held, True)
    script = "for n in $(seq 0 60); do [ -e /proc/$$/fd/$n ] && echo $n; done; true"
    try:
        assert run(script)[1].split() == ["0", "1", "2"]
    finally:
        os.close(held)


@pytest.mark.parametrize("link", ["/{outside}", "../../../../../../{outside}", "/proc/self/fd/5"])
def test_a_mount_target_that_is_a_symlink_stays_inside(run, rootfs, layer, outside, link):
    """CVE-2021-30465, CVE-2024-45310."""
    (layer / "data").symlink_to(link.format(outside=outside.relative_to("/")))
    volume = bind("/etc", "/data/deep/er")
    try:
        run("true", layers=(str(rootfs), str(layer)), mounts=(volume,))
    except EngineError as error:
        assert "/data" in str(error)
    assert list(outside.iterdir()) == []
    assert str(outside.parent) not in Path("/proc/mounts").read_text()


def test_masks_are_the_real_null_device(run):
    """CVE-2025-31133."""
    assert run("stat -c '%t:%T' /proc/interrupts; wc -c < /proc/keys")[1].split() == ["1:3", "0"]


def test_the_hosts_mounts_cannot_be_reached(run, outside):
    """The way out of a chroot that has a directory above it."""
    (outside / "flag").touch()
    script = """
        mkdir -p /a /b; exec 3</
        chroot /a /bin/true; cd /b
        for n in 1 2 3 4 5 6 7 8 9; do cd ..; done
        ls -a; ls -a /proc/1/root/..; ls -a /proc/self/cwd/../..
    """
    text = run(script, caps=("SYS_CHROOT",))[1]
    assert "flag" not in text
    assert not set(text.split()) & {"work", "home", "boot", "lib64", "mnt"}


def test_under_the_root_there_is_an_empty_directory(run):
    """What an unmount of / uncovers is the anchor, not the host: nothing can be executed there any more."""
    text = run("umount -l /; cd /; echo [/*]; ls", caps=None, seccomp="unconfined")[1]
    assert "[/*]" in text or "[/bin" in text
    assert "/home" not in text


def test_the_engines_memory_is_out_of_a_containers_reach(engine, rootfs):
    """CVE-2019-5736: while it joins, a program is still the engine, and visible in the container."""
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000")))
    container.start()
    assert container.exec(["true"]).wait() == 0
    tape = Tape()
    tape.add("am I dumpable", "prctl", 3, 0, 0, 0, 0)
    assert tape.walk({}) == [0]
    container.remove()


def test_the_hosts_device_nodes_do_not_change(run):
    """A container's /dev/stdin leads to whatever it was given, and its root may chown that."""
    nodes = [Path("/dev", name) for name in ("null", "zero", "full", "tty", "random")]
    before = [(n.stat().st_mode, n.stat().st_uid, n.stat().st_rdev) for n in nodes]
    script = "chown 1000 /dev/* /proc/self/fd/*; chmod 600 /dev/* /proc/self/fd/*; rm -f /dev/null"
    run(script)
    with nodes[0].open("r+b", buffering=0) as null:
        run(script, stdin_fd=null.fileno())
    assert [(n.stat().st_mode, n.stat().st_uid, n.stat().st_rdev) for n in nodes] == before


def test_containers_do_not_see_each_other(engine: Engine, rootfs, run):
    other = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000")))
    other.start()
    assert run(f"kill -0 {other.pid}")[0] != 0
    other.remove()
