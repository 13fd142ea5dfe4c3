"""No container can hold up its client, its kill, its removal, or the daemon's end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon, running_daemon, settled
from tests.runtime.hostile_program import PROGRAM, STATUS, build_hostile, dead_filesystem
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.own_daemon]

_BOUND_S = 60
_PYTHON = (
    "import ctypes, threading; t = threading.Thread(target=lambda: ctypes.CDLL(None).ptrace(0, 0, 0, 0));"
    "t.start(); t.join(); print('end')"
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_hostile(tmp_path_factory.mktemp("hostile"))


@pytest.fixture
def mount(program: Path) -> tuple[str, ...]:
    """Flags that put the program into a container."""
    return ("-v", f"{program}:{PROGRAM}:ro")


@pytest.fixture
def victim() -> Iterator[Daemon]:
    """A daemon for one test, which must leave nothing."""
    with running_daemon() as daemon:
        yield daemon


def test_python_may_have_a_thread_traced(client: Client):
    there = [path for path in ("/usr", "/lib", "/lib64") if Path(path).exists()]
    host = [word for path in there for word in ("-v", f"{path}:{path}:ro")]
    assert client("run", "--rm", *host, "busybox", "/usr/bin/python3", "-c", _PYTHON) == "end\n"


@pytest.mark.parametrize("init", [(), ("--init",)])
@pytest.mark.parametrize("life", ["thread", "thread-stops", "leader-execs"])
def test_a_client_sees_the_end(client: Client, mount, life, init):
    assert client("run", "--rm", *init, *mount, "busybox", PROGRAM, life, status=STATUS) == "on\n"


@pytest.mark.parametrize("life", ["thread-lives", "leader", "traced-at-exit"])
def test_stop_kill_and_rm_are_answered(client: Client, mount, life):
    for words in (("stop", "-t", "1"), ("kill",), ("rm", "-f")):
        name = client("run", "-d", *mount, "busybox", PROGRAM, life).strip()
        eventually(lambda name=name: client("logs", name), "on\n")
        client(*words, name)
        assert client("ps", "-q") == ""


def test_a_daemon_ends_beside_all_of_them(victim: Daemon, mount):
    for life in ("thread-lives", "leader", "traced-at-exit", "vfork", "ignore"):
        victim.docker("run", "-d", "--stop-timeout", "1", *mount, "busybox", PROGRAM, life)
    victim.docker("run", "-d", "--name", "wide", "--stop-timeout", "1", *mount, "busybox", PROGRAM, "wait")
    for life in ("sibling", "thread", "leader-execs"):
        victim.docker("exec", "wide", PROGRAM, life, status=STATUS)
    began = time.monotonic()
    victim.stop()
    assert time.monotonic() - began < _BOUND_S


@pytest.mark.slow
def test_a_file_system_that_does_not_answer_is_refused_as_a_mount(daemon: Daemon, program, tmp_path):
    with dead_filesystem(program, tmp_path / "dead"):
        for flag in ("-v", f"{tmp_path}/dead:/x"), ("--mount", f"type=bind,src={tmp_path}/dead,dst=/x"):
            said = daemon.docker("run", "--rm", *flag, "busybox", "true", status=125)
            assert "its file system does not answer" in said
            assert daemon.docker("run", "--rm", "busybox", "echo", "hi") == "hi\n"
    assert daemon.docker("run", "--rm", "-v", f"{tmp_path}/dead:/x", "busybox", "ls", "/x") == ""


def test_a_dev_of_the_containers_own_holds_up_no_other(daemon: Daemon, mount):
    fuse = ("--cap-add", "SYS_ADMIN", "--device", "/dev/fuse", "--security-opt", "seccomp=unconfined")
    daemon.docker("run", "-d", "--name", "own", *fuse, *mount, "busybox", PROGRAM, "touch-own", "/dev")
    eventually(lambda: daemon.docker("logs", "own"), "on\n")
    assert "does not answer" in daemon.docker("exec", "-t", "own", "true", check=False)
    assert daemon.docker("run", "--rm", "busybox", "echo", "hi") == "hi\n"
    daemon.docker("rm", "-f", "own")


@pytest.mark.slow
def test_what_is_stuck_in_the_kernel_holds_up_no_answer(victim: Daemon, mount, program, tmp_path):
    with dead_filesystem(program, tmp_path / "over" / "dead") as server:
        stuck = ("-v", f"{tmp_path}/over:/over", *mount, "busybox", PROGRAM, "touch", "/over/dead/file")
        victim.docker("run", "-d", "--name", "stuck", "--stop-timeout", "1", *stuck)
        assert server.stdout is not None
        assert server.stdout.readline() == b"taken\n"
        for words in (("kill",), ("rm", "-f")):
            began = time.monotonic()
            assert "stuck in the kernel" in victim.docker(*words, "stuck", status=1)
            assert time.monotonic() - began < _BOUND_S
        assert victim.docker("run", "--rm", "busybox", "echo", "hi") == "hi\n"
        began = time.monotonic()
        assert victim.terminate() == 1
        assert time.monotonic() - began < _BOUND_S
        assert "stuck in the kernel" in victim.log.read_text()
        victim.start()
        assert (
            victim.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "stuck") == "exited 137\n"
        )
        victim.docker("rm", "stuck")
        assert victim.terminate() == 0
    victim.start()
    victim.stop()
    assert not settled(victim.root, victim.owners)
