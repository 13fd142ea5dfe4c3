"""A log after a kill at any moment: each byte of the program's output once, whatever was being done."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.docker_syntax.log_options import LogOptions
from runtime.engine.service.stdio import log_spool
from runtime.engine.service.stdio.json_log import JsonLog
from tests.runtime.engine.service.stdio.stream_fakes import joined, read

CALLS = ("open", "write", "pwrite", "splice", "replace", "truncate", "ftruncate", "unlink")


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_at(moment: int, *, after: bool) -> Iterator[None]:
    """Let the process die at its n-th system call: before it, in the middle of a write, or after it."""
    count = 0

    def dying(real: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*given: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count != moment:
                return real(*given, **named)
            if name == "write":
                real(given[0], given[1][: len(given[1]) // 2])
            elif after:
                real(*given, **named)
            raise Killed

        return call

    with contextlib.ExitStack() as patches:
        for name in CALLS:
            patches.enter_context(mock.patch.object(os, name, dying(getattr(os, name), name)))
        with contextlib.suppress(Killed):
            yield


moments = st.lists(st.one_of(st.integers(2, 60), st.integers(60, 400)), min_size=1, max_size=3)
chunks = st.lists(
    st.tuples(st.sampled_from((1, 2)), st.text(alphabet="é\n", min_size=20, max_size=40)),
    min_size=2,
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(
    chunks,
    moments,
    st.booleans(),
    st.sampled_from((0, 600)),
    st.sampled_from((3, 64)),
)
def test_a_kill_loses_nothing_and_doubles_nothing(
    written, moments: list[int], after: bool, most: int, size: int
):
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as held:
        held.enter_context(mock.patch.object(log_spool, "_LARGE", 100))
        pipes = {stream: os.pipe2(os.O_NONBLOCK) for stream in (1, 2)}
        for ends in pipes.values():
            for end in ends:
                held.callback(os.close, end)
        options = LogOptions(max_bytes=most, max_files=40)
        path = Path(directory, "log.json")

        def take(log: JsonLog) -> None:
            for stream, (end, _) in pipes.items():
                with contextlib.suppress(BlockingIOError):
                    while data := log.read(end, stream, size):
                        log.write(stream, data)

        def feed(log: JsonLog) -> None:
            while left:
                stream, text = left.pop(0)
                write(pipes[stream][1], text.encode())
                take(log)

        left, write = list(written), os.write
        for moment in moments:
            log = JsonLog(path, options)
            held.callback(log.close)
            held.callback(log._intake.close)
            with killed_at(moment, after=after):
                log.recover()
                take(log)
                feed(log)
        log = JsonLog(path, options)
        log.recover()
        take(log)
        feed(log)
        log.flush()
        found = read(log)
        for stream in (1, 2):
            got = b"".join(data for one, data in found if one == stream)
            assert got == "".join(text for one, text in written if one == stream).encode()
        assert not path.with_name("log.intake").exists()
        log.close()


def test_a_daemon_that_ends_in_order_leaves_half_a_character_to_the_next(tmp_path: Path):
    end, other = os.pipe()
    for data in (b"\xc3", b"\xa9\n"):
        log = JsonLog(tmp_path / "log.json", LogOptions())
        log.recover()
        os.write(other, data)
        log.write(1, log.read(end, 1, 64))
        log.leave()
    os.close(end)
    os.close(other)
    assert joined(log) == "é\n".encode()
    log.close()
