"""How long each answer takes while a container's program does its worst, for `nnd` beside `dockerd`.

    python -m tests.studies.hostile_lives [--lives thread,stuck] [--only nnd]

Each life has a daemon of each kind to itself, in turns: one container each for `stop -t 1`, `kill` and
`rm -f`, and one that runs when the daemon gets SIGTERM. A Markdown table: seconds, `!` where the command
failed, `>60` where nothing came. Needs root, /dev/fuse, gcc and dockerd.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from tests.paths import REPOSITORY
from tests.runtime.hostile_program import PROGRAM, begun, build_hostile, dead_filesystem

PATIENCE_S = 60.0
IMAGE = "hostile"
GROUP = f"nnhostile-{os.getpid()}"
COLUMNS = ("its own end", "stop -t 1", "kill", "rm -f", "daemon's end")


class Life(msgspec.Struct, frozen=True, kw_only=True):
    """What a container does. then: a command after its start, {} is the container. outside: trace or pipe."""

    name: str
    argv: tuple[str, ...]
    flags: tuple[str, ...] = ()
    then: tuple[str, ...] = ()
    outside: str = ""
    ends: bool = False


FUSE = ("--cap-add", "SYS_ADMIN", "--device", "/dev/fuse", "--tmpfs", "/own")
UNCONFINED = ("--security-opt", "seccomp=unconfined")
LIMITED = ("--pids-limit", "100", "--cpus", "0.5")
SIBLING = ("exec", "{}", PROGRAM, "sibling")
STOP, PAUSE = ("kill", "-s", "STOP", "{}"), ("pause", "{}")
WORDS = {
    "wait": "waits",
    "thread": "a thread has itself traced and dies, the program ends",
    "thread-stops": "a thread has itself traced and gets a signal",
    "leader-execs": "the program has itself traced and calls execve",
    "thread-lives": "a thread has itself traced and dies, the program goes on",
    "leader": "the program has itself traced, and would end at SIGTERM",
    "traced-at-exit": "a child traces pid 1, which stops where it would exit",
    "sibling": "an exec leaves a child to the runtime (`CLONE_PARENT`)",
    "vfork": "a vfork whose child stays",
    "ignore": "ignores all signals",
    "stopped": "is stopped (SIGSTOP)",
    "paused": "is paused",
    "zombies": "leaves zombies up to its limit",
    "bomb": "a fork bomb up to its limit",
    "pipe": "its output is held open from outside",
    "own": "waits for a file system of its own that does not answer",
    "traced": "is traced from outside, by who does not wait for it",
    "stuck": "waits for a file system of the host that does not answer",
}
LIVES = (
    *(Life(name=name, argv=(name,), ends=True) for name in ("thread", "thread-stops", "leader-execs")),
    *(Life(name=name, argv=(name,)) for name in ("wait", "thread-lives", "leader", "traced-at-exit")),
    *(Life(name=name, argv=(name,)) for name in ("vfork", "ignore")),
    Life(name="sibling", argv=("wait",), then=SIBLING),
    Life(name="stopped", argv=("wait",), then=STOP),
    Life(name="paused", argv=("wait",), then=PAUSE),
    Life(name="zombies", argv=("zombies",), flags=LIMITED),
    Life(name="bomb", argv=("bomb",), flags=LIMITED),
    Life(name="pipe", argv=("wait",), outside="pipe"),
    Life(name="own", argv=("touch-own", "/own"), flags=FUSE + UNCONFINED),
    Life(name="traced", argv=("wait",), outside="trace"),
    Life(name="stuck", argv=("touch", "/over/dead/file"), flags=("-v", "{over}:/over")),
)


class System:
    """A daemon in a directory of its own, and docker's client for it."""

    def __init__(self, name: str, base: Path) -> None:
        self.name, self.base = name, base
        self.host = f"unix://{base}/sock"
        self.environment = os.environ | {"DOCKER_HOST": self.host, "DOCKER_CONFIG": str(base / "config")}
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.base / "log").open("ab") as log:
            process = subprocess.Popen(
                self._argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=REPOSITORY
            )
        deadline = time.monotonic() + PATIENCE_S
        while self.docker("version")[1] != 0:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{self.name} does not start: {(self.base / 'log').read_text()[-2000:]}")
            time.sleep(0.1)
        return process

    def _argv(self) -> list[str]:
        if self.name == "nnd":
            own = ["--root", f"{self.base}/root", "--host", self.host]
            return [sys.executable, "-m", "runtime.api.nnd", *own]
        own = [
            "dockerd",
            f"--config-file={self.base}/daemon.json",
            f"--data-root={self.base}/data",
            "--exec-root=/run/docker",
            "--pidfile=/run/dockerd.pid",
            f"--host={self.host}",
            f"--cgroup-parent=/{GROUP}",
            "--bridge=none",
            *(f"--{name}=false" for name in ("iptables", "ip6tables", "ip-forward", "ip-masq")),
            "--userland-proxy=false",
            "--log-level=error",
        ]
        (self.base / "daemon.json").write_text("{}")
        script = 'mount -t tmpfs tmpfs /run && exec "$@"'
        alone = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return [*alone, "sh", "-c", script, "sh", *own]

    def docker(self, *words: str, stdin: bytes | None = None) -> tuple[float, int | None, str]:
        """Run docker; seconds, exit status (None: it did not end), output."""
        began = time.monotonic()
        given = {"input": stdin} if stdin is not None else {"stdin": subprocess.DEVNULL}
        try:
            done = subprocess.run(
                ["docker", *words], env=self.environment, timeout=PATIENCE_S, capture_output=True, **given
            )  # type: ignore[call-overload]
        except subprocess.TimeoutExpired:
            return PATIENCE_S, None, ""
        return time.monotonic() - began, done.returncode, (done.stdout + done.stderr).decode()

    def end(self) -> tuple[float, int | None]:
        """Tell the daemon to end; seconds, and its exit status (None: killed after the patience)."""
        began = time.monotonic()
        os.kill(self._daemon(), signal.SIGTERM)
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return PATIENCE_S, None
        return time.monotonic() - began, status

    def close(self) -> None:
        """End the daemon if it runs yet: something has failed."""
        if self.process.poll() is None:
            self.end()

    def _daemon(self) -> int:
        """The daemon's own pid: dockerd has unshare before it."""
        if self.name == "nnd":
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])


