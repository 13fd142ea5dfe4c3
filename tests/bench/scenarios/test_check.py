import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.backends.base import BackendError
from bench.scenarios import check
from bench.scenarios.base import Context, ScenarioError
from bench.testing import FakeBackend


def moments(speed, widths, places, step_ns):
    """What an exact observer would see of a clock of that speed: looks `step_ns` apart, of these widths."""
    found, now = [], 1_000
    for width, place in zip(widths, places, strict=True):
        found.append(check.Moment(now, 10**12 + speed * (now + width * place), now + width))
        now += width + step_ns
    return found


looks = st.integers(60, 120).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(1_000, 3_000_000), min_size=count, max_size=count),
        st.lists(st.floats(0, 1), min_size=count, max_size=count),
    )
)


@given(st.floats(0.5, 2.0), looks, st.integers(1_000, 20_000_000))
def test_the_true_rate_is_never_outside_of_its_bound(speed, seen, step_ns):
    every = moments(speed, *seen, step_ns)
    ahead = iter(every)
    found, first, last = check.observe(lambda: next(ahead), longest_s=every[50].before_ns / 1e9)
    assert abs(found.value - speed) <= found.error + 1e-6
    assert first in every[:10]
    assert last in every[10:]


def test_it_ends_when_the_bound_is_narrow_enough():
    ahead = iter(moments(1.0, [20_000] * 200, [0.5] * 200, 1_000_000))
    found, first, last = check.observe(lambda: next(ahead))
    assert found.error <= check.WANTED_ERROR
    assert last.middle_ns - first.middle_ns < 50_000_000


def test_two_looks_that_touch_bound_nothing():
    moment = check.Moment(0, 5, 10)
    assert check.rate(moment, moment).error == float("inf")


@pytest.mark.parametrize(("error", "valid"), [(0.001, True), (0.02, False)])
def test_a_bound_too_wide_makes_the_reading_invalid(error, valid):
    first, last = check.Moment(0, 0, 1), check.Moment(99, 99, 100)
    reading = check.reading(check.Rate(1.01, error), first, last)
    assert (reading.value, reading.duration_ns, reading.valid) == (1.01, 100, valid)
    assert valid or "known to within 2.0% only" in reading.reason


class Answers:
    """An instance whose clock program says the same thing for ever."""

    def __init__(self, answer):
        self.answer = answer
        self.closed = False

    def open(self, argv):
        assert argv == check.CLOCK
        return self

    def write(self, data):
        pass

    def read_until(self, marker, timeout_s):
        if not self.answer:
            raise BackendError("it has ended")
        return self.answer

    def close(self):
        self.closed = True


def visit(instance):
    context = Context(
        backend=FakeBackend("fake"), instance=instance, worker=None, wire=None, session=0, block=0, cpus=(0,)
    )
    return check.ClockRate().run(context)


@pytest.mark.parametrize("answer", [b"", b"no number\n"])
def test_a_clock_that_does_not_answer_is_an_error_and_leaves_no_program(answer):
    instance = Answers(answer)
    with pytest.raises(ScenarioError, match=r"\bfake: "):
        visit(instance)
    assert instance.closed


def test_without_an_instance_it_says_so():
    with pytest.raises(ScenarioError, match=re.escape(check.ClockRate().name)):
        visit(None)
