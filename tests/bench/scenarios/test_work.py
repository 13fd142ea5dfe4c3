import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.base import BackendError
from bench.model import Metric
from bench.scenarios.base import Context, Reading
from bench.scenarios.registry import SCENARIOS
from bench.scenarios.tool import ToolSlice
from bench.scenarios.work import Work
from bench.testing import FakeBackend

EXTRA = 0.02


def metric(name, better):
    return Metric(name=name, unit="1/s", better=better, role="primary", definition=name)


def reading(name, value):
    return Reading(metric=name, value=value, start_ns=1, duration_ns=2)


def test_without_extra_work_nothing_changes():
    found = [reading("rate", 3.0)]
    assert Work(50).nominal(found, [metric("rate", "higher")]) == found


def test_a_rate_falls_and_a_cost_rises_by_the_work_done_for_a_unit():
    metrics = [metric("rate", "higher"), metric("cost", "lower")]
    rate, cost = Work(50, EXTRA).nominal([reading("rate", 102.0), reading("cost", 10.0)], metrics)
    assert (rate.value, cost.value) == (pytest.approx(100.0), pytest.approx(10.2))


@given(st.integers(1, 10**9).map(lambda fifties: 50 * fifties))
def test_two_per_cent_of_a_multiple_of_fifty_is_exact(units):
    assert Work(units, EXTRA).done * 50 == units * 51


@given(st.integers(1, 10**6), st.floats(0, 1))
def test_the_factor_is_that_of_the_work_that_is_done_not_of_the_work_asked_for(units, extra):
    work = Work(units, extra)
    assert work.factor == work.done / units
    assert abs(work.done - units * (1 + extra)) <= 0.5 + 1e-6 * units


class Recorder:
    """A shell that is asked for one program and then dies."""

    def __init__(self):
        self.asked = ""

    def write(self, data):
        self.asked += data.decode()

    def read_until(self, marker, timeout_s):
        raise BackendError("enough")


def asked(scenario, extra):
    worker = Recorder()
    context = Context(
        backend=FakeBackend("host"),
        instance=None,
        worker=worker,
        wire=None,
        session=0,
        block=0,
        cpus=(0,),
        extra=extra,
    )
    with pytest.raises(Exception, match="enough"):
        scenario.run(context)
    return worker.asked.partition(")")[0]


LOADING_TOOLS = [each for each in SCENARIOS if isinstance(each, ToolSlice) and each.scales_work]


@pytest.mark.parametrize("scenario", LOADING_TOOLS, ids=lambda scenario: scenario.name)
def test_the_control_is_asked_for_two_per_cent_more(scenario):
    assert Work(scenario.units, EXTRA).factor == 1.02
    plain, loaded = asked(scenario, 0.0), asked(scenario, EXTRA)
    assert plain != loaded
    numbers = [(int(a), int(b)) for a, b in zip(digits(plain), digits(loaded), strict=True) if a != b]
    assert numbers
    assert all(b * 50 == a * 51 for a, b in numbers)


def digits(text):
    return "".join(char if char.isdigit() else " " for char in text).split()


def test_each_family_whose_noise_may_show_it_loads_a_primary_metric():
    """2 % was never found in the noise of disks."""
    loading = {s.family for s in SCENARIOS if s.scales_work and any(m.role == "primary" for m in s.metrics)}
    assert loading == {"cpu", "memory", "network"}
    assert not [s for s in SCENARIOS if s.family == "disk" and s.scales_work]
