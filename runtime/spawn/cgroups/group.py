"""One container's cgroup: its directories in all hierarchies, handled as one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Mapping

from runtime.spawn.cgroups import files, v1, v2
from runtime.spawn.cgroups.limits import CgroupError, Limits, Stats

_PATIENCE_S = 10.0
_OPTIONAL = frozenset({"blkio.bfq.weight", "io.bfq.weight"})
"""Files of an I/O scheduler that may be missing: the weight then has no effect, and Docker drops it too."""


class Cgroup:
    """Made by CgroupManager.create(). Not thread-safe.

    container_id: also the name of its directories.
    v1_dirs: controller to directory; those of one hierarchy (cpu,cpuacct) have the same.
    join_fds: one for each v1 hierarchy. The child writes "0" to each itself: a parent that writes the child's
        pid waits for an RCU grace period, 6 ms each.
    v2_top: the mount point of the v2 tree that v2_dir is in.
    v2_fd: directory fd for clone3's CLONE_INTO_CGROUP, None without a v2 tree.
    shown: detached mounts of its directories for /sys/fs/cgroup in the container, if they were prepared.
    close_fds() may be called as soon as the child runs; remove() calls it too.
    """

    def __init__(
        self,
        container_id: str,
        v1_dirs: Mapping[str, str],
        v2_dir: str | None,
        v2_top: str | None = None,
    ) -> None:
        self.container_id = container_id
        self.v1_dirs = dict(v1_dirs)
        self.v2_dir, self.v2_top = v2_dir, v2_top
        self.join_fds: tuple[int, ...] = ()
        self.v2_fd: int | None = None
        self.shown: tuple[int, ...] = ()

    def open_fds(self) -> None:
        """Open the descriptors for joining; called once by the manager."""
        fds: list[int] = []
        try:
            fds.extend(os.open(f"{path}/tasks", os.O_WRONLY | os.O_CLOEXEC) for path in self.hierarchies)
            if self.v2_dir is not None:
                self.v2_fd = os.open(self.v2_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            for fd in fds:
                os.close(fd)
            raise CgroupError("open cgroup", str(error.filename), error.errno) from error
        self.join_fds = tuple(fds)

    def close_fds(self) -> None:
        """Close `join_fds`, `v2_fd` and `shown`. Idempotent."""
        for fd in (*self.join_fds, *self.shown):
            os.close(fd)
        if self.v2_fd is not None:
            os.close(self.v2_fd)
        self.join_fds, self.v2_fd, self.shown = (), None, ()

    @property
    def hierarchies(self) -> tuple[str, ...]:
        """The directories on v1, one for each hierarchy."""
        return tuple(dict.fromkeys(self.v1_dirs.values()))

    @property
    def dirs(self) -> tuple[str, ...]:
        """All directories of this cgroup."""
        return (*self.hierarchies, *((self.v2_dir,) if self.v2_dir else ()))

    def update(self, limits: Limits) -> None:
        """Set the limits that are not None and keep the others. CgroupError names the one that failed."""
        v2_wanted = set(limits.controllers())
        for controller, path in self.v1_dirs.items():
            self._write(path, v1.limit_writes(controller, limits))
            v2_wanted -= {controller, "io" if controller == "blkio" else controller}
        if v2_wanted and self.v2_dir is not None:
            self._write(self.v2_dir, v2.limit_writes(limits))

    def _write(self, path: str, writes: list[tuple[str, str]]) -> None:
        writes = [w for w in writes if w[0] not in _OPTIONAL or os.path.exists(f"{path}/{w[0]}")]  # noqa: PTH110
        try:
            for file, value in writes:
                files.put(f"{path}/{file}", value)
        except CgroupError:
            # v1 requires memory <= memory+swap at all times: to raise both, write them in reverse order.
            if not any("memsw" in file for file, _ in writes):
                raise
            for file, value in reversed(writes):
                files.put(f"{path}/{file}", value)

    def stats(self) -> Stats:
        """Return what has been used so far."""
        found = v2.read_stats(self.v2_dir) if self.v2_dir is not None else {}
        return Stats(**(found | v1.read_stats(self.v1_dirs)))

    def oom_kills(self) -> int | None:
        """Return the number of OOM-killed processes; None if the kernel does not count them."""
        if "memory" in self.v1_dirs:
            return files.get_table(f"{self.v1_dirs['memory']}/memory.oom_control").get("oom_kill")
        return files.get_table(f"{self.v2_dir}/memory.events").get("oom_kill")

    def procs(self) -> tuple[int, ...]:
        """Return the pids inside, also in cgroups below, as seen from this process's pid namespace."""
        # In both trees: a child that could not be cloned into the v2 cgroup is only in the v1 ones.
        trees = [path for path in (self.v2_dir, self.v1_dirs.get("pids")) if path is not None]
        trees = trees or list(self.v1_dirs.values())[:1]
        return tuple(sorted(set[int]().union(*map(files.pids_below, trees))))

    def kill(self, *, wait_s: float = _PATIENCE_S) -> None:
        """SIGKILL all processes inside and wait until they are gone (zombies count as gone).

        One write where the kernel has cgroup.kill (5.14). Otherwise repeat until none is left, frozen
        meanwhile if possible, so that a fork bomb cannot outrun it.
        """
        if not self._kill_file() or self.living():
            self._kill_one_by_one()
        deadline, pause = time.monotonic() + wait_s, 0.0005
        while self.living():
            if time.monotonic() > deadline:
                advice = f"{len(self.living())} processes are stuck in the kernel: see /proc/PID/stack"
                raise CgroupError("kill all in", self.dirs[0], advice=advice)
            time.sleep(pause)
            pause = min(2 * pause, 0.02)

    def kill_now(self) -> None:
        """SIGKILL all processes inside once, without waiting: what forks meanwhile needs another call."""
        self._kill_file()
        for pid in self.living():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if "freezer" in self.v1_dirs and self.v2_dir is None:
            self.request_frozen(False)  # on v1 a frozen process does not die

    def living(self) -> list[int]:
        """Return the pids inside that are not zombies."""
        return [pid for pid in self.procs() if pid and not _is_zombie(pid)]

    def _kill_file(self) -> bool:
        if self.v2_dir is None:
            return False
        try:
            files.put(f"{self.v2_dir}/cgroup.kill", "1")
        except CgroupError as error:
            if error.errno is None:
                raise
            return False
        return True

    def _kill_one_by_one(self) -> None:
        with contextlib.suppress(CgroupError):
            self.request_frozen(True)
        for _ in range(100):
            living = self.living()
            for pid in living:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(CgroupError):
                self.request_frozen(False)
            if not living:
                return

    def freeze(self) -> None:
        """Freeze all processes inside, and return when they are frozen."""
        self._set_frozen(True)

    def thaw(self) -> None:
        """Thaw all processes inside."""
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self.request_frozen(frozen)
        _until(*self._frozen_file(frozen))

    def request_frozen(self, frozen: bool) -> None:
        """Request the freeze (or thaw) and return before it is complete; see is_frozen()."""
        if self.v2_dir is not None:
            files.put(f"{self.v2_dir}/cgroup.freeze", "1" if frozen else "0")
        elif "freezer" in self.v1_dirs:
            files.put(f"{self.v1_dirs['freezer']}/freezer.state", "FROZEN" if frozen else "THAWED")
        else:
            raise CgroupError("freeze", self.dirs[0], advice="mount the freezer hierarchy or a cgroup2 tree")

    def is_frozen(self) -> bool:
        """Return whether all processes inside are frozen."""
        path, word = self._frozen_file(True)
        return word in (files.get(path) or "")

    def _frozen_file(self, frozen: bool) -> tuple[str, str]:
        if self.v2_dir is not None:
            return f"{self.v2_dir}/cgroup.events", f"frozen {int(frozen)}"
        return f"{self.v1_dirs['freezer']}/freezer.state", "FROZEN" if frozen else "THAWED"

    def remove(self, *, patience_s: float = 5.0) -> None:
        """Remove all directories; the processes inside must have ended (kill() them first). Idempotent.

        CgroupError if they are still busy after `patience_s`, as they are for a moment after the last
        process.
        """
        self.close_fds()
        files.remove_all(self.dirs, patience_s)


def _until(path: str, word: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while word not in (files.get(path) or ""):
        if time.monotonic() > deadline:
            raise CgroupError(f"wait for {word!r} in", path, advice="a process inside is stuck in the kernel")
        time.sleep(0.0005)


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 - hot
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat[stat.rindex(b")") + 2 :][:1] in (b"Z", b"X")
