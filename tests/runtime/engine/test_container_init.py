from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig

pytestmark = pytest.mark.root


@pytest.mark.parametrize(
    ("script", "code"), [("exit 6", 6), ("kill -9 $$", 137), ("exec /no/such/program", 127)]
)
def test_the_programs_status_is_the_containers(run, script, code):
    assert run(script, init=True)[0] == code


def test_the_program_is_not_pid_1(run):
    assert run("echo $$; cat /proc/1/comm", init=True)[1].split() == ["2", "init"]


def test_a_program_that_is_not_there(engine, rootfs):
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("nope",), init=True))
    container.start()
    assert container.wait() == 127
    container.remove()


def test_it_forwards_signals(engine, rootfs):
    script = "trap 'exit 8' USR1; echo; while :; do sleep 0.02; done"
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", script), init=True))
    read, write = os.pipe2(os.O_CLOEXEC)
    container.start(-1, write, -1)
    os.read(read, 1)
    container.kill(10)
    assert container.wait() == 8
    container.remove()
    os.close(read)
    os.close(write)


def test_it_reaps_orphans(run):
    script = "(sleep 0 & ); (sleep 0 & ); sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status | wc -l"
    assert run(script, init=True)[1] == "0"


def test_nobody_can_write_to_it(engine, rootfs):
    """CVE-2019-5736: overwriting the runtime's binary through /proc/1/exe."""
    installed = Path("runtime/spawn/init.elf").resolve()
    before = installed.read_bytes() if installed.exists() else b""
    script = "exec 3</proc/1/exe; sleep 0.05; echo bad > /proc/self/fd/3; echo bad > /proc/1/exe"
    config = ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", script), init=True, caps=None)
    for _ in range(2):
        container = engine.create(config)
        container.start()
        assert container.wait() != 0
        container.remove()
    assert not installed.exists() or installed.read_bytes() == before
