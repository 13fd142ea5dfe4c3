"""`nn --local` as a user calls it: processes, on a root of their own, and what is left of them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runtime.cli.connection.private_daemon import PrivateClient
from tests.runtime.cli.nn_process import LINE, environment
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_process import Daemon, _commands, add_busybox, settled
from tests.runtime.terminals import Terminal
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")]

QUIET = ("run", "--rm", "--network", "none", "busybox")
READY = ("sh", "-c", "trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done")


class Local:
    """`nn --root ROOT`. owners: processes that may own things on the host."""

    def __init__(self, base: Path) -> None:
        self.base, self.root = base, base / "root"
        self.owners: set[int] = set()
        self.environment = environment(base)

    def line(self, *words: object) -> list[str]:
        return [*LINE, "--root", str(self.root), *map(str, words)]

    def __call__(self, *words: object, **options: object) -> subprocess.CompletedProcess[str]:
        feed = {} if "input" in options else {"stdin": subprocess.DEVNULL}
        return subprocess.run(
            self.line(*words), capture_output=True, text=True, timeout=120, env=self.environment,
            **(feed | options),  # type: ignore[call-overload]
        )  # fmt: skip

    def says(self, *words: object) -> str:
        """What it prints; it must end with 0."""
        done = self(*words)
        assert (done.returncode, done.stderr) == (0, ""), (words, done)
        return done.stdout

    def start(self, *words: object) -> subprocess.Popen[str]:
        """Start what prints `ready` once it runs."""
        process = subprocess.Popen(
            self.line(*words),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env=self.environment,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        self.owners |= set(self.pids("runtime."))
        return process

    @contextlib.contextmanager
    def daemon_kept(self) -> Iterator[None]:
        """Keep a daemon by a command that goes on, for all commands meanwhile: each would start one."""
        process = self.start("run", "--rm", "--network", "none", "busybox", *READY)
        yield
        process.terminate()
        assert process.wait(60) == 5

    def pids(self, module: str) -> list[int]:
        """Its processes that run a module."""
        return [pid for pid, command in _commands(self.root) if f"-m {module}" in command]

    def left(self) -> set[str]:
        """What is there of it, once the kernel has had its time."""
        return settled(self.root, self.owners) | {
            str(path) for path in self.root.glob("local/*") if path.name != "nnd.log"
        }


@pytest.fixture
def local() -> Iterator[Local]:
    base = Path(tempfile.mkdtemp(prefix="nn-local-"))
    made = Local(base)
    add_busybox(made.root)
    try:
        yield made
        assert not made.left()
    finally:
        for pid in made.pids("runtime."):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(base, ignore_errors=True)


def test_exit_status_is_docker_s(local: Local):
    with local.daemon_kept():
        for words, status in (
            (("/nope",), 127),
            (("/etc/passwd",), 126),
            (("sh", "-c", "kill -9 $$; exit 3"), 3),
        ):
            assert local(*QUIET, *words).returncode == status
    assert local(*QUIET, "sh", "-c", "exit 7").returncode == 7


def test_input_and_both_outputs(local: Local):
    done = local(*QUIET[:-1], "-i", "busybox", "sh", "-c", "cat; echo err >&2", input="hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello", "err\n", 0)


def test_what_a_program_can_see_of_its_limits(local: Local):
    """Where nothing was mounted there, Java, Go and others took the host's for their own."""
    files = "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"
    run = (*QUIET[:-1], "--memory", "64m", "busybox", "sh", "-c")
    assert local.says(*run, f"cat {' '.join(files)} 2>/dev/null; true") == f"{64 << 20}\n"


def test_containers_volumes_and_images_stay_for_the_next_command(local: Local):
    local.says(
        "create", "--name", "box", "-v", "data:/data", "busybox", "sh", "-c", "echo kept >> /data/f; echo out"
    )
    assert local.says("ps", "-a", "--format", "{{.Names}} {{.State}}") == "box created\n"
    assert local.says("start", "-a", "box") == "out\n"
    assert local.says("start", "-a", "box") == "out\n"
    with local.daemon_kept():
        assert local.says("logs", "box") == "out\nout\n"
        assert local.says(*QUIET[:-1], "-v", "data:/data", "busybox", "cat", "/data/f") == "kept\nkept\n"
        local.says("commit", "box", "made:1")
    with local.daemon_kept():
        names = local.says("images", "--format", "{{.Repository}}:{{.Tag}}").split()
        assert names == ["made:1", "busybox:latest"]
        assert local.says("verify", "made:1") == "unchanged: made:1\n"
        local.says("rm", "box")
        local.says("rmi", "made:1")
    assert local.says("ps", "-aq") == ""


