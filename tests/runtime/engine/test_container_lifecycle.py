from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from runtime.engine import Container, ContainerConfig, ContainerStateError, EngineError, Limits

pytestmark = pytest.mark.root


@pytest.fixture
def make(engine, rootfs):
    made: list[Container] = []

    def make(*argv: str, **options: object) -> Container:
        made.append(engine.create(ContainerConfig(layers=(str(rootfs),), argv=argv, **options)))
        return made[-1]

    yield make
    for container in made:
        container.remove()


def test_a_start_is_recorded(make):
    container = make("true")
    record = container.start()
    assert container.wait() == 0
    assert record.pid == container.pid
    assert [name for name, _ in record.phases] == ["cgroup", "network", "root", "slots", "spawn"]
    assert all(duration >= 0 for _, duration in record.phases)


@pytest.mark.parametrize(("script", "code"), [("exit 9", 9), ("kill -9 $$", 137), ("kill -TERM $$", 143)])
def test_the_exit_status(make, script, code):
    container = make("sh", "-c", script, namespaces=("mount",))
    container.start()
    assert container.wait() == code
    assert container.wait() == code


def test_stop_asks_first(make):
    container = make("sh", "-c", "trap 'exit 5' TERM; echo; while :; do sleep 0.02; done")
    read, write = os.pipe2(os.O_CLOEXEC)
    container.start(-1, write, -1)
    os.read(read, 1)
    os.close(read)
    os.close(write)
    assert container.stop(grace_s=10) == 5


def test_stop_kills_after_the_grace(make):
    container = make("sleep", "1000")
    container.start()
    assert container.wait(timeout_s=0) is None
    assert container.stop(grace_s=0.05) == 128 + signal.SIGKILL


def test_many_threads_wait_for_one_end(make):
    container = make("sleep", "1000")
    container.start()
    codes: list[int | None] = []
    threads = [threading.Thread(target=lambda: codes.append(container.wait())) for _ in range(4)]
    for thread in threads:
        thread.start()
    container.kill()
    for thread in threads:
        thread.join()
    assert codes == [137] * 4


def test_many_threads_start_containers(engine, rootfs):
    codes: list[int | None] = []

    def work() -> None:
        for code in range(5):
            argv = ("sh", "-c", f"read x; exit {code}")
            container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=argv))
            read, write = os.pipe2(os.O_CLOEXEC)
            container.start(read, -1, -1)
            assert container.exec(["true"]).wait() == 0
            os.close(read)
            os.close(write)
            codes.append(container.wait())
            container.remove()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [code for code in range(5) for _ in range(4)]


def test_stats_memory_and_disk(make):
    container = make(
        "sh", "-c", "dd if=/dev/zero of=/file bs=64k count=16; sleep 1000; true", limits=Limits(pids_max=9)
    )
    assert container.disk_bytes() == 0
    container.start()
    while container.disk_bytes() < 1 << 20:
        assert container.wait(0.01) is None
    stats = container.stats()
    assert 1 << 20 <= container.disk_bytes() < 2 << 20
    assert stats.cpu_usage_ns and stats.memory_bytes and stats.pids
    assert container.memory() > 0


def test_a_paused_container_does_nothing(make):
    container = make("sh", "-c", "while :; do :; done")
    container.start()
    container.pause()
    before = container.stats().cpu_usage_ns
    assert container.wait(0.05) is None
    assert container.stats().cpu_usage_ns == before
    container.resume()
    while container.stats().cpu_usage_ns == before:
        assert container.wait(0.01) is None


def test_the_image_is_not_changed(make, rootfs):
    container = make("sh", "-c", "rm -r /etc; echo x > /bin/busybox; mkdir /new")
    container.start()
    container.wait()
    container.remove()
    assert (rootfs / "etc/passwd").exists()
    assert not (rootfs / "new").exists()


@pytest.mark.parametrize("act", ["wait", "stop", "kill", "stats", "pause"])
def test_what_needs_a_running_container_says_so(make, act):
    container = make("true")
    with pytest.raises(ContainerStateError, match=container.id):
        getattr(container, act)()


def test_a_container_starts_once(make):
    container = make("true")
    container.start()
    with pytest.raises(ContainerStateError, match=container.id):
        container.start()


def test_a_failed_start_leaves_nothing(make, engine):
    container = make("/no/such/program")
    with pytest.raises(EngineError, match=r"\(/no/such/program\): .*: no such file or directory"):
        container.start()
    assert container._home
    assert not Path(container._home).exists()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"argv": ()}, r"\bargv\b"),
        ({"argv": ("x",), "layers": ()}, r"\brootfs\b"),
        ({"argv": ("x",), "user": "nobody-here"}, "no matching entries in passwd file"),
    ],
)
def test_a_config_that_cannot_be_carried_out(engine, rootfs, config, message):
    with pytest.raises(EngineError, match=message):
        engine.create(ContainerConfig(**{"layers": (str(rootfs),), **config}))
