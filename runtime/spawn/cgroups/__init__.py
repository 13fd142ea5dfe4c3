"""Control groups, v1, v2 and hybrid, behind one small interface: CgroupManager makes a Cgroup from Limits.

Imports only the standard library and msgspec, so that a plain script can use it in a bare guest.
"""

from runtime.spawn.cgroups.group import Cgroup
from runtime.spawn.cgroups.layout import Layout, controllers_at, find_delegated, find_layout
from runtime.spawn.cgroups.limits import CgroupError, DeviceRule, IoLimit, Limits, Stats
from runtime.spawn.cgroups.manager import CgroupManager, joined_v1, sweep

__all__ = [
    "Cgroup",
    "CgroupError",
    "CgroupManager",
    "DeviceRule",
    "IoLimit",
    "Layout",
    "Limits",
    "Stats",
    "controllers_at",
    "find_delegated",
    "find_layout",
    "joined_v1",
    "sweep",
]
