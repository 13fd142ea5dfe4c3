"""Finding the memory cgroup of a process; its OOM reports are tested in test_cgroup_real.py."""

from __future__ import annotations

import os

import pytest

from runtime.spawn.cgroups import Layout
from runtime.spawn.cgroups.oom import OomWatch, memory_group

_V1 = Layout(v1={"memory": "/cg/memory", "cpu": "/cg/cpu"}, v2=None)
_V2 = Layout(v1={}, v2="/cg", v2_controllers=frozenset({"memory"}))
_HYBRID = Layout(v1={"memory": "/cg/memory"}, v2="/cg/unified")


@pytest.mark.parametrize(
    ("layout", "text", "found"),
    [
        (_V1, "4:memory:/nn-1/a\n1:cpu,cpuacct:/nn-1/a\n", ("/cg/memory/nn-1/a", True)),
        (_V2, "0::/nn-1/a:b\n", ("/cg/nn-1/a:b", False)),
        (_HYBRID, "4:memory:/nn-1/a\n0::/nn-1/b\n", ("/cg/memory/nn-1/a", True)),
    ],
)
def test_the_cgroup_is_found(layout: Layout, text: str, found: tuple[str, bool]) -> None:
    assert memory_group(text, layout) == found


def test_without_a_cgroup_there_is_nothing_to_watch() -> None:
    with pytest.raises(OSError, match="No such file or directory"):
        memory_group("1:cpu:/\n", _V1)
    with pytest.raises(OSError, match="No such file"):
        OomWatch(os.getpid(), Layout(v1={}, v2="/nowhere"))
