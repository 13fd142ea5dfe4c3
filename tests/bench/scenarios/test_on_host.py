"""Each workload once for real, on the host arm: the tools are there, their output is understood."""

import math
import os

import msgspec
import pytest

from bench.backends.host import HostBackend
from bench.scenarios.base import Context, ScenarioError
from bench.scenarios.registry import SCENARIOS
from bench.scenarios.worker import SHELL
from bench.wire import Wire

pytestmark = [
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="enters the image by chroot: needs root"),
]

CPUS = tuple(sorted(os.sched_getaffinity(0)))


@pytest.fixture(scope="module")
def host(bench_image, state):
    backend = HostBackend(state)
    backend.prepare(bench_image)
    yield backend
    backend.cleanup()


@pytest.fixture(scope="module")
def wire(bench_image):
    with Wire(bench_image.rootfs, CPUS) as opened:
        yield opened


def context(host, instance, worker, wire, extra=0.0):
    return Context(
        backend=host,
        instance=instance,
        worker=worker,
        wire=wire,
        session=0,
        block=0,
        cpus=CPUS,
        extra=extra,
    )


@pytest.fixture
def visit(host, wire, tmp_path):
    def once(scenario, extra=0.0):
        if scenario.kind == "instance":
            return scenario.run(context(host, None, None, wire))
        spec = msgspec.structs.replace(scenario.spec, cpus=CPUS)
        if spec.volume is not None:
            spec = msgspec.structs.replace(spec, volume=tmp_path)
        instance = host.start(spec)
        try:
            return scenario.run(context(host, instance, instance.open(SHELL), wire, extra))
        finally:
            instance.stop()

    return once


HERE = [scenario for scenario in SCENARIOS if not scenario.spec.engine]


@pytest.mark.parametrize("scenario", HERE, ids=lambda scenario: scenario.name)
def test_it_measures(scenario, visit):
    readings = visit(scenario)
    declared = {metric.name for metric in scenario.metrics}
    measured = {reading.metric for reading in readings}
    phases = {name for name in declared if name.startswith("startup.phase.")}
    assert measured <= declared
    assert declared - measured <= phases
    for reading in readings:
        assert math.isfinite(reading.value)
        assert reading.value >= 0
        assert reading.valid or reading.reason
        assert reading.duration_ns > 0


LOADED = ("cpu.integer", "cpu.crypto", "memory.latency", "network.throughput_10g.host", "disk.layer")


@pytest.mark.parametrize("name", LOADED)
def test_the_control_measures_the_same_figures_with_more_work(name, visit):
    scenario = next(each for each in SCENARIOS if each.name == name)
    readings = visit(scenario, 0.02)
    assert {reading.metric for reading in readings} == {metric.name for metric in scenario.metrics}
    assert all(reading.value > 0 for reading in readings if reading.valid)


def test_the_image_is_as_it_was_after_a_copy_up(bench_image, host, visit):
    from bench.scenarios.disk import IMAGE_FILE, ExtraInstance

    visit(ExtraInstance())
    original = (bench_image.rootfs / IMAGE_FILE.lstrip("/")).read_bytes()
    assert (host._tree.root / IMAGE_FILE.lstrip("/")).read_bytes() == original


def test_a_slice_without_its_wire_says_so(host, visit):
    scenario = next(each for each in SCENARIOS if each.family == "network")
    with pytest.raises(ScenarioError, match=r"\bwire\b"):
        scenario.run(context(host, None, None, None))
