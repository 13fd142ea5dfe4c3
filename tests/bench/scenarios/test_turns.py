"""Slices by turns: the program that gives them, and the figures that come of it."""

import ast
import itertools
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bench import image
from bench.image.workloads import compile_all
from bench.model import Metric
from bench.scenarios.base import Context, ScenarioError, Turns
from bench.scenarios.registry import SCENARIOS
from bench.scenarios.tool import ToolSlice, share_of
from bench.scenarios.turns import by_turns
from bench.scenarios.worker import Output
from bench.testing import FakeBackend
from tests.waiting import eventually

SLOT_NS = 2_000_000
ACCOUNT = re.compile(r'\n\{"cpu_ns": (\d+), "on_ns": (\d+), "turns": (\d+)\}\n\Z')
BUSY = ("sh", "-c", "i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done")


@pytest.fixture(scope="module")
def turns(tmp_path_factory) -> Path:
    source = Path(image.__file__).parent.parent / "workloads" / "turns.c"
    return compile_all([source], tmp_path_factory.mktemp("turns"), 0)[0]


def command(
    turns: Path,
    *argv: str,
    index: int = 0,
    count: int = 1,
    start_ns: int | None = None,
    slot_ns: int = SLOT_NS,
) -> list[str]:
    start = time.monotonic_ns() + 20_000_000 if start_ns is None else start_ns
    return [str(turns), str(start), str(slot_ns), str(index), str(count), *argv]


def test_programs_by_turns_hardly_run_at_the_same_time(turns):
    start = time.monotonic_ns() + 50_000_000
    arms = [command(turns, *BUSY, index=index, count=3, start_ns=start) for index in range(3)]
    running = [subprocess.Popen(arm, stdout=subprocess.PIPE, text=True) for arm in arms]
    begun = time.monotonic_ns()
    accounts = [ACCOUNT.search(one.communicate()[0]) for one in running]
    took = time.monotonic_ns() - begun
    assert all(one.returncode == 0 for one in running)
    shares = [tuple(map(int, found.groups())) for found in accounts if found]
    assert len(shares) == 3
    assert all(turns_taken > 2 for _, _, turns_taken in shares)
    assert sum(on for _, on, _ in shares) < 2 * took, "each waits while another runs"


LOOKING = """
import sys, time
start, slot = map(int, sys.argv[1:])
seen = {}
while sum(seen.values()) < 400000:
    place = (time.monotonic_ns() - start) // slot
    seen[place] = seen.get(place, 0) + 1
print(seen)
"""


def owners_of(turns):
    """Whose the slots were in which all three ran (None: nobody's alone), and the first one's place."""
    start, slot = time.monotonic_ns() + 200_000_000, 20_000_000
    looking = (sys.executable, "-c", LOOKING, str(start), str(slot))
    arms = [command(turns, *looking, index=i, count=3, start_ns=start, slot_ns=slot) for i in range(3)]
    running = [subprocess.Popen(arm, stdout=subprocess.PIPE, text=True) for arm in arms]
    seen = [ast.literal_eval(one.communicate()[0].splitlines()[0]) for one in running]
    together = range(max(map(min, seen)), min(map(max, seen)))
    return [owner(seen, place) for place in together], together.start


def never_twice(owners):
    return all(one != after for one, after in itertools.pairwise(owners) if one is not None)


def test_no_program_has_two_turns_in_a_row_and_their_order_changes(turns):
    # One that had would find its caches warm. On a crowded machine a stop can be late by a slot.
    tries = (owners_of(turns) for _ in range(3))
    owners, first = next((found for found in tries if never_twice(found[0])), ([], 0))
    assert len(owners) > 9
    cycles = {tuple(owners[at : at + 3]) for at in range(-first % 3, len(owners) - 2, 3)}
    whole = [cycle for cycle in cycles if None not in cycle]
    assert all(len(set(cycle)) == 3 for cycle in whole)
    assert len(whole) > 1


def owner(seen: list[dict[int, int]], place: int) -> int | None:
    """The program that looked in a slot; None where the machine stood still or a stop came late."""
    looks = [one.get(place, 0) for one in seen]
    return looks.index(max(looks)) if max(looks) > 0.75 * sum(looks) else None


THREADS = """
import threading, time
def work():
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
one = threading.Thread(target=work)
one.start()
one.join()
"""


def test_a_thread_that_runs_is_stopped_at_once_though_the_first_one_waits(turns):
    # Beside another program, so that the first thread has to wait for the CPU before it could stop the rest.
    start = time.monotonic_ns() + 50_000_000
    programs = (sys.executable, "-c", THREADS), BUSY
    arms = [command(turns, *argv, index=i, count=2, start_ns=start) for i, argv in enumerate(programs)]
    running = [subprocess.Popen(arm, stdout=subprocess.PIPE, text=True) for arm in arms]
    outputs = [one.communicate()[0] for one in running]
    found = ACCOUNT.search(outputs[0])
    assert found
    cpu_ns, on_ns, _ = map(int, found.groups())
    assert cpu_ns < 1.1 * on_ns, "it ran while it was not allowed to"


