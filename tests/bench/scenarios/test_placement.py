"""Where programs run: on the planned CPUs in every arm; clients on the first, servers on the last."""

import contextlib
import os
from pathlib import Path

import pytest

from bench.backends.base import InstanceSpec, NotAvailable
from bench.backends.programs import processes
from bench.backends.registry import BACKENDS
from bench.scenarios.tool import PIN
from bench.scenarios.worker import SHELL, Worker
from bench.wire import Wire

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters the image by chroot: needs root"),
]

CPUS = tuple(sorted(os.sched_getaffinity(0)))[:2]
ARMS = (
    "host",
    "runtime",
    "nnd",
    pytest.param("crun", marks=pytest.mark.peers),
    pytest.param("docker", marks=(pytest.mark.peers, pytest.mark.slow)),
    pytest.param("vm", marks=(pytest.mark.qemu, pytest.mark.slow)),
)


@pytest.fixture(scope="module", params=ARMS)
def backend(request, state, bench_image):
    made = BACKENDS[request.param](state)
    found = made.probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    made.prepare(bench_image)
    yield made
    made.cleanup()


@contextlib.contextmanager
def worker_on(backend, cpus):
    instance = backend.start(InstanceSpec(cpus=cpus))
    try:
        yield Worker(instance.open(SHELL))
    finally:
        instance.stop()


def cpus_of(text):
    """`Cpus_allowed_list: 0-1,4` → {0, 1, 4}."""
    ranges = text.split(":")[1].strip().split(",")
    ends = [(part.split("-")[0], part.split("-")[-1]) for part in ranges]
    return {cpu for first, last in ends for cpu in range(int(first), int(last) + 1)}


ALLOWED = ("grep", "Cpus_allowed_list", "/proc/self/status")


def test_programs_run_on_the_planned_cpus_and_clients_on_the_first(backend):
    if backend.name == "vm":
        with worker_on(backend, CPUS) as worker:
            assert cpus_of(worker.run((*PIN, *ALLOWED)).text) == {0}
            found = {name: cpus for pid in our_guests() for name, cpus in virtual_cpus(pid)}
        assert found == {f"CPU {number}/": {cpu} for number, cpu in enumerate(CPUS)}
        return
    for cpus in (CPUS, CPUS[-1:]):
        with worker_on(backend, cpus) as worker:
            assert cpus_of(worker.run(ALLOWED).text) == set(cpus)
            assert cpus_of(worker.run((*PIN, *ALLOWED)).text) == {cpus[0]}


def our_guests():
    """QEMU processes that descend from this one; other runs on this machine have their own."""
    return [pid for pid in processes.pids() if b"qemu-system" in read(pid, "cmdline") and descends(pid)]


def descends(pid):
    while pid and pid != os.getpid():
        pid = processes.parent_of(pid)
    return bool(pid)


def virtual_cpus(pid):
    for thread in Path(f"/proc/{pid}/task").iterdir():
        name = (thread / "comm").read_text().strip()
        if name.startswith("CPU "):
            yield name.partition("/")[0] + "/", os.sched_getaffinity(int(thread.name))


def read(pid, name):
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


@pytest.mark.network
def test_servers_run_on_the_last_planned_cpu(bench_image):
    with Wire(bench_image.rootfs, CPUS) as wire:
        placed = [os.sched_getaffinity(server.pid) for server in wire._servers]
    assert placed
    assert all(cpus == {CPUS[-1]} for cpus in placed)
