import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenarios import host_cpu_time
from bench.scenarios.base import ScenarioError
from bench.scenarios.meter import GIB, Meter

TIMERS = """
cpu: 0
  .idle_exittime  : 3025282076450 nsecs
  .idle_sleeptime : 1458160863431 nsecs
  .iowait_sleeptime: 23776770400 nsecs
cpu: 1
  .idle_sleeptime : 10 nsecs
  .iowait_sleeptime: 5 nsecs
"""


def test_timers_are_summed_over_cpus():
    assert host_cpu_time.parse_timers(TIMERS.encode()) == 1458160863431 + 23776770400 + 15


def test_a_kernel_that_lists_no_idle_time_gives_none():
    assert host_cpu_time.parse_timers(b"Timer List Version: v0.10\n") is None


def test_stat_takes_idle_with_iowait_and_stolen_of_all_cpus():
    text = "cpu  100 1 50 2000 30 0 7 9 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
    assert host_cpu_time.parse_stat(text, 100) == (2030 * 10_000_000, 9 * 10_000_000)


def test_stolen_and_other_processes_time_is_not_busy():
    earlier = host_cpu_time.Busy(0, 0, 2, 0, {7: 100, 8: 50})
    later = host_cpu_time.Busy(1_000, 300, 2, 200, {7: 400, 9: 5})
    assert later.since(earlier) == pytest.approx((2_000 - 300 - 200 - 300 - 5) / 1e9)


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 64))
def test_busy_lies_between_nothing_and_everything(wall, idle, cpus):
    seconds = host_cpu_time.Busy(wall, min(idle, wall * cpus), cpus).since(host_cpu_time.Busy(0, 0, cpus))
    assert 0 <= seconds <= wall * cpus / 1e9


def test_a_childs_work_is_counted_and_our_own_is_not():
    loop = "import time\nwhile time.process_time() < 0.15: pass"

    def worked() -> float:
        first = host_cpu_time.read()
        subprocess.run((sys.executable, "-c", loop), check=True)
        return host_cpu_time.read().since(first)

    assert any(worked() > 0.1 for _ in range(5)), "what a hypervisor takes meanwhile is taken away"
    first, end = host_cpu_time.read(), time.process_time() + 0.15
    while time.process_time() < end:
        pass
    earlier, later = (one.others[os.getpid()] for one in (first, host_cpu_time.read()))
    assert later - earlier > 100_000_000


class Wire:
    """A wire that carries a step at each look, and on which nothing else happens."""

    def __init__(self, step):
        self.step = step
        self.sent = 0

    def sent_bytes(self):
        self.sent += self.step
        return self.sent


def test_the_window_is_the_middle_of_the_transfer():
    meter = Meter(Wire(GIB // 64), GIB)
    meter.watch()
    reading = meter.reading("network.cpu_per_gib.host")
    assert reading.duration_ns > 0
    assert reading.value > 0 or not reading.valid


def test_a_transfer_that_never_crossed_the_wire_is_an_error(monkeypatch):
    monkeypatch.setattr("bench.scenarios.meter._PATIENCE_S", 0.0)
    meter = Meter(Wire(0), GIB)
    meter.watch()
    with pytest.raises(ScenarioError, match=r"^network\.cpu_per_gib\.host: "):
        meter.reading("network.cpu_per_gib.host")


def test_a_transfer_that_was_over_before_this_process_ran_is_an_error():
    """It ended as a division by zero on a host of many times more tasks than CPUs."""
    wire = Wire(0)
    meter = Meter(wire, GIB)
    wire.sent_bytes = iter([0, *[GIB] * 9]).__next__
    meter.watch()
    with pytest.raises(ScenarioError, match=r"^network\.cpu_per_gib\.host: "):
        meter.reading("network.cpu_per_gib.host")


def test_a_background_beyond_its_share_makes_the_reading_invalid():
    meter = Meter(Wire(GIB // 64), GIB)
    meter.watch()
    meter._backgrounds = [host_cpu_time.read().cpus * 0.5]
    reading = meter.reading("network.cpu_per_gib.host")
    assert not reading.valid
    assert reading.reason == ("short-lived processes used 50% of the host's CPUs during the transfer")