class Bench:
    """One life in one system."""

    def __init__(self, life: Life, system: System, program: Path) -> None:
        self.life, self.system, self.program = life, system, program
        self._stack = contextlib.ExitStack()

    def begin(self, name: str) -> None:
        """Bring a container so far."""
        flags = [flag.replace("{over}", str(self.system.base / "over")) for flag in self.life.flags]
        own = ("-d", "--stop-timeout", "1", "--name", name, "--network", "none", *flags)
        _, status, said = self.system.docker("run", *own, IMAGE, PROGRAM, *self.life.argv)
        if status != 0:
            raise SystemExit(f"{self.system.name}: {self.life.name} does not start: {said}")
        time.sleep(0.5)
        if self.life.then:
            self.system.docker(*(word.replace("{}", name) for word in self.life.then))
        if self.life.outside:
            pid = int(self.system.docker("inspect", "-f", "{{.State.Pid}}", name)[2])
            self._outside(pid if self.system.name == "nnd" else self._on_host(pid))

    def _on_host(self, pid: int) -> int:
        """The pid here of a process that dockerd, in a pid namespace of its own, calls `pid`."""
        for path in Path("/proc").glob("[0-9]*/status"):
            with contextlib.suppress(OSError):
                line = next(one for one in path.read_text().splitlines() if one.startswith("NSpid:"))
                here, *inner = line.split()[1:]
                if inner == [str(pid), "1"]:  # the container's pid 1
                    return int(here)
        raise SystemExit(f"no process {pid}")

    def _outside(self, pid: int) -> None:
        if self.life.outside == "trace":
            self._stack.enter_context(begun(self.program, "trace", pid))
        else:
            self._stack.callback(os.close, os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK))

    def cells(self) -> Iterator[str]:
        """Measure; a cell a column."""
        docker = self.system.docker
        if self.life.ends:
            argv = ("--network", "none", *self.life.flags, IMAGE, PROGRAM, *self.life.argv)
            took, status, _ = docker("run", "--name", "c0", *argv)
            yield f"{cell(took, None if status is None else 0)} ({status})"
            yield from ("", "", "")
        else:
            yield ""
            for name, words in (("c1", ("stop", "-t", "1")), ("c2", ("kill",)), ("c3", ("rm", "-f"))):
                self.begin(name)
                yield cell(*docker(*words, name)[:2])
                if self.life.name != "stuck":
                    docker("rm", "-f", name)
            self.begin("c4")
        yield cell(*self.system.end())

    def close(self) -> None:
        self._stack.close()


def cell(took: float, status: int | None) -> str:
    """Seconds in words."""
    if status is None:
        return f">{took:.0f}"
    return f"{took:.1f}" + ("!" if status else "")


def measure(life: Life, name: str) -> list[str]:
    """All cells of a life in one system, which leaves nothing."""
    base = Path(tempfile.mkdtemp(prefix=f"hostile-{name}-"))
    program = build_hostile(base)
    try:
        with contextlib.ExitStack() as stack:
            if life.name == "stuck":
                stack.enter_context(dead_filesystem(program, base / "over" / "dead"))
            system = System(name, base)
            stack.callback(system.close)
            system.docker("import", "-", IMAGE, stdin=image(program))
            bench = Bench(life, system, program)
            stack.callback(bench.close)
            cells = list(bench.cells())
        if life.name in ("stuck", "traced"):
            System(name, base).end()  # frees what could not be
        return cells
    finally:
        left = census(base)
        if left:
            print(f"{name} left of {life.name}: {left}", file=sys.stderr)
        shutil.rmtree(base, ignore_errors=True)


def census(base: Path) -> list[str]:
    """Mounts of a base, and cgroups of ended runs of dockerd, which are removed."""
    deadline = time.monotonic() + 10
    while True:
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(base) in line]
        groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{GROUP}/*/")]
        if not mounts + groups:
            return []
        if time.monotonic() > deadline:
            for path in groups:
                with contextlib.suppress(OSError):
                    Path(path).rmdir()
            return mounts + groups[:1]
        time.sleep(0.1)


def image(program: Path) -> bytes:
    """A tar with nothing but the program and places to mount on."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(program, PROGRAM.lstrip("/"))
        for name in ("proc", "sys", "dev", "etc", "over", "own"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
    return buffer.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", help="some, by name, with commas")
    parser.add_argument("--only", choices=("nnd", "dockerd"))
    given = parser.parse_args(argv)
    names = given.lives.split(",") if given.lives else list(WORDS)
    systems = [given.only] if given.only else ["nnd", "dockerd"]
    print(f"| what it does ({' / '.join(systems)}, s) | {' | '.join(COLUMNS)} |")
    print("| --- |" + " --- |" * len(COLUMNS))
    for life in LIVES:
        if life.name in names:
            rows = [measure(life, name) for name in systems]
            cells = [" / ".join(column) if any(column) else "" for column in zip(*rows, strict=True)]
            print(f"| {WORDS[life.name]} | {' | '.join(cells)} |", flush=True)
    for group in Path("/sys/fs/cgroup").glob(f"*/{GROUP}"):
        with contextlib.suppress(OSError):
            group.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
