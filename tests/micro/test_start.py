"""Benchmarks of a container's start and of its parts: pytest tests/micro/test_start.py -m micro"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine, Limits
from runtime.engine.prepare import prepare
from runtime.oci import defaults
from runtime.oci.plan import make_plan
from runtime.spawn import capabilities, seccomp
from runtime.spawn.tape import Tape, pointers, spawn
from tests.runtime.container_rootfs import FIRST, build_rootfs

pytestmark = pytest.mark.micro


def wait(pid: int, pidfd: int) -> None:
    os.close(pidfd)
    os.waitpid(pid, 0)


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_rootfs(tmp_path_factory.mktemp("rootfs"))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    if os.geteuid() != 0:
        pytest.skip("needs root: namespaces, mounts and cgroups")
    with Engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine


@pytest.fixture
def config(rootfs: Path) -> ContainerConfig:
    return ContainerConfig(
        layers=(str(rootfs),),
        argv=(FIRST,),
        namespaces=(*defaults.NAMESPACES, "time"),
        limits=Limits(memory_max=256 << 20, pids_max=64),
    )


@pytest.mark.parametrize("share_memory", [True, False], ids=["vfork", "fork"])
def test_bare_process(benchmark, rootfs, share_memory):
    tape = Tape()
    tape.add("execve", "execve", str(rootfs) + FIRST, pointers([FIRST]), pointers([]))
    null = os.open(os.devnull, os.O_RDWR)
    tape_stdout = os.dup(1)
    os.dup2(null, 1)
    try:
        benchmark(lambda: wait(*spawn(tape, {}, share_memory=share_memory)))
    finally:
        os.dup2(tape_stdout, 1)
        os.close(tape_stdout)
        os.close(null)


@pytest.mark.root
def test_first_instruction(benchmark, engine, config):
    """Request → the byte that the program's first instructions write; cleaning up is not in it."""
    state: dict[str, object] = {}

    def prepare_round() -> None:
        clean_up()
        state["pipe"] = os.pipe2(os.O_CLOEXEC)

    def clean_up() -> None:
        if "container" in state:
            state.pop("container").remove()
            for fd in state.pop("pipe"):
                os.close(fd)

    def start() -> None:
        read, write = state["pipe"]
        container = state["container"] = engine.create(config)
        container.start(-1, write, -1)
        os.read(read, 1)

    engine.warm(config)
    benchmark.pedantic(start, setup=prepare_round, rounds=100, warmup_rounds=5)
    clean_up()


@pytest.mark.root
def test_whole_life(benchmark, engine, config):
    def live() -> None:
        container = engine.create(config)
        container.start()
        container.wait()
        container.remove()

    engine.warm(config)
    benchmark.pedantic(live, rounds=60, warmup_rounds=5)


@pytest.mark.root
def test_exec(benchmark, engine, config, rootfs):
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000")))
    container.start()
    benchmark.pedantic(lambda: container.exec([FIRST]).wait(), rounds=60, warmup_rounds=5)
    container.remove()


def test_plan_from_the_cache(benchmark, config, rootfs):
    benchmark(lambda: prepare(config, (str(rootfs),), 5, ("network",)))


def test_plan_anew(benchmark, config, rootfs):
    def plan() -> None:
        make_plan.cache_clear()
        prepare(config, (str(rootfs),), 5, ("network",))

    benchmark(plan)


def test_default_filter(benchmark):
    bits = capabilities.mask(capabilities.DEFAULT)

    def compile_it() -> None:
        seccomp.default_filter.cache_clear()
        seccomp.default_filter(bits)

    benchmark.pedantic(compile_it, rounds=20)
