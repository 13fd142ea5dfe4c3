"""The host's facts, read from a small tree that looks like /."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.host import fingerprint as facts
from bench.host.check import chosen


@pytest.fixture
def root(tmp_path):
    files = {
        "proc/cpuinfo": "processor\t: 0\nmodel name\t: Fast CPU 9000\nflags\t\t: fpu vme hypervisor\n",
        "proc/meminfo": "MemTotal:        2048 kB\n",
        "proc/self/mounts": "/dev/sda1 / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n"
        "/dev/sdb /data\\040two xfs rw 0 0\n",
        "etc/os-release": 'NAME="X"\nPRETTY_NAME="Example Linux 3"\n',
        "etc/machine-id": "0123456789abcdef\n",
        "sys/devices/system/cpu/vulnerabilities/meltdown": "Mitigation: PTI\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/class/dmi/id/sys_vendor": "Cloud\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_it_reads_what_is_there(root):
    found = facts.fingerprint(Path("/"), root)
    assert found.cpu_model == "Fast CPU 9000"
    assert found.memory_bytes == 2 << 20
    assert found.distribution == "Example Linux 3"
    assert found.mitigations == {"meltdown": "Mitigation: PTI"}
    assert found.thp == "madvise"
    assert found.virtualization == "virtual machine (Cloud)"


def test_missing_facts_are_no_error(tmp_path):
    found = facts.fingerprint(tmp_path, tmp_path)
    assert found.governor == ""
    assert found.cgroup_layout == "none"
    assert found.filesystem == "unknown"


def test_this_host_has_a_fingerprint_that_stays_the_same():
    assert facts.fingerprint(Path("/")) == facts.fingerprint(Path("/"))


def test_the_machine_id_itself_is_not_given_away(root):
    assert "0123456789abcdef" not in facts.fingerprint(Path("/"), root).machine_id


@pytest.mark.parametrize(
    ("mounts", "layout"),
    [
        ("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "v2"),
        ("cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0", "v1"),
        ("cgroup /a cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0", "hybrid"),
        ("tmpfs /tmp tmpfs rw 0 0", "none"),
    ],
)
def test_cgroup_layouts(root, mounts, layout):
    (root / "proc/self/mounts").write_text(mounts + "\n")
    assert facts.cgroup_layout(root) == layout


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/srv/x", "ext4 (/dev/sda1)"),
        ("/tmp/deep/er", "tmpfs (tmpfs)"),
        ("/tmpfoo", "ext4 (/dev/sda1)"),
        ("/data two/a", "xfs (/dev/sdb)"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount(root, path, expected):
    assert facts.filesystem(Path(path), root) == expected


def test_image_tools_come_from_the_package_database(tmp_path):
    database = tmp_path / "var/lib/dpkg/status"
    database.parent.mkdir(parents=True)
    database.write_text("Package: fio\nStatus: installed\nVersion: 3.39-1\n\nPackage: vim\nVersion: 9\n")
    assert facts.image_tools(tmp_path) == {"fio": "3.39-1"}


def test_an_image_without_a_package_database_has_no_versions(tmp_path):
    assert facts.image_tools(tmp_path) == {}


@given(st.text(alphabet="abc[] ", max_size=20))
def test_any_thp_text_gives_some_text(text):
    assert isinstance(chosen(text), str)
