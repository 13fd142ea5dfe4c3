"""A real `nnd` for tests: in a root of its own, with an image `busybox`, and nothing left of it afterwards.

@pytest.mark.root
def test_something(daemon: Daemon):
    assert daemon.docker("run", "--rm", "busybox", "echo", "hi") == "hi\\n"
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from runtime.image.documents import Execution, ImageConfig
from runtime.image.store.image_store import ImageStore
from runtime.spawn.owner import Owner
from tests.paths import REPOSITORY
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_api import Api
from tests.waiting import at_last

CHECKED = "tests.runtime.checked_nnd"
BUSYBOX = "busybox:latest"


class Daemon:
    """A running daemon. root: its state; socket: where it listens; host: the same as DOCKER_HOST."""

    def __init__(self, base: Path, *flags: str, checked: bool = True) -> None:
        self.root, self.socket = base / "root", base / "nnd.sock"
        self.host = f"unix://{self.socket}"
        self.log = base / "nnd.log"
        self.violations = base / "violations"
        self.flags, self.checked = flags, checked
        self.environment = os.environ | {
            "DOCKER_HOST": self.host,
            "DOCKER_CONFIG": str(base / "docker"),
            "DOCKER_BUILDKIT": "0",
            "LC_ALL": "C.UTF-8",
        }
        self.owners: set[int] = set()
        self.ready = ""
        self._process: subprocess.Popen[str] | None = None

    @property
    def pid(self) -> int:
        """The daemon's process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def spawner_pid(self) -> int:
        """The process id of its spawner."""
        (pid,) = [pid for pid, command in _commands(self.root) if "runtime.engine.spawner" in command]
        return pid

    def start(self) -> str:
        """Start it and return the line that says it is ready."""
        program = [CHECKED, str(self.violations)] if self.checked else ["runtime.api.nnd"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *program, "--root", str(self.root), "--host", self.host, *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
                umask=0o077,  # a careful administrator's, which is none of the containers'
            )
        assert self._process.stdout is not None
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if "is ready" in line:
                self.owners |= {pid for pid, _ in _commands(self.root)}
                self.ready = line
                return line
        raise AssertionError(f"nnd did not start: {''.join(lines)}\n{self.log.read_text()[-3000:]}")

    def terminate(self, number: int = signal.SIGTERM) -> int:
        """Send it a signal and return its exit status."""
        process, self._process = self._process, None
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        assert process.stdout is not None
        process.stdout.read()
        process.stdout.close()
        return process.wait(60)

    def stop(self) -> None:
        """Stop it with all it holds, and hold it to what it promises."""
        if self._process is not None:
            status = self.terminate()
            assert status == 0, f"nnd ended with {status}:\n{self.log.read_text()[-3000:]}"
        left = settled(self.root, self.owners)
        assert not left, f"nnd left {sorted(left)}\n{self.log.read_text()[-3000:]}"
        self.conforms()

    @property
    def api(self) -> Api:
        """Its API, for what is not under test."""
        return Api(self.socket)

    def remove_containers(self) -> None:
        """Remove them all, with their anonymous volumes."""
        for container in self.api("GET", "/containers/json?all=1")[1]:
            self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def conforms(self) -> None:
        """Hold what it was asked and answered since the last call to the OpenAPI document."""
        wrong = self.violations.read_text() if self.violations.exists() else ""
        self.violations.unlink(missing_ok=True)
        assert not wrong, f"against the OpenAPI document: {wrong[:3000]}"

    def empty(self) -> None:
        """Remove all that tests left: the next ones find it as it was at its start, but for its events."""
        self.remove_containers()
        api = self.api
        for network in api("GET", "/networks?filters=%7B%22type%22:%5B%22custom%22%5D%7D")[1]:
            api("DELETE", f"/networks/{network['Id']}")
        for volume in api("GET", "/volumes")[1]["Volumes"] or ():
            api("DELETE", f"/volumes/{volume['Name']}?force=1")
        for image in api("GET", "/images/json")[1]:
            for name in {*image["RepoTags"], *image["RepoDigests"]} - {BUSYBOX}:
                api("DELETE", f"/images/{name}?force=1")
        api("POST", "/images/prune")
        api("POST", "/build/prune?all=1")
        for clients_settings in ("docker", "nn"):
            shutil.rmtree(self.root.parent / clients_settings, ignore_errors=True)
        left = {
            "containers": api("GET", "/containers/json?all=1")[1],
            "volumes": api("GET", "/volumes")[1]["Volumes"],
            "images": [one for one in api("GET", "/images/json?all=1")[1] if one["RepoTags"] != [BUSYBOX]],
        }
        assert not any(left.values()), f"cannot be removed: {left}"
        assert api("GET", f"/images/{BUSYBOX}/json")[0] == 200, f"{BUSYBOX} is gone"

    def docker(
        self, *arguments: str, stdin: str | bytes | None = None, check: bool = True, status: int = 0
    ) -> str:
        """Run the docker CLI and return its output (and what it said on stderr, where it failed)."""
        done = self.docker_run(*arguments, stdin=stdin)
        said = done.stdout.decode("utf-8", "replace")
        if check:
            assert done.returncode == status, (arguments, done.returncode, said, done.stderr.decode())
        return said if done.returncode == 0 else said + done.stderr.decode("utf-8", "replace")

    def docker_run(
        self, *arguments: str, stdin: str | bytes | None = None, timeout: float = 120
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the docker CLI to its end."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        feed = {"stdin": subprocess.DEVNULL} if data is None else {"input": data}
        return subprocess.run(
            ["docker", *arguments], capture_output=True, env=self.environment, timeout=timeout, **feed
        )

    def docker_start(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        """Start the docker CLI; standard input and outputs are pipes unless said otherwise."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen(["docker", *arguments], env=self.environment, **(pipes | options))


@contextlib.contextmanager
def running_daemon(*flags: str, checked: bool = True) -> Iterator[Daemon]:
    """A daemon with the image busybox, in a short temporary path (sockets allow 107 bytes)."""
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    daemon = Daemon(base, *flags, checked=checked)
    try:
        add_busybox(daemon.root)
        daemon.start()
        yield daemon
        daemon.stop()
    finally:
        _destroy(daemon)
        shutil.rmtree(base, ignore_errors=True)


def add_busybox(root: Path) -> None:
    """Give a daemon that does not run yet its image: a copy, which takes a tenth of making one."""
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", _images_with_busybox(), root / "images"], check=True)


@functools.cache
def _images_with_busybox() -> Path:
    base = Path(tempfile.mkdtemp(prefix="nnd-test-images-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    execution = Execution(
        cmd=["sh"], env=["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    )
    rootfs = build_rootfs(base / "rootfs")
    ImageStore(base / "images").create(BUSYBOX, [rootfs], ImageConfig(config=execution))
    return base / "images"


def settled(root: Path, owners: set[int]) -> set[str]:
    """What is left of a daemon that has ended, once the kernel has had its time."""
    left: set[str] = at_last(lambda: leftovers(root, owners), set(), every_s=0.1)
    return left


def leftovers(root: Path, owners: set[int], *, processes: bool = True) -> set[str]:
    """What is left of a root, and of those of `owners`, its daemons and spawners, that have ended."""
    return set(_leftovers(root, owners, processes))


def _leftovers(root: Path, owners: set[int], processes: bool) -> Iterator[str]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target, kind = line.split()[4], line.rpartition(" - ")[2].split()[0]
        if str(root) in line:
            yield f"mount {target}"
        if kind in ("cgroup", "cgroup2"):
            for path in Path(target).iterdir():
                if path.is_dir() and path.name.startswith("nn") and _owned(path.name, owners):
                    yield f"cgroup {path}"
    for pid, command in _commands(root) if processes else ():
        yield f"process {pid} {command}"
    for link in Path("/sys/class/net").iterdir():
        alias = _text(link / "ifalias")
        if alias and _owned(alias, owners):
            yield f"link {link.name}"
    if shutil.which("nft"):
        tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
        for line in tables.splitlines():
            if _owned(line.split()[-1], owners):
                yield f"nft table {line}"


def _owned(text: str, owners: set[int]) -> bool:
    """Whether one of `owners` that has ended owns it; a living process with its pid is another test's."""
    owner = Owner.parse(text)
    return owner is not None and owner.pid in owners and not owner.is_alive()


def _commands(root: Path) -> list[tuple[int, str]]:
    """Processes whose command line names the root, and those that live in it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        command = _text(entry / "cmdline").replace("\0", " ").strip()
        if str(root) in command and "docker " not in command:
            found.append((int(entry.name), command))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _destroy(daemon: Daemon) -> None:
    """End what a failed test left, by the ids of what we started."""
    if daemon._process is not None:
        with contextlib.suppress(Exception):
            daemon.terminate()
    for pid, _ in _commands(daemon.root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
