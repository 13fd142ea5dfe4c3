from __future__ import annotations

import os
import subprocess
from pathlib import Path

from runtime.spawn.owner import Owner, _ticks_in

_EXITING = 4


def test_this_process_is_alive_and_a_reused_number_is_another_one():
    me = Owner.current()
    assert me.is_alive()
    assert not Owner(me.pid, me.start + 1, me.pid_namespace).is_alive()
    assert Owner.parse(f"nn_{str(me).replace('-', '_')}") == me


def test_a_zombie_is_dead():
    child = subprocess.Popen(["sleep", "60"])
    owner = Owner.of(child.pid)
    assert owner is not None and owner.is_alive()
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not owner.is_alive()
    child.wait()


def test_who_is_exiting_is_dead_though_its_files_are_closed_before_it_is_a_zombie():
    stat = Path("/proc/self/stat").read_bytes()
    head, _, tail = stat.rpartition(b") ")
    fields = tail.split()
    assert _ticks_in(stat) == int(fields[19])
    fields[6] = str(int(fields[6]) | _EXITING).encode()
    assert _ticks_in(head + b") " + b" ".join(fields)) is None
