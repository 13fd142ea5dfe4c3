"""crun, an OCI runtime in C, on bundles we write: `crun run --detach`, `crun exec`, `crun delete`.

It gets the image's layers as an overlay, and the same namespaces, seccomp filter, capabilities and mounts as
our own runtime. The bundle is written before the start is stamped, as a container manager would have it
ready; the overlay mount and crun's own start are measured. crun makes no networks; for bridge and nat it
joins a namespace from our runtime's pool, which is also ready before the stamp.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bench.backends.base import (
    BackendError,
    BenchImage,
    Completed,
    Footprint,
    InstanceSpec,
    NotAvailable,
    StartRecord,
)
from bench.backends.programs import launch, processes
from bench.backends.programs.environment import IDLE, environment, instance_mark
from bench.backends.programs.main_program import MainStreams
from bench.backends.programs.piped import StreamedPrograms
from bench.backends.programs.processes import HostChild
from bench.backends.programs.started import Started
from bench.backends.programs.streams import run
from bench.backends.resources import mount_namespace, networks, oci_bundle, owned
from bench.model import BackendInfo
from runtime.spawn.tape import pointers

_CGROUP_PREFIX = "nncrun-"


class CrunBackend:
    """Keeps bundles and crun's state below one directory of this process."""

    name = "crun"

    def __init__(self, root: Path) -> None:
        self._parent = root / "crun"
        self._image: BenchImage | None = None
        self._site: _Workspace | None = None
        self._started = Started()

    def probe(self) -> BackendInfo | NotAvailable:
        """Ask crun for its version."""
        program = shutil.which("crun")
        if program is None:
            return NotAvailable(
                "crun is not installed; run `nox -s setup -- --peers`, or apt-get install crun"
            )
        if os.geteuid() != 0:
            return NotAvailable("crun needs root here; run as root")
        if chroot := mount_namespace.why_unavailable():
            return NotAvailable(chroot)
        asked = subprocess.run([program, "--version"], capture_output=True, text=True)
        if asked.returncode:
            return NotAvailable(f"crun --version failed: {asked.stderr.strip()}")
        limits = []
        if mount_namespace.hybrid_unified():
            limits.append(
                "run in a mount namespace without the unified hierarchy, because it refuses hybrid cgroups"
            )
        return BackendInfo(
            name=self.name,
            kind="container",
            version=asked.stdout.splitlines()[0].removeprefix("crun version "),
            limits=tuple(limits),
            details={"start": "crun run --detach", "seccomp": "Docker's default"},
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """None: every spec can be started."""
        return None

    def prepare(self, image: BenchImage) -> None:
        """Make a directory for bundles and a mount namespace for their overlays."""
        self._sweep()
        self._image = image
        if self._site is None:
            self._site = _Workspace(owned.directory(self._parent))

    def start(self, spec: InstanceSpec) -> CrunInstance:
        """Start one container."""
        if self._site is None or self._image is None:
            raise BackendError("start crun: prepare(image) was not called")
        return self._started.add(CrunInstance(self._site, self._image.layers, spec))

    def cleanup(self) -> None:
        """Delete our containers, and those of dead processes."""
        site, self._site = self._site, None
        with contextlib.ExitStack() as stack:
            stack.callback(self._sweep)
            if site is not None:
                stack.callback(site.close)
            stack.callback(self._started.stop)

    def _sweep(self) -> None:
        for directory in owned.abandoned(self._parent):
            _Workspace(directory).close()
        networks.sweep()


class _Workspace:
    """The containers of one process: bundles, crun's state, the mount namespace of their overlays."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.namespace = mount_namespace.make()
        self.program = shutil.which("crun") or "crun"
        self._numbers = itertools.count(1)
        self._environment = pointers(environment(instance_mark()))

    def new_id(self) -> str:
        """Return a container id that names its owner, as its cgroup does."""
        return f"{_CGROUP_PREFIX}{self.directory.name}-{next(self._numbers)}"

    def launch(
        self,
        argv: Sequence[str],
        stdio: tuple[int, int, int],
        cpus: bytes,
        overlay: tuple[str, str] | None = None,
    ) -> HostChild:
        """Start crun in the mount namespace with these arguments."""
        whole = [self.program, "--cgroup-manager", "cgroupfs", "--root", str(self.state), *argv]
        return launch.start(
            self.program,
            whole,
            self._environment,
            stdio,
            cpus=cpus,
            mount_namespace=self.namespace,
            overlay=overlay,
        )

    def command(self, *argv: str) -> Completed:
        """Run a crun command to its end."""
        return run(lambda *fds: self.launch(argv, fds, launch.cpu_mask(())), ["crun", *argv], b"", 30.0)

    def unmount(self, target: Path) -> None:
        """Unmount an overlay in the namespace."""
        program = shutil.which("umount") or "/bin/umount"
        argv = [program, "--lazy", str(target)]

        def start(stdin: int, stdout: int, stderr: int) -> HostChild:
            return launch.start(
                program,
                argv,
                self._environment,
                (stdin, stdout, stderr),
                cpus=launch.cpu_mask(()),
                mount_namespace=self.namespace,
            )

        run(start, argv, b"", 30.0)

    def close(self) -> None:
        """Delete all containers, then the namespace with its mounts, then the directory. Idempotent."""
        if self.namespace >= 0:
            if self.state.is_dir():
                for entry in sorted(self.state.iterdir()):
                    self.command("delete", "--force", entry.name)
            os.close(self.namespace)
            self.namespace = -1
        _remove_cgroups(f"{self.directory.name}-*")
        owned.remove(self.directory)


class CrunInstance(StreamedPrograms):
    """One container."""

    def __init__(self, site: _Workspace, layers: tuple[Path, ...], spec: InstanceSpec) -> None:
        super().__init__()
        self._site = site
        self._id = site.new_id()
        self._bundle = site.directory / self._id
        self._cpus = launch.cpu_mask(spec.cpus)
        self._shares_network = spec.network == "host"
        self._argv = spec.argv or IDLE
        self._network: networks.Namespace | None = None
        self._exec_numbers = itertools.count(1)
        self._pid = 0
        self._streams = MainStreams(spec.until_output)
        try:
            mode = networks.bridged(spec.network)
            self._network = networks.Namespace(mode) if mode else None
            self._write_bundle(spec)
            self.record = self._start(layers)
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str | None:
        """Its address on the bridge; the host's loopback in host mode."""
        if self._network is not None:
            return self._network.address
        return "127.0.0.1" if self._shares_network else None

    def memory(self) -> Footprint:
        """Proportional set size of the processes in its pid namespace; crun itself has ended."""
        self._drain()
        return processes.pss(processes.in_pid_namespace_of(self._pid))

    def disk(self) -> Footprint:
        """Blocks on disk of the overlay's upper directory."""
        return Footprint(bytes=owned.disk_bytes(self._bundle / "upper"), method="overlay upperdir by inode")

    def _release(self, stack: contextlib.ExitStack) -> None:
        if self._network is not None:
            stack.callback(self._network.close)
        stack.callback(shutil.rmtree, self._bundle, ignore_errors=True)
        stack.callback(_remove_cgroups, self._id.removeprefix(_CGROUP_PREFIX))
        stack.callback(self._site.unmount, self._bundle / "rootfs")
        super()._release(stack)
        stack.callback(self._site.command, "delete", "--force", self._id)

    def _write_bundle(self, spec: InstanceSpec) -> None:
        for name in ("rootfs", "upper", "work"):
            (self._bundle / name).mkdir(parents=True)
        netns = f"/proc/{os.getpid()}/fd/{self._network.descriptor}" if self._network else ""
        oci_bundle.write(self._bundle, spec, self._argv, environment(instance_mark()), f"/{self._id}", netns)

    def _start(self, layers: tuple[Path, ...]) -> StartRecord:
        bundle, streams = self._bundle, self._streams
        lower = ":".join(str(layer) for layer in reversed(layers))
        options = f"lowerdir={lower},upperdir={bundle}/upper,workdir={bundle}/work"
        argv = ["run", "--detach", "--bundle", str(bundle), "--pid-file", str(bundle / "pid"), self._id]
        requested_ns = time.monotonic_ns()
        child = self._site.launch(argv, streams.descriptors, self._cpus, (str(bundle / "rootfs"), options))
        streams.program_has_them()
        first_ns = None
        what = f"{self._argv[0]} by crun"
        try:
            if streams.until_output:
                first_ns = streams.first_output(what)
        finally:
            # crun ends once the container runs; reap it even if the first byte never came.
            code = child.wait()
        ready_ns = time.monotonic_ns()
        if code:
            raise BackendError(f"start {what}: crun exited with {code}; {streams.last_words()}")
        self._pid = int((bundle / "pid").read_text())
        phases = (("crun run", ready_ns - requested_ns),)
        return StartRecord(
            requested_ns=requested_ns, ready_ns=ready_ns, first_output_ns=first_ns, phases=phases
        )

    def _exec(self, argv: Sequence[str], stdio: tuple[int, int, int]) -> HostChild:
        """Start it by `crun exec`."""
        pid_file = self._bundle / f"exec-{next(self._exec_numbers)}.pid"
        child = self._site.launch(["exec", "--pid-file", str(pid_file), self._id, *argv], stdio, self._cpus)
        child.on_kill = lambda: self._kill_inside(pid_file)
        return child

    def _kill_inside(self, pid_file: Path) -> None:
        """Kill the program itself: killing `crun exec` would leave it running."""
        try:
            pid = int(pid_file.read_text())
        except (FileNotFoundError, ValueError):
            return
        processes.kill_all(lambda: {pid} & set(processes.in_pid_namespace_of(self._pid)), f"process {pid}")


def _remove_cgroups(owner_and_number: str) -> None:
    """Kill and remove what a crashed crun left in our cgroups; those of other owners are not touched."""
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CGROUP_PREFIX}{owner_and_number}"):
        with contextlib.suppress(FileNotFoundError):
            processes.kill_all(partial(_members, group), f"cgroup {group}")
            group.rmdir()


def _members(group: Path) -> list[int]:
    try:
        return [int(pid) for pid in (group / "cgroup.procs").read_text().split()]
    except OSError:
        return []
