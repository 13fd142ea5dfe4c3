import os
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from vm.owner import Owner, current, of, parse


def test_this_process_is_alive_and_keeps_its_identity():
    assert current().alive()
    assert current() == of(os.getpid())


def test_a_number_used_again_is_another_process():
    assert not Owner(os.getpid(), current().starttime + 1).alive()


def test_an_ended_process_is_dead_also_before_it_is_reaped():
    child = subprocess.Popen(["/bin/sleep", "60"])
    owner = of(child.pid)
    assert owner.alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not owner.alive()
    child.wait()


@given(st.integers(0, 2**31), st.integers(0, 2**63))
def test_text_survives(pid, start):
    assert parse(str(Owner(pid, start))) == Owner(pid, start)


@given(st.text(max_size=12))
def test_other_text_is_not_an_owner_or_reads_back(text):
    owner = parse(text)
    assert owner is None or parse(str(owner)) == owner
