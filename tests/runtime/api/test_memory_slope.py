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
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import docker
import pytest

from tests.runtime import daemon_process
from tests.runtime.daemon_process import Daemon, running_daemon

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

WARM_UP, CYCLES, LEAKING_CYCLES = 7, 6, 4
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


class Worked:
    """A daemon whose caches are full, and its work; leak: the file of how many bytes an event leaks."""

    def __init__(self, daemon: Daemon, client: docker.DockerClient, leak: Path) -> None:
        self.daemon, self.client, self.leak = daemon, client, leak
        self._numbers = itertools.count()
        self.work(WARM_UP)

    def work(self, cycles: int) -> list[int]:
        """Work, and return what its processes had for themselves after each cycle."""
        seen = []
        for number in itertools.islice(self._numbers, cycles):
            cycle(self.client, number)
            seen.append(own_bytes(self.daemon))
        return seen

    def slope(self, cycles: int) -> float:
        """Bytes a cycle: the median over all pairs of moments, which a step or two do not move."""
        seen = self.work(cycles)
        print("MiB:", *(f"{one / (1 << 20):.2f}" for one in seen))
        pairs = itertools.combinations(enumerate(seen), 2)
        return statistics.median((late - early) / (j - i) for (i, early), (j, late) in pairs)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worked]:
    leak = tmp_path_factory.mktemp("leak") / "bytes"
    leak.write_text("0")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon_process, "CHECKED", IMPATIENT)
        patch.setenv("NINETYNINE_TEST_LEAK", str(leak))
        with running_daemon() as daemon, closing(docker.DockerClient(daemon.host, timeout=120)) as client:
            yield Worked(daemon, client, leak)


def test_memory_does_not_grow_with_work(worked: Worked):
    """Several clients' suites made 126 MiB of 65: heaps of many threads, and documents of removed images.

    A heap that grows by a MiB now and then is steep for once; what leaks is so again.
    """
    assert worked.slope(CYCLES) < MOST or worked.slope(CYCLES) < MOST


def test_a_leak_would_be_seen(worked: Worked):
    worked.leak.write_text("2000")
    assert worked.slope(LEAKING_CYCLES) > MOST
    worked.leak.write_text("0")


def test_what_large_work_took_is_given_back(worked: Worked):
    """Each of several threads kept a heap, as large as in its busiest moment."""
    before, client = own_bytes(worked.daemon), worked.client
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
    after = own_bytes(worked.daemon)
    print(f"MiB: {before / (1 << 20):.2f}, then {after / (1 << 20):.2f}")
    assert after - before < 16 << 20