def test_images_come_from_directories_tars_and_archives(local: Local):
    rootfs = build_rootfs(local.base / "rootfs")
    with local.daemon_kept():
        local.says("import", rootfs, "of-directory")
        tar = subprocess.run(["tar", "-C", rootfs, "-c", "."], check=True, capture_output=True).stdout
        piped = subprocess.run(
            local.line("import", "-", "of-tar"),
            input=tar,
            env=local.environment,
            capture_output=True,
            timeout=120,
        )
        assert piped.returncode == 0, piped.stderr
        local.says("save", "-o", local.base / "saved.tar", "of-tar")
        local.says("rmi", "of-tar")
        local.says("load", "-i", local.base / "saved.tar")
        for name in ("of-directory", "of-tar"):
            assert local.says(*QUIET[:-1], name, "/bin/echo", "yes") == "yes\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "-d", "busybox"), "-d: .*--local"),
        (("start", "any"), "start: .*--local.* -a or -i"),
        (("run", "--memry", "1", "busybox"), "unknown flag: --memry"),
        (("-H", "unix:///nowhere", "ps"), "--local.* -H .* -c"),
    ],
)
def test_what_cannot_be_is_refused_without_a_daemon(local: Local, words: tuple[str, ...], said: str):
    done = local(*words)
    assert done.returncode == 125 and re.match(f"nn: .*{said}", done.stderr)
    assert not (local.root / "local/nnd.log").exists()


def test_two_commands_share_a_daemon_which_ends_with_the_last(local: Local):
    first = local.start("run", "--rm", "--name", "one", "--network", "none", "busybox", *READY)
    second = local.start("run", "--rm", "--name", "two", "--network", "none", "busybox", *READY)
    (daemon,) = local.pids("runtime.api.private")
    assert local.says("ps", "--format", "{{.Names}}").split() == ["two", "one"]
    assert local.says("exec", "one", "echo", "inside") == "inside\n"
    refused = local("sweep")
    assert (refused.returncode, f"process id {daemon} uses it" in refused.stderr) == (1, True)
    local.says("stop", "one")
    assert first.wait(60) == 5
    assert local.pids("runtime.api.private") == [daemon]
    second.terminate()
    assert second.wait(60) == 5
    assert local.pids("runtime.") == []


def test_many_commands_at_once(local: Local):
    """They come while a daemon starts, while one serves and while one ends."""

    def run(number: int) -> str:
        time.sleep(number % 4 * 0.3)
        return local.says(*QUIET, "echo", number)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, range(12))) == [f"{number}\n" for number in range(12)]


def inside(local: Local) -> list[int]:
    return [int(pid) for pid in local.says("top", "box", "-o", "pid").split()[1:]]


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    "killed", [(), ("runtime.api.private",), ("runtime.engine.spawner", "runtime.api.private")]
)
def test_nothing_outlives_a_killed_command(local: Local, killed: tuple[str, ...]):
    """Whatever is killed with it: what is left ends by itself, and if nothing is, the next start frees it."""
    process = local.start("run", "--name", "box", "--network", "none", "busybox", *READY)
    pids = [*inside(local), *local.pids("runtime.")]
    victims = [pid for module in killed for pid in local.pids(module)]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # none sees another's end
        for pid in (process.pid, *victims):
            os.kill(pid, number)
    process.wait()
    if len(killed) == 2:
        assert "freed: " in local.says("sweep")
    for pid in pids:
        eventually(lambda pid=pid: gone(pid))
    assert not settled(local.root, local.owners)
    expected = "exited 137" if killed else "exited 5"
    assert local.says("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box") == f"{expected}\n"


