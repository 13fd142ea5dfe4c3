"""Make, pool and sweep the cgroups of one process.

Each hierarchy gets one directory, `<prefix>-<owner>`, with a directory for each container below it, named by
the container's id so that the host's tools can find it. A killed process leaves them behind; since the name
holds the owner, a later sweep() removes them.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator

from runtime.spawn.cgroups import devices, files, v2
from runtime.spawn.cgroups.group import Cgroup
from runtime.spawn.cgroups.layout import Layout, find_layout
from runtime.spawn.cgroups.limits import CgroupError, DeviceRule, Limits
from runtime.spawn.owner import Owner

_PATIENCE_S = 3.0
_UNCONFINED = ".unconfined"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")


class CgroupManager:
    """The cgroups of this process, in any layout (see `layout`).

    pool_size: how many refill() keeps ready at most; create() of a pooled one only writes limits.
    parent: path below each mount point to work in, made if missing: for delegated trees, and for cgroups that
    share a limit. delegated: `parent` is ours, and what is above it must not be changed.
    evacuate: on v2, move processes out of `parent` if they keep it from enabling controllers.
    Raises CgroupError if a directory cannot be made (not root, read-only tree).
    """

    def __init__(
        self,
        prefix: str = "nn",
        *,
        owner: Owner | None = None,
        layout: Layout | None = None,
        pool_size: int = 0,
        parent: str = "",
        delegated: bool = False,
        evacuate: bool = False,
    ) -> None:
        self.layout = layout or find_layout()
        self.prefix = prefix
        self._parent = "/".join(part for part in parent.split("/") if part not in ("", "."))
        if ".." in self._parent.split("/"):
            raise CgroupError("make cgroups below", parent, advice="write the path without `..`")
        self._parents: list[str] = []
        self._base = f"{prefix}-{owner or Owner.current()}"
        self._leaf = f"{prefix}-evacuated" if evacuate else None
        self._pool: dict[str, Cgroup] = {}
        self._pool_size = pool_size
        self._lock = threading.RLock()
        self.joined = joined_v1(self.layout)
        if not delegated:
            self._make_parents()
        self._v1 = {name: self._root(mount) for name, mount in self.joined.items()}
        self._v2 = self._root(self.layout.v2) if self.layout.v2 else None
        # A delegated cgroup has only the controllers that were enabled for it.
        handed = files.get(f"{self._v2.rpartition('/')[0]}/cgroup.controllers") if self._v2 else None
        self._wanted = frozenset((handed or "").split()) & frozenset(v2.CONTROLLERS)
        self.controllers = frozenset("io" if c == "blkio" else c for c in self.layout.v1) | self._wanted
        self._prepare()

    def _root(self, mount: str) -> str:
        return "/".join(part for part in (mount.rstrip("/"), self._parent, self._base) if part)

    # ---- our own directories --------------------------------------------------------------------------

    def _prepare(self) -> None:
        try:
            for name, path in self._v1.items():
                self._make_v1(name, path)
            if self._v2 is not None:
                self._prepare_v2(self._v2)
        except BaseException:
            with contextlib.suppress(CgroupError):
                self.close()
            raise

    def _make_parents(self) -> None:
        """Make missing parents of our own directories, and enable controllers down to there."""
        hierarchies = self.joined | ({"": self.layout.v2} if self.layout.v2 else {})
        for name, mount in hierarchies.items():
            above, path = mount.rstrip("/"), mount.rstrip("/")
            for part in self._parent.split("/") if self._parent else ():
                above, path = path, f"{path}/{part}"
                if name == "":
                    there = frozenset((files.get(f"{above}/cgroup.controllers") or "").split())
                    v2.enable(above, there & frozenset(v2.CONTROLLERS))
                if not os.path.isdir(path):  # noqa: PTH112
                    files.make(path, exist_ok=True)
                    self._parents.append(path)
                if name == "cpuset" and not (files.get(f"{path}/cpuset.cpus") or "").strip():
                    _prepare_cpuset(path)

    def _make_v1(self, controller: str, path: str) -> None:
        files.make(path, exist_ok=True)
        if controller == "devices":
            devices.confine_v1(path)
        if controller == "cpuset":
            _prepare_cpuset(path)

    def _prepare_v2(self, base: str) -> None:
        v2.enable(base.rpartition("/")[0], self._wanted, leaf=self._leaf)
        files.make(base, exist_ok=True)
        v2.enable(base, self._wanted)
        if "devices" not in self._v1:
            devices.confine_v2(base)

    def close(self) -> None:
        """Remove the pool and our directories; cgroups from create() must be removed before.

        Controllers stay enabled above them: disabling them would silently remove the limits of cgroups beside
        ours, which may be systemd's.
        """
        while self._pool:
            self._pool.popitem()[1].remove()
        own = [*self._v1.values(), *([self._v2] if self._v2 else [])]
        files.remove_all([*own, *(path + _UNCONFINED for path in own)])
        while self._parents:
            with contextlib.suppress(OSError):  # others use it by now
                os.rmdir(self._parents.pop())  # noqa: PTH106

    # ---- containers ------------------------------------------------------------------------------------

    def create(self, container_id: str, limits: Limits | None = None) -> Cgroup:
        """Make the cgroup of a container, with `limits` set and its fds open; on failure nothing is left.

        Raises CgroupError, also for a limit whose controller this machine does not have.
        """
        limits = limits or Limits()
        if not _ID.fullmatch(container_id):
            raise CgroupError(
                "make cgroup", repr(container_id), advice="an id is letters, digits, `_`, `.` and `-`"
            )
        missing = limits.controllers() - self.controllers
        if missing:
            advice = (
                f"drop the limit, or give this kernel or unit the controllers {', '.join(sorted(missing))}"
            )
            raise CgroupError("limit", container_id, advice=advice)
        if limits.swap_max is not None and limits.memory_max is None and "memory" in self.layout.v1:
            raise CgroupError(
                "limit the swap of", container_id, advice="v1 limits memory and swap together: set memory_max"
            )
        with self._lock:
            group = self._take(container_id, limits) or self._make(container_id, limits)
        try:
            group.update(limits)
        except BaseException:
            group.remove()
            raise
        return group

    def _take(self, container_id: str, limits: Limits) -> Cgroup | None:
        """Take the pooled cgroup, unless the container has its own device rules."""
        if limits.confine_devices and not limits.devices:
            return self._pool.pop(container_id, None)
        if (
            self._v1 and container_id in self._pool
        ):  # in the way: only the devices directory would be elsewhere
            self._pool.pop(container_id).remove()
        return None

    def _make(self, container_id: str, limits: Limits) -> Cgroup:
        bases, v2_base = self._v1, self._v2
        if not limits.confine_devices or limits.devices:
            bases, v2_base = self._unconfined_bases()
        v2_dir = f"{v2_base}/{container_id}" if v2_base else None
        v1_dirs = {name: f"{base}/{container_id}" for name, base in bases.items()}
        group = Cgroup(container_id, v1_dirs, v2_dir, self.layout.v2)
        made: list[str] = []
        try:
            for path in group.dirs:
                files.make(path)
                made.append(path)
            if limits.confine_devices and limits.devices:
                self._confine(group, limits.devices)
            group.open_fds()
        except BaseException:
            for path in made:
                files.remove(path)
            raise
        return group

    def _confine(self, group: Cgroup, rules: tuple[DeviceRule, ...]) -> None:
        if "devices" in group.v1_dirs:
            devices.confine_v1(group.v1_dirs["devices"], rules)
        elif group.v2_dir is not None:
            devices.confine_v2(group.v2_dir, rules)

    def _unconfined_bases(self) -> tuple[dict[str, str], str | None]:
        """Make base directories beside ours that have no device rules, in the hierarchy that has them."""
        bases, v2_base = dict(self._v1), self._v2
        if "devices" in bases:
            mount = bases["devices"]
            bases |= {name: base + _UNCONFINED for name, base in bases.items() if base == mount}
            files.make(bases["devices"], exist_ok=True)
        elif v2_base is not None:
            v2_base += _UNCONFINED
            files.make(v2_base, exist_ok=True)
            v2.enable(v2_base, self._wanted)
        return bases, v2_base

    def refill(
        self, ids: Iterable[str], most: int | None = None, show: Callable[[Cgroup], None] | None = None
    ) -> bool:
        """Make cgroups for future containers, at most `most` in this call; call it outside the start path.

        If the pool is full, the oldest cgroups in it are removed. show: called with each new one, to make the
        mounts that its container will see. Returns whether all of `ids` are ready.
        """
        missing = [container_id for container_id in ids if container_id not in self._pool]
        for container_id in missing[:most]:
            with self._lock:
                while len(self._pool) >= self._pool_size:
                    self._pool.pop(next(iter(self._pool))).remove()
                self._get_ready(container_id, show)
        return most is None or len(missing) <= most

    def _get_ready(self, container_id: str, show: Callable[[Cgroup], None] | None) -> None:
        try:
            group = self._make(container_id, Limits())
        except CgroupError as error:
            if error.errno == errno.EEXIST:  # another thread was faster
                return
            raise
        try:
            if show is not None:
                show(group)
        except BaseException:
            group.remove()
            raise
        self._pool[container_id] = group

    # ---- leftovers -------------------------------------------------------------------------------------

    def sweep(self) -> list[str]:
        """Kill and remove what dead processes left under our prefix; return the removed directories."""
        return sweep(self.prefix, self.layout, self._parent)


def sweep(prefix: str = "nn", layout: Layout | None = None, parent: str = "") -> list[str]:
    """Kill and remove the cgroups that dead processes left under `prefix`; return the removed directories.

    They are searched for in the whole tree, as managers may have had other parents.
    """
    layout = layout or find_layout()
    mounts = [*dict.fromkeys(layout.v1.values()), *([layout.v2] if layout.v2 else [])]
    found: dict[str, list[str]] = {}
    for mount in mounts:
        top = "/".join(part for part in (mount.rstrip("/"), parent.strip("/")) if part)
        for path, owner in _owned_below(top, f"{prefix}-"):
            if not owner.is_alive():
                found.setdefault(path.removeprefix(top), []).append(path)
    for paths in found.values():
        dirs = {str(number): path for number, path in enumerate(paths)}
        in_v2 = layout.v2 is not None and paths[-1].startswith(layout.v2)
        groups = [Cgroup("sweep", dirs, None), *([Cgroup("sweep", {}, paths[-1])] if in_v2 else [])]
        # Processes stuck in the kernel are left to the next sweep.
        with contextlib.suppress(CgroupError):
            for group in groups:
                group.kill(wait_s=_PATIENCE_S)
        with contextlib.suppress(CgroupError):
            files.remove_all(paths, _PATIENCE_S)
    every = itertools.chain.from_iterable(found.values())
    return sorted(path for path in every if not os.path.isdir(path))  # noqa: PTH112


def _owned_below(top: str, prefix: str) -> Iterator[tuple[str, Owner]]:
    """Yield the directories below `top` that name an owner, who also owns what is in them."""
    for path in files.children(top):
        name = path.rpartition("/")[2]
        owner = Owner.parse(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if owner is None:
            yield from _owned_below(path, prefix)
        else:
            yield path, owner


def joined_v1(layout: Layout) -> dict[str, str]:
    """Return v1's controllers that every container joins, and their mount points.

    They are the same for all containers, so that one tape serves all; each join adds to each start. OpenJDK
    sees no limits without cpu, cpuset, memory and cpuacct. The freezer is only needed without a v2 tree.
    """
    return {name: mount for name, mount in layout.v1.items() if name != "freezer" or layout.v2 is None}


def _prepare_cpuset(path: str) -> None:
    """Copy the parent's cpuset, also for children: v1 makes an empty one, which takes no process."""
    parent = path.rpartition("/")[0]
    for file in ("cpuset.cpus", "cpuset.mems"):
        files.put(f"{path}/{file}", (files.get(f"{parent}/{file}") or "").strip())
    files.put(f"{path}/cgroup.clone_children", "1")
