"""Nothing stays on the host: not after cleanup(), and not after kill -9 and another process's cleanup()."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.backends.base import BenchImage, InstanceSpec, NotAvailable
from bench.backends.registry import BACKENDS
from bench.image import assemble
from tests.bench.backends.kinds import NAMES
from tests.bench.backends.traces import left_of, owner_of, traces
from tests.bench.conftest import state_below
from tests.runtime.container_rootfs import build_rootfs

pytestmark = [pytest.mark.root, pytest.mark.network]

UNPLUGGED = ("host", "again", "docker")
"""Backends whose instances have no links of their own here."""

VICTIM = """
import sys, time
from pathlib import Path
from bench.backends.base import InstanceSpec
from bench.backends.registry import BACKENDS
from bench.image import assemble
name, state, image, volume = sys.argv[1], *map(Path, sys.argv[2:])
backend = BACKENDS[name](state)
backend.prepare(assemble.load(image))
spec = InstanceSpec(network="nat", volume=volume, cpus=(0,))
alone = InstanceSpec(volume=volume, cpus=(0,))
instance = backend.start(spec if backend.unsupported(spec) is None else alone)
worker = instance.open(["sh"])
worker.write(b"setsid sleep 1000 & echo ready\\n")
worker.read_until(b"ready\\n", 30)
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def state(image_cache: Path) -> Path:
    """A place of its own, where no other test holds anything."""
    return state_below(image_cache, "test-kills")


@pytest.fixture(scope="module")
def small(bench_image: BenchImage, image_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> BenchImage:
    """A busybox with our own programs: copies of the real image take most of the time."""
    root = build_rootfs(tmp_path_factory.mktemp("small") / "root")
    for name in ("dev/shm", "volume"):
        (root / name).mkdir()
    shutil.copytree(bench_image.rootfs / "opt", root / "opt")
    images = image_cache / "test-image"
    images.mkdir(exist_ok=True)
    made = assemble.store(images).create("small", [root])
    final = assemble.directory_of(images, made.digest.removeprefix("sha256:"))
    if not assemble.is_complete(final):
        assemble.finish(images, "small", "tests", final)
    return assemble.load(final)


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, state: Path) -> str:
    """A backend that is available here."""
    found = BACKENDS[request.param](state).probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    return str(request.param)


@pytest.fixture
def image(name: str, bench_image: BenchImage, small: BenchImage) -> BenchImage:
    """The real one for a VM: its disk is there already."""
    return bench_image if name == "vm" else small


def test_cleanup_leaves_nothing(name: str, state: Path, image: BenchImage, tmp_path: Path) -> None:
    backend = BACKENDS[name](state)
    backend.prepare(image)
    instance = backend.start(InstanceSpec(volume=tmp_path, cpus=(0,)))
    instance.open(["sh"])
    me = owner_of(os.getpid())
    made = traces(me, state)
    assert made["processes"]
    backend.cleanup()
    backend.cleanup()
    assert left_of(made, me, state) == {}


def test_another_process_frees_what_a_kill_left(
    name: str, state: Path, image: BenchImage, tmp_path: Path
) -> None:
    arguments = [name, str(state), str(image.rootfs.parent), str(tmp_path)]
    victim = subprocess.Popen([sys.executable, "-c", VICTIM, *arguments], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "ready\n"
    owner = owner_of(victim.pid)
    made = traces(owner, state)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    assert made["processes"]
    assert made["links"] or name in UNPLUGGED
    BACKENDS[name](state).cleanup()
    assert left_of(made, owner, state) == {}
