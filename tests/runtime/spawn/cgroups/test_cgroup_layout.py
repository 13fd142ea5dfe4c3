from __future__ import annotations

import pytest

from runtime.spawn.cgroups import CgroupError, find_layout
from runtime.spawn.owner import Owner

HYBRID = """\
29 23 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw
30 29 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 29 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 29 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
33 29 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
"""


def test_hybrid_has_both_trees() -> None:
    layout = find_layout(HYBRID)
    assert layout.kind == "hybrid"
    assert layout.v1["cpu"] == layout.v1["cpuacct"] == "/sys/fs/cgroup/cpu,cpuacct"
    assert list(layout.v1) == ["cpu", "memory", "cpuacct"]


def test_pure_v2() -> None:
    layout = find_layout("30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate")
    assert layout.kind == "v2"
    assert layout.v2 == "/sys/fs/cgroup"


def test_v1_alone_and_escaped_blanks() -> None:
    layout = find_layout(r"31 29 0:28 / /a\040b/memory rw - cgroup cgroup rw,memory")
    assert (layout.kind, layout.v1["memory"]) == ("v1", "/a b/memory")


def test_the_usual_place_wins_over_a_chroots_copy() -> None:
    copy = "40 29 0:28 / /srv/root/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
    for text in (HYBRID + copy, copy + HYBRID):
        assert find_layout(text.strip()).v1["memory"] == "/sys/fs/cgroup/memory"


def test_nothing_mounted_says_how_to_mount() -> None:
    with pytest.raises(CgroupError, match=r"mount -t cgroup2"):
        find_layout("29 23 0:26 / / rw - ext4 /dev/vda rw")


def test_owner_reads_itself_back_and_knows_the_dead() -> None:
    me = Owner.current()
    assert me.is_alive()
    assert Owner.parse(f"nn_{me}".replace("-", "_")) == me
    assert not Owner(me.pid, me.start + 1, me.pid_namespace).is_alive()
    assert Owner(me.pid, me.start + 1, me.pid_namespace + 1).is_alive()  # another pid namespace: cannot know
    assert Owner.parse("someone-else") is None
