"""The daemon's memory does not grow with the work that it has done, and this would see it if it did.

Counted is what its processes have for themselves (Pss_Anon): the pages of Python's own files are shared with
whatever else runs here.
"""

from __future__ import annotations

import io
import itertools
import os
import statistics
import tarfile
import time
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.runtime import daemon_process
from tests.runtime.daemon_process import Daemon, running_daemon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

WARM_UP, CYCLES = 7, 9
"""The first ones fill what is kept on purpose, as the newest 1000 events; a cycle has some 200."""
MOST = 192 << 10
"""Bytes a cycle: a leak of 1000 for each event is more. Caches that still fill took up to 100 KiB."""
IMPATIENT = "tests.runtime.api.impatient_nnd"


def archive(files: int = 1, size: int = 1 << 20) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for number in range(files):
            member = tarfile.TarInfo("file" if files == 1 else f"file{number}")
            member.size = size
            tar.addfile(member, io.BytesIO(os.urandom(size)))
    return packed.getvalue()


def cycle(client: docker.DockerClient, number: int) -> None:
    """Work of all kinds that leaves nothing."""
    plain = {"network_mode": "none"}
    for _ in range(12):
        client.containers.run("busybox", ["echo", "hi"], remove=True, **plain)
    container = client.containers.run("busybox", ["sleep", "1000"], detach=True, **plain)
    for _ in range(20):
        container.exec_run(["echo", "hi"])
    container.put_archive("/tmp", archive())
    assert sum(map(len, container.get_archive("/tmp/file")[0])) > 1 << 20
    container.stats(stream=False)
    container.restart(timeout=0)
    container.remove(force=True)
    noisy = client.containers.run("busybox", ["seq", "20000"], detach=True, **plain)
    noisy.wait()
    assert noisy.logs().count(b"\n") == 20000
    noisy.remove(v=True)
    volume = client.volumes.create()
    client.containers.run("busybox", ["touch", "/v/x"], remove=True, volumes=[f"{volume.name}:/v"], **plain)
    volume.remove()
    text = f"FROM busybox\nLABEL number={number}\nRUN echo {number} > /number\n"
    image, _ = client.images.build(fileobj=io.BytesIO(text.encode()), rm=True)
    client.images.remove(image.id, force=True)
    client.images.load(b"".join(client.api.get_image("busybox")))
    client.api.import_image_from_data(archive(), repository="made")
    client.images.remove("made")
    with pytest.raises(docker.errors.NotFound):
        client.containers.get("nobody")
    client.containers.list(all=True)
    client.df()


def own_bytes(daemon: Daemon) -> int:
    """What its processes have for themselves, once it had the time to give back what it could."""
    time.sleep(1)
    rollups = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in (daemon.pid, daemon.spawner_pid))
    lines = (line.split() for text in rollups for line in text.splitlines() if line.startswith("Pss_Anon:"))
    return sum(int(line[1]) << 10 for line in lines)


def test_what_large_work_took_is_given_back(monkeypatch: pytest.MonkeyPatch):
    """Each of several threads kept a heap, as large as in its busiest moment."""
    monkeypatch.setattr(daemon_process, "CHECKED", IMPATIENT)
    with running_daemon() as daemon, closing(docker.DockerClient(daemon.host, timeout=120)) as client:
        cycle(client, 0)
        before = own_bytes(daemon)
        packed = archive(1000, 100_000)
        for _ in range(2):
            client.api.import_image_from_data(packed, repository="large")
            saved = b"".join(client.api.get_image("large"))
            client.images.remove("large")
            client.images.load(saved)
        made = [client.containers.create("busybox", labels={"label": "x" * 1000}) for _ in range(200)]
        client.containers.list(all=True)
        for container in made:
            container.remove()
        after = own_bytes(daemon)
    print(f"MiB: {before / (1 << 20):.2f}, then {after / (1 << 20):.2f}")
    assert after - before < 16 << 20


def slope(monkeypatch: pytest.MonkeyPatch, leak: int, cycles: int = CYCLES) -> float:
    """Bytes a cycle: the median over all pairs of moments, which a step or two do not move."""
    monkeypatch.setattr(daemon_process, "CHECKED", IMPATIENT)
    monkeypatch.setenv("NINETYNINE_TEST_LEAK", str(leak))
    with running_daemon() as daemon, closing(docker.DockerClient(daemon.host, timeout=120)) as client:
        for number in range(WARM_UP):
            cycle(client, number)
        seen = []
        for number in range(cycles):
            cycle(client, WARM_UP + number)
            seen.append(own_bytes(daemon))
    print("MiB:", *(f"{one / (1 << 20):.2f}" for one in seen))
    pairs = itertools.combinations(enumerate(seen), 2)
    return statistics.median((late - early) / (after - before) for (before, early), (after, late) in pairs)


def test_memory_does_not_grow_with_work(monkeypatch: pytest.MonkeyPatch):
    """Several clients' suites made 126 MiB of 65: heaps of many threads, and documents of removed images."""
    assert slope(monkeypatch, leak=0) < MOST


def test_a_leak_would_be_seen(monkeypatch: pytest.MonkeyPatch):
    assert slope(monkeypatch, leak=2000, cycles=CYCLES // 2) > MOST