def test_a_program_ends_with_its_own_status_and_output(turns):
    done = subprocess.run(command(turns, "sh", "-c", "echo said; exit 7"), capture_output=True, text=True)
    assert done.returncode == 7
    assert done.stdout.startswith("said\n")
    assert ACCOUNT.search(done.stdout)


def test_a_program_that_is_not_there_is_named(turns):
    done = subprocess.run(command(turns, "/nowhere"), capture_output=True, text=True)
    assert done.returncode == 127
    assert "/nowhere" in done.stderr


@pytest.mark.parametrize("wrong", [(), ("0", "0", "0", "1", "true"), ("0", "1", "1", "1", "true")])
def test_a_wrong_command_line_is_refused(turns, wrong):
    done = subprocess.run([str(turns), *wrong], capture_output=True, text=True)
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_another_clock_is_refused(turns):
    done = subprocess.run(command(turns, "true", start_ns=1), capture_output=True, text=True)
    assert done.returncode == 3
    assert "clock" in done.stderr


def test_a_stopped_program_dies_with_who_stops_it(turns):
    # Its turn comes once in ten seconds, so it is stopped when its keeper is killed.
    argv = command(turns, "sleep", "1000", count=5000)
    keeper = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    children = Path(f"/proc/{keeper.pid}/task/{keeper.pid}/children")
    eventually(lambda: bool(children.read_text().split()), True)
    child = int(children.read_text().split()[0])
    keeper.send_signal(signal.SIGKILL)
    keeper.wait()
    eventually(lambda: Path(f"/proc/{child}").exists(), False)


def test_each_place_has_a_thread_and_all_have_the_same_start():
    barrier = threading.Barrier(3, timeout=30)

    def once(place: Turns) -> Turns:
        barrier.wait()
        return place

    places = by_turns(3, once)
    assert [place.index for place in places] == [0, 1, 2]
    assert len({place.start_ns for place in places}) == 1
    assert places[0].argv[0].endswith("/turns")


class Shell:
    """Answers each program with the CPU time that is due."""

    def __init__(self, *cpu_ns: int) -> None:
        self._cpu_ns = iter(cpu_ns)
        self._marker = ""

    def write(self, data: bytes) -> None:
        self._marker = data.split()[-1].decode()

    def read_until(self, marker: bytes, timeout_s: float) -> bytes:
        account = f'\n{{"cpu_ns": {next(self._cpu_ns)}, "on_ns": 9000000, "turns": 4}}\n'
        return f"fine\n{account}\n0 {self._marker}\n".encode()

    def close(self) -> None:
        pass


RATE = Metric(name="rate", unit="1/s", better="higher", role="primary", definition="rate")
SLICE = ToolSlice(
    name="cpu.rate",
    metrics=(RATE,),
    units=50,
    command=lambda units: ("tool", str(units)),
    parse=lambda output: {"rate": 1.0},
    amount=2.0,
    cost_s=0.1,
    by_turns=True,
)


def context(shell: Shell, extra: float = 0.0) -> Context:
    place = Turns(start_ns=0, slot_ns=SLOT_NS, index=0, count=2)
    return Context(
        backend=FakeBackend("host"),
        instance=None,
        worker=shell,
        wire=None,
        session=0,
        block=0,
        cpus=(0,),
        extra=extra,
        turns=place,
    )


def test_a_rate_is_work_over_cpu_time_less_the_start():
    found = SLICE.run(context(Shell(10_000_000, 108_000_000)))[0]
    assert found.value == pytest.approx(49 * 2.0 / 0.098)
    assert found.duration_ns == 9_000_000, "as long as it was allowed to run"


def test_the_start_is_the_median_of_those_of_an_instance():
    shared = context(Shell(10_000_000, 108_000_000, 90_000_000, 108_000_000, 10_000_000, 108_000_000))
    assert [SLICE.run(shared)[0].value for _ in range(3)][-1] == pytest.approx(1000)
    assert shared.starts == {"cpu.rate": [10_000_000, 90_000_000, 10_000_000]}


def test_two_per_cent_more_work_shows_by_turns_too():
    usual = SLICE.run(context(Shell(10_000_000, 108_000_000)))[0].value
    loaded = SLICE.run(context(Shell(10_000_000, 110_000_000), extra=0.02))[0].value
    assert loaded / usual == pytest.approx(1 / 1.02, rel=1e-3)


def test_work_that_takes_no_longer_than_a_start_is_an_error():
    with pytest.raises(ScenarioError, match="no more than one"):
        SLICE.run(context(Shell(10_000_000, 9_000_000)))


def test_an_output_without_an_account_is_an_error():
    with pytest.raises(ScenarioError, match="account"):
        share_of(Output(argv=("tool",), text="fine\n", start_ns=0, end_ns=1))


def test_every_tool_that_runs_by_turns_has_a_figure_by_cpu_time():
    tools = [one for one in SCENARIOS if isinstance(one, ToolSlice)]
    assert [one.name for one in tools if one.by_turns and not (one.amount or one.parse_cpu)] == []
    assert {one.family for one in SCENARIOS if one.by_turns} == {"cpu", "memory"}
