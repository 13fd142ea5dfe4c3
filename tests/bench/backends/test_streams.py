from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.backends.base import BackendError
from bench.backends.programs import streams
from bench.backends.programs.processes import HostChild
from tests.descriptors import open_descriptors


def launcher(argv: Sequence[str]) -> streams.Launch:
    """Start a plain child of this process: the streams do not care what starts it."""

    def launch(stdin: int, stdout: int, stderr: int) -> streams.Child:
        popen = subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)
        popen.returncode = 0  # HostChild reaps it
        return HostChild(popen.pid, os.pidfd_open(popen.pid))

    return launch


def sh(script: str) -> list[str]:
    return ["sh", "-c", script]


def test_run_collects_both_outputs_and_the_exit_code() -> None:
    argv = sh("cat; echo err >&2; exit 7")
    done = streams.run(launcher(argv), argv, b"in", 60)
    assert (done.stdout, done.stderr, done.exit_code) == (b"in", b"err\n", 7)
    assert done.start_ns < done.end_ns


def test_run_does_not_wait_for_a_daemon_that_keeps_the_pipes() -> None:
    argv = sh("sleep 600 & echo $!")
    done = streams.run(launcher(argv), argv, b"", 60)
    os.kill(int(done.stdout), 9)
    assert done.exit_code == 0


def test_run_stops_feeding_a_program_that_does_not_read() -> None:
    argv = sh("exit 0")
    assert streams.run(launcher(argv), argv, bytes(1 << 20), 60).exit_code == 0


def test_run_kills_what_is_too_slow_and_quotes_it() -> None:
    argv = sh("echo busy >&2; exec sleep 30")
    with pytest.raises(BackendError, match=r"\bsh\b.*0\.3 s.*busy"):
        streams.run(launcher(argv), argv, b"", 0.3)


def test_run_closes_all_descriptors() -> None:
    before = open_descriptors()
    streams.run(launcher(["true"]), ["true"], b"", 60)
    assert open_descriptors() <= before


@settings(max_examples=25, deadline=None)
@given(st.lists(st.binary(min_size=0, max_size=200), min_size=1, max_size=4))
def test_a_marker_is_found_wherever_it_is_split(parts: list[bytes]) -> None:
    marker = b"\x00END\x00"
    clean = [part.replace(b"END", b"") for part in parts]
    channel = streams.PipeChannel(launcher(["cat"]), ["cat"])
    try:
        for part in clean:
            channel.write(part + marker)
        assert [channel.read_until(marker, 10) for _ in clean] == [part + marker for part in clean]
    finally:
        channel.close()


def test_a_channel_quotes_the_last_words() -> None:
    argv = sh("echo why >&2")
    channel = streams.PipeChannel(launcher(argv), argv)
    with pytest.raises(BackendError, match=r"\bsh: .*why$"):
        channel.read_until(b"x", 10)
    channel.close()


def test_a_closed_channel_takes_and_gives_nothing() -> None:
    channel = streams.PipeChannel(launcher(["cat"]), ["cat"])
    channel.close()
    channel.close()
    with pytest.raises(BackendError, match="cat"):
        channel.write(b"x")
    with pytest.raises(BackendError, match="cat"):
        channel.read_until(b"x", 1)