def test_who_ignores_its_stop_signal_is_killed_after_its_grace(local: Local):
    stubborn = ("sh", "-c", "trap '' TERM HUP INT; echo ready; while :; do sleep 0.1; done")
    process = local.start("run", "--name", "box", "--stop-timeout", "1", *QUIET[2:], *stubborn)
    process.kill()
    process.wait()
    eventually(lambda: local.pids("runtime."), [])
    assert local.says("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "box") == "exited 137\n"


def test_a_closed_window_ends_the_container(local: Local):
    local.owners |= set(local.pids("runtime."))
    line = local.line("run", "-it", "--network", "none", "--name", "box", "busybox", *READY)
    terminal = Terminal(line, local.environment)
    terminal.until(b"ready")
    terminal.hang_up()
    eventually(lambda: local.pids("runtime."), [])
    assert local.says("inspect", "-f", "{{.State.Running}}", "box") == "false\n"


def test_who_leaves_in_the_middle_of_a_stream_does_not_wait_for_its_end(local: Local):
    """`nn --local run … | head -1` kept its stream, for whose reader the daemon waited for seconds."""
    client = PrivateClient(str(local.root))
    stream = client.open("GET", "/events")
    client.leave()
    assert stream.connection.sock.fileno() == -1


def test_no_policy_starts_anything(local: Local):
    """`nn --local ps` would run programs that nobody asked for."""
    local.says(
        "create", "--name", "box", "--restart", "always", "--network", "none", "busybox", "echo", "out"
    )
    assert local.says("start", "-a", "box") == "out\n"
    for _ in range(2):
        assert local.says("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "box") == "exited 0\n"


def test_a_daemon_s_containers_are_left_alone(local: Local):
    daemon = Daemon(local.base, "--live-restore", checked=False)
    daemon.start()
    nn = ("--host", daemon.host)
    subprocess.run(
        [*LINE, *nn, "run", "-d", "--name", "box", "--network", "none", "busybox", *READY],
        check=True, env=local.environment, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    held = local("ps")
    assert (held.returncode, str(daemon.pid) in held.stderr) == (125, True), held
    assert local.says("verify", "busybox") == "unchanged: busybox\n"
    daemon.terminate()
    left = local("ps")
    assert (left.returncode, "an nnd left containers running there" in left.stderr) == (125, True), left
    daemon.start()
    stopped = subprocess.run(
        [*LINE, *nn, "stop", "box"], check=True, env=local.environment, capture_output=True, text=True
    )
    assert stopped.stdout == "box\n"
    daemon.stop()
    assert local.says("inspect", "-f", "{{.State.ExitCode}}", "box") == "5\n"


def test_a_root_with_a_long_path(local: Local):
    """A socket's address has 107 bytes."""
    local.root = local.root.rename(local.base / ("long" * 50))
    assert local.says(*QUIET, "echo", "yes") == "yes\n"


@pytest.mark.parametrize("verb", ["images", "verify x", "sweep"])
def test_a_root_that_cannot_be_made(local: Local, verb: str):
    (local.base / "file").write_text("")
    line = [*LINE, "--root", str(local.base / "file/x"), *verb.split()]
    done = subprocess.run(line, capture_output=True, text=True, env=local.environment)
    assert done.returncode in (1, 125)
    assert done.stderr.startswith("nn: open ") and len(done.stderr.splitlines()) == 1


def test_a_daemon_that_cannot_start_says_why(local: Local):
    shutil.rmtree(local.root / "volumes", ignore_errors=True)
    (local.root / "volumes").write_text("")
    done = local("ps")
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1 and "volumes" in done.stderr, done.stderr


def test_one_missing_image_does_not_spare_the_others(local: Local):
    done = local("verify", "nothere", "busybox")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "unchanged: busybox\n", 1)


def test_help_and_completion_start_no_daemon(tmp_path: Path):
    for words in ("run --help", "verify --help", "completion bash", "help sweep", "-v"):
        done = subprocess.run(
            [*LINE, "--root", str(tmp_path / "root"), *words.split()],
            capture_output=True,
            env=environment(tmp_path),
        )
        assert (done.returncode, done.stderr) == (0, b""), words
    assert not (tmp_path / "root").exists()
