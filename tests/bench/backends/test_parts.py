"""The small parts that backends share: owned directories, mounts, masks, the peers' bundle."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.backends.base import BackendError, InstanceSpec
from bench.backends.host import added_bytes
from bench.backends.programs import launch, processes
from bench.backends.programs.environment import environment, find_program, instance_mark
from bench.backends.resources import mount_namespace, mounts, oci_bundle, owned
from runtime.engine import directories
from runtime.oci.seccomp import compile_seccomp
from runtime.spawn.owner import Owner

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")


def test_a_directory_of_the_living_is_not_abandoned(tmp_path: Path) -> None:
    mine = owned.directory(tmp_path)
    dead = Owner(pid=1 << 30, start=1, pid_namespace=Owner.current().pid_namespace)
    (tmp_path / str(dead)).mkdir()
    (tmp_path / "somebody's notes").mkdir()
    assert list(owned.abandoned(tmp_path)) == [tmp_path / str(dead)]
    owned.remove(mine)
    assert not mine.exists()


@pytest.mark.root
@needs_root
def test_remove_spares_what_is_bound_below(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    tree = tmp_path / "tree"
    (tree / "volume with space").mkdir(parents=True)
    mounts.bind(precious, tree / "volume with space")
    assert mounts.below(tree) == [tree / "volume with space"]
    owned.remove(tree)
    assert not tree.exists()
    assert (precious / "file").read_text() == "kept"


@pytest.mark.root
@needs_root
def test_a_mount_that_fails_names_both_ends(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=f"tmpfs.* {tmp_path}/no: ENOENT"):
        mounts.mount("tmpfs", tmp_path / "no", "tmpfs")


def test_disk_bytes_count_an_inode_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes([1]) * (1 << 20))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    os.sync()
    assert 1 << 20 <= owned.disk_bytes(tmp_path) < 2 << 20


def test_disk_of_a_writable_layer_is_counted_alike_in_all_containers(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/hosts").write_bytes(b"1" * 5000)
    (tmp_path / "link").symlink_to("etc")
    assert owned.disk_bytes(tmp_path) == directories.disk_bytes(str(tmp_path))


def test_added_bytes_are_those_beyond_the_image(tmp_path: Path) -> None:
    for root in ("image", "copy"):
        (tmp_path / root).mkdir()
        (tmp_path / root / "rewritten").write_bytes(bytes([1]) * 8192)
    os.sync()
    (tmp_path / "copy/rewritten").write_bytes(bytes([2]) * 8192)
    (tmp_path / "copy/new").write_bytes(bytes([3]) * 65536)
    os.sync()
    assert added_bytes(tmp_path / "copy", tmp_path / "image", 0) == 65536
    assert added_bytes(tmp_path / "copy", tmp_path / "image", 1 << 62) == 0


def test_cpu_mask_is_a_cpu_set() -> None:
    mask = launch.cpu_mask((0, 9))
    assert (len(mask), mask[:2]) == (128, b"\x01\x02")
    assert launch.cpu_mask(()) == launch.cpu_mask(tuple(os.sched_getaffinity(0)))


def test_kill_all_reaches_what_is_born_meanwhile() -> None:
    script = "while :; do sleep 100 & sleep 0.01; done"
    shell = subprocess.Popen(["setsid", "sh", "-c", script])

    def find() -> list[int]:
        return [pid for pid in processes.pids() if processes.session_of(pid) == shell.pid and _alive(pid)]

    while len(find()) < 5:
        pass
    processes.kill_all(find, "the shell")
    assert find() == []
    shell.wait()


def test_kill_all_does_not_wait_for_a_zombie_to_be_reaped() -> None:
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)
    processes.kill_all(lambda: [dead.pid], "a zombie", timeout_s=0.0)
    assert not _alive(dead.pid)
    dead.wait()


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_own_pss_is_more_than_a_megabyte() -> None:
    assert processes.pss([os.getpid()]).bytes > 1 << 20
    assert processes.pss([]).bytes == 0


def test_environments_are_equally_long() -> None:
    sizes = {len("".join(environment(instance_mark()))) for _ in range(9)}
    assert len(sizes) == 1


def test_a_program_is_found_as_in_the_image(tmp_path: Path) -> None:
    (tmp_path / "usr/bin").mkdir(parents=True)
    (tmp_path / "usr/bin/tool").symlink_to("/etc/alternatives/tool")
    assert find_program(tmp_path, "tool") == "/usr/bin/tool"
    assert find_program(tmp_path, "/any/where") == "/any/where"
    with pytest.raises(BackendError, match=r"\bnothing\b"):
        find_program(tmp_path, "nothing")


def test_the_peers_bundle_is_ours_in_the_specs_terms(tmp_path: Path) -> None:
    spec = InstanceSpec(network="host", memory_max=1 << 28, volume=tmp_path)
    oci_bundle.write(tmp_path, spec, ["/bin/true"], ["A=b"], "/nn-test")
    document = json.loads((tmp_path / "config.json").read_text())
    assert document["process"]["args"] == ["/bin/true"]
    assert {space["type"] for space in document["linux"]["namespaces"]} == {
        "pid",
        "mount",
        "uts",
        "ipc",
        "cgroup",
    }
    assert document["linux"]["resources"]["memory"] == {"limit": 1 << 28}
    assert document["mounts"][-1]["source"] == str(tmp_path)
    assert "None" not in str(document)


def test_the_peers_filter_compiles_and_refuses_what_ours_does() -> None:
    profile = oci_bundle.seccomp()
    allowed = {name for rule in profile.syscalls if rule.action == "SCMP_ACT_ALLOW" for name in rule.names}
    assert {"read", "execve", "clone", "socket"} <= allowed
    assert not {"mount", "ptrace_peek", "kexec_load", "bpf", "setns"} & allowed
    assert compile_seccomp(profile)


@pytest.mark.parametrize(
    ("point", "there"), [("/", True), ("/proc", False)], ids=["a root that is a mount", "a plain chroot"]
)
def test_a_chroot_is_known_by_its_mounts(point: str, there: bool) -> None:
    line = f"36 35 98:0 / {point} rw,noatime master:1 - ext4 /dev/root rw"
    assert bool(mount_namespace.why_unavailable(line)) is not there
