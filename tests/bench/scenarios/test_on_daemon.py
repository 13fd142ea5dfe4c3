"""What is measured of a daemon, once for real on each that is here: all figures come, and nothing is left."""

import math
import os

import pytest

from bench.backends.registry import BACKENDS
from bench.counting_registry import CountingRegistry
from bench.scenarios.base import Context, ScenarioError
from bench.scenarios.images import ImageTransfer, ManyContainers
from bench.scenarios.registry import SCENARIOS

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a daemon that makes containers needs root"),
]

CPUS = tuple(sorted(os.sched_getaffinity(0)))
HERE = [scenario for scenario in SCENARIOS if scenario.spec.engine]


@pytest.fixture(scope="module", params=["nnd", pytest.param("docker", marks=pytest.mark.peers)])
def backend(request, bench_image, image_cache):
    made = BACKENDS[request.param](image_cache / "test-daemons")
    info = made.probe()
    if hasattr(info, "reason"):
        pytest.skip(info.reason)
    made.prepare(bench_image)
    yield made
    made.cleanup()


@pytest.fixture(scope="module")
def registry(bench_image, tmp_path_factory):
    where = tmp_path_factory.mktemp("registry")
    with CountingRegistry(where, bench_image.rootfs / "opt/ninetynine/first") as opened:
        yield opened


def context(backend, registry):
    return Context(
        backend=backend,
        instance=None,
        worker=None,
        wire=None,
        session=0,
        block=0,
        cpus=CPUS,
        registry=registry,
    )


def images(backend):
    return {tag for one in backend._api.ask("GET", "/images/json") for tag in one["RepoTags"] or ()}


@pytest.mark.parametrize("scenario", HERE, ids=lambda scenario: scenario.name)
def test_it_measures_and_leaves_nothing(scenario, backend, registry):
    before = images(backend)
    readings = scenario.run(context(backend, registry))
    assert {reading.metric for reading in readings} == {metric.name for metric in scenario.metrics}
    assert all(math.isfinite(one.value) and one.value >= 0 and one.duration_ns > 0 for one in readings)
    assert images(backend) == before
    assert backend._api.ask("GET", "/containers/json?all=1") == []


def test_only_what_changed_travels(backend, registry):
    found = {one.metric: one.value for one in ImageTransfer().run(context(backend, registry))}
    assert 1 <= found["image.pull.cold.moved"] < 1.01
    assert 1 <= found["image.pull.changed.moved"] <= 1.05
    assert 1 <= found["image.push.changed.moved"] <= 1.05
    assert found["image.pull.warm.moved"] < 20_000
    assert found["image.push.again.moved"] < 20_000


def test_a_container_costs_little_disk_and_leaves_the_image(backend, registry):
    found = {one.metric: one.value for one in ManyContainers().run(context(backend, registry))}
    assert found["image.changed_files"] == 0
    assert 0 < found["image.disk_per_container.100"] < 1 << 20


def test_without_a_registry_a_transfer_says_so(backend):
    with pytest.raises(ScenarioError, match="counting registry"):
        ImageTransfer().run(context(backend, None))
