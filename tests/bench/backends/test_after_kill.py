"""Nothing stays on the host: not after cleanup(), and not after kill -9 and another process's cleanup()."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.backends.base import BenchImage, InstanceSpec, NotAvailable
from bench.backends.registry import BACKENDS
from tests.bench.backends.kinds import NAMES
from tests.bench.backends.traces import left_of, owner_of, traces

pytestmark = [pytest.mark.root, pytest.mark.network]

UNPLUGGED = ("host", "again", "docker")
"""Backends whose instances have no links of their own here."""

VICTIM = """
import sys, time
from pathlib import Path
from bench.backends.base import InstanceSpec
from bench.backends.registry import BACKENDS
from bench.image import build
name, state, cache, volume = sys.argv[1], *map(Path, sys.argv[2:])
backend = BACKENDS[name](state)
backend.prepare(build(cache))
spec = InstanceSpec(network="nat", volume=volume)
instance = backend.start(spec if backend.unsupported(spec) is None else InstanceSpec(volume=volume))
worker = instance.open(["sh"])
worker.write(b"setsid sleep 1000 & echo ready\\n")
worker.read_until(b"ready\\n", 30)
print("ready", flush=True)
time.sleep(1000)
"""


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest, state: Path, bench_image: BenchImage) -> str:
    """A backend that is available here, with the image brought into its form already."""
    found = BACKENDS[request.param](state).probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    return str(request.param)


def test_cleanup_leaves_nothing(name: str, state: Path, bench_image: BenchImage, tmp_path: Path) -> None:
    backend = BACKENDS[name](state)
    backend.prepare(bench_image)
    instance = backend.start(InstanceSpec(volume=tmp_path))
    instance.open(["sh"])
    me = owner_of(os.getpid())
    made = traces(me, state)
    assert made["processes"]
    backend.cleanup()
    backend.cleanup()
    assert left_of(made, me, state) == {}


def test_another_process_frees_what_a_kill_left(
    name: str, state: Path, image_cache: Path, tmp_path: Path
) -> None:
    arguments = [name, str(state), str(image_cache), str(tmp_path)]
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
