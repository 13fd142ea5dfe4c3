"""The host itself: the image's files through chroot and exec, without isolation. The baseline of every ratio.

There is no namespace, cgroup, seccomp filter or capability change. Programs are started by the same tape as a
container's, so a ratio shows isolation and nothing else. They run in a copy of the image's flattened root
(equal bytes, made once per run by `prepare`), so that they do not write to the image. /proc, /sys (read-only)
and a tmpfs on /dev/shm are mounted in that copy for the whole run, because the tools expect them; the device
nodes are the image's. An instance with a volume gets its own bind mount of the copy, with the volume on
/volume: two more mounts, which bare starts do not pay for. Every network mode is the host's own network: it
is the baseline of host, bridge and nat.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from bench.backends.base import (
    BackendError,
    BenchImage,
    Footprint,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.backends.programs import launch, processes
from bench.backends.programs.environment import IDLE, environment, find_program, instance_mark
from bench.backends.programs.main_program import MainStreams
from bench.backends.programs.piped import StreamedPrograms
from bench.backends.programs.processes import HostChild
from bench.backends.programs.started import Started
from bench.backends.resources import mounts, owned
from bench.model import BackendInfo
from runtime.spawn import linux
from runtime.spawn.tape import pointers

_CLOCK_REALTIME_COARSE = 5
"""The clock of file timestamps."""


class HostBackend:
    """Starts programs in the host's copy of the image. Several in one process share that copy."""

    name = "host"

    def __init__(self, root: Path) -> None:
        self._parent = root / "host"
        self._tree: _Tree | None = None
        self._started = Started()

    def probe(self) -> BackendInfo | NotAvailable:
        """Check for root and for `cp`, which copies the image."""
        if os.geteuid() != 0:
            return NotAvailable("chroot into the bench image needs root; run as root")
        if shutil.which("cp") is None:
            return NotAvailable(f"no `cp` on PATH ({os.environ.get('PATH', '')}); correct PATH")
        return BackendInfo(
            name=self.name,
            kind="host",
            version=f"Linux {os.uname().release}",
            details={"start": "chroot + exec"},
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """A plain process has no limits."""
        return "the host cannot limit the memory of one program" if spec.memory_max else None

    def prepare(self, image: BenchImage) -> None:
        """Copy the image's root once per process and mount /proc, /sys and /dev/shm in it."""
        owned.sweep(self._parent)
        if self._tree is None:
            self._tree = _Tree.shared(owned.directory(self._parent), image)
            self._tree.users.add(self)

    def start(self, spec: InstanceSpec) -> HostInstance:
        """Start one instance: a session of processes whose root is the copy."""
        if self._tree is None:
            raise BackendError("start on host: prepare(image) was not called")
        if reason := self.unsupported(spec):
            raise BackendError(f"start on host: {reason}")
        return self._started.add(HostInstance(self._tree, spec))

    def cleanup(self) -> None:
        """Stop our instances, delete the copy unless another backend uses it, and sweep those of dead
        processes."""
        tree, self._tree = self._tree, None
        with contextlib.ExitStack() as stack:
            stack.callback(owned.sweep, self._parent)
            if tree is not None:
                stack.callback(tree.release, self)
            stack.callback(self._started.stop)


class _Tree:
    """The host's copy of the image, shared by the host backends of one process."""

    _all: dict[Path, _Tree] = {}  # noqa: RUF012 - one registry per process is the point

    def __init__(self, directory: Path, image: Path) -> None:
        self.directory = directory
        self.image = image
        self.root = directory / "root"
        self.users: set[object] = set()
        self.numbers = itertools.count()

    @classmethod
    def shared(cls, directory: Path, image: BenchImage) -> _Tree:
        """Return the copy at `directory`; make it if this process has none yet."""
        if directory not in cls._all:
            tree = cls(directory, image.rootfs)
            try:
                tree._copy()
                mount_system(tree.root)
            except BaseException:
                owned.remove(directory)
                raise
            cls._all[directory] = tree
        return cls._all[directory]

    def release(self, user: object) -> None:
        """Remove `user`; with the last one, delete the copy."""
        self.users.discard(user)
        if not self.users:
            self._all.pop(self.directory, None)
            owned.remove(self.directory)

    def _copy(self) -> None:
        owned.remove(self.root)
        copied = subprocess.run(
            ["cp", "-a", "--one-file-system", "--reflink=auto", str(self.image), str(self.root)],
            capture_output=True,
            text=True,
            preexec_fn=processes.die_with_parent,
        )
        if copied.returncode:
            raise BackendError(
                f"copy the image to {self.root}: {copied.stderr.strip()}; it needs 250 MB of disk"
            )

    def own_root(self, volume: Path) -> Path:
        """Mount the copy once more, with `volume` on its /volume, and return the mount point."""
        root = self.directory / f"mount-{next(self.numbers)}"
        root.mkdir()
        try:
            mounts.bind(self.root, root)
            mount_system(root)
            mounts.bind(volume, root / "volume")
        except BaseException:
            owned.remove_mount(root)
            raise
        return root


def mount_system(root: Path) -> None:
    """Mount /proc, a read-only /sys and a tmpfs on /dev/shm below `root`."""
    safe = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    mounts.mount("proc", root / "proc", "proc", safe)
    mounts.mount("sysfs", root / "sys", "sysfs", safe | linux.MS_RDONLY)
    mounts.mount("tmpfs", root / "dev/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777,size=64m")


class HostInstance(StreamedPrograms):
    """Processes whose root is the copy, marked by an environment variable."""

    def __init__(self, tree: _Tree, spec: InstanceSpec) -> None:
        super().__init__()
        self._tree = tree
        self._mark = instance_mark()
        self._environment = pointers(environment(self._mark))
        self._cpus = launch.cpu_mask(spec.cpus)
        self._networked = spec.network != "none"
        self._root = tree.own_root(spec.volume) if spec.volume else tree.root
        self._own_root = bool(spec.volume)
        self._sessions: set[int] = set()
        self._main: HostChild | None = None
        self._streams = MainStreams(spec.until_output)
        self._since_ns = time.clock_gettime_ns(_CLOCK_REALTIME_COARSE)
        try:
            self.record = self._start(spec.argv or IDLE)
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str | None:
        """The host's own loopback address: a server of this arm listens on the host's network."""
        return "127.0.0.1" if self._networked else None

    def memory(self) -> Footprint:
        """Proportional set size of all processes of this instance."""
        self._drain()
        return processes.pss(self._members())

    def disk(self) -> Footprint:
        """Blocks of files created or grown in the copy since the start, less the image's."""
        added = added_bytes(self._tree.root, self._tree.image, self._since_ns)
        return Footprint(bytes=added, method="blocks of files made or grown since the start")

    def _release(self, stack: contextlib.ExitStack) -> None:
        if self._own_root:
            stack.callback(owned.remove_mount, self._root)
        super()._release(stack)
        stack.callback(self._end)

    def _end(self) -> None:
        """Kill all processes, and the main one also if Ctrl-C comes in the middle: it is waited for."""
        try:
            processes.kill_all(self._members, "host instance")
        finally:
            if self._main is not None:
                self._main.kill_and_wait()

    def _start(self, argv: Sequence[str]) -> StartRecord:
        requested_ns = time.monotonic_ns()
        self._main = self._exec(argv, self._streams.descriptors)
        ready_ns = time.monotonic_ns()
        self._streams.program_has_them()
        return self._record(
            requested_ns, ready_ns, [("spawn", ready_ns - requested_ns)], f"{argv[0]} on host"
        )

    def _exec(self, argv: Sequence[str], stdio: tuple[int, int, int]) -> HostChild:
        child = launch.start(
            find_program(self._root, argv[0]),
            argv,
            self._environment,
            stdio,
            cpus=self._cpus,
            root=str(self._root),
        )
        self._sessions.add(child.pid)
        child.on_kill = lambda: self._kill_session(child.pid)
        return child

    def _kill_session(self, session: int) -> None:
        def find() -> list[int]:
            return [pid for pid in processes.rooted_below(self._root) if processes.session_of(pid) == session]

        processes.kill_all(find, f"session {session}")

    def _members(self) -> list[int]:
        """Return our processes: by root, then by session, mark or parent (a daemon leaves its session)."""
        rooted = processes.rooted_below(self._root)
        if self._own_root:
            return list(rooted)
        mark = self._mark.encode()
        ours = {
            pid
            for pid in rooted
            if processes.session_of(pid) in self._sessions or processes.has_variable(pid, mark)
        }
        while more := {pid for pid in rooted if pid not in ours and processes.parent_of(pid) in ours}:
            ours |= more
        return sorted(ours)


def added_bytes(root: Path, image: Path, since_ns: int) -> int:
    """Return the bytes of blocks by which files below `root`, changed since `since_ns` (epoch), exceed
    `image`'s.

    A file rewritten in place costs the host nothing; a new one costs its blocks, one that grew the
    difference. Other file systems mounted below are not counted.
    """
    device = root.stat().st_dev
    added: dict[int, int] = {}
    for directory, names, files in os.walk(root):
        twin = image / Path(directory).relative_to(root)
        names[:] = [name for name in names if Path(directory, name).lstat().st_dev == device]
        for name in (*names, *files):
            with contextlib.suppress(FileNotFoundError):
                info = Path(directory, name).lstat()
                if info.st_ctime_ns >= since_ns:
                    added[info.st_ino] = max(0, info.st_blocks - _blocks(twin / name)) * 512
    return sum(added.values())


def _blocks(path: Path) -> int:
    try:
        return path.lstat().st_blocks
    except OSError:
        return 0
