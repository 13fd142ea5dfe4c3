"""What programs do to an engine in a process with children of its own."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from runtime.engine import Container, ContainerConfig, Engine
from runtime.engine.config import bind
from runtime.engine.errors import EngineError
from tests.runtime.host_traces import cgroups_of
from tests.runtime.hostile_program import PROGRAM, STATUS, begun, build_hostile, dead_filesystem

pytestmark = pytest.mark.root

_BOUND_S = 60


@pytest.fixture(scope="module")
def layers(rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Layers with the program."""
    directory = tmp_path_factory.mktemp("hostile")
    build_hostile(directory)
    return (str(rootfs), str(directory))


def begin(engine: Engine, layers: tuple[str, ...], *life: str, **config: object) -> Container:
    """Start a life, and return once it is so far."""
    container = engine.create(ContainerConfig(argv=(PROGRAM, *life), layers=layers, **config))
    read, write = os.pipe2(os.O_CLOEXEC)
    container.start(-1, write, -1)
    os.close(write)
    with os.fdopen(read) as output:
        assert output.readline() == "on\n"
    return container


@pytest.mark.parametrize("life", ["thread", "thread-stops", "leader-execs"])
def test_an_end_is_noticed_and_no_other_child_is_touched(engine, layers, life):
    with subprocess.Popen(["true"]) as other:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
        container = engine.create(ContainerConfig(argv=(PROGRAM, life), layers=layers))
        container.start()
        assert container.wait(_BOUND_S) == STATUS
        container.remove()
        assert os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None


@pytest.mark.parametrize("life", ["thread", "leader-execs"])
def test_an_exec_is_noticed(engine, layers, life):
    container = begin(engine, layers, "wait")
    assert container.exec((PROGRAM, life)).wait(_BOUND_S) == STATUS
    container.remove()


@pytest.mark.parametrize("life", ["thread-lives", "leader", "traced-at-exit", "ignore", "zombies", "bomb"])
def test_a_removal_ends(engine, layers, life):
    container = begin(engine, layers, life)
    began = time.monotonic()
    container.remove()
    assert time.monotonic() - began < _BOUND_S


def test_what_is_traced_from_outside_has_not_ended_yet(engine, layers):
    container = begin(engine, layers, "wait")
    with begun(Path(layers[-1], PROGRAM[1:]), "trace", container.pid):
        container.kill()
        assert container.wait(0.5) is None
    assert container.wait(_BOUND_S) == 137
    container.remove()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["remove", "close"])
def test_what_is_stuck_in_the_kernel_bounds_removal_and_close(engine, tmp_path, layers, by):
    """engine: keeps what all of the process share."""
    with dead_filesystem(Path(layers[-1], PROGRAM[1:]), tmp_path / "over" / "dead") as server:
        owner = Engine(tmp_path / "root", pools=False)
        mounts = (bind(str(tmp_path / "over"), "/over"),)
        stuck = begin(owner, layers, "touch", "/over/dead/file", mounts=mounts)
        assert server.stdout is not None
        assert server.stdout.readline() == b"taken\n"
        other = begin(owner, layers, "wait")
        began = time.monotonic()
        with pytest.raises(EngineError, match="kernel"):
            stuck.remove() if by == "remove" else owner.close()
        owner.close()
        assert time.monotonic() - began < _BOUND_S
        left = {path.name for path in cgroups_of(os.getpid())}
        assert stuck.id in left
        assert other.id not in left
    assert stuck._child is not None  # it dies now, and this process has its group yet
    assert stuck._child.wait(_BOUND_S) == 137
    assert stuck.group is not None
    stuck.group.remove()
