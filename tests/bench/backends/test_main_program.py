from __future__ import annotations

import os
import time

import pytest

from bench.backends.base import BackendError
from bench.backends.programs.main_program import MainStreams


def test_the_stamp_is_taken_when_the_byte_has_come() -> None:
    main = MainStreams(until_output=True)
    before = time.monotonic_ns()
    os.write(main.descriptors[1], b"1")
    main.program_has_them()
    assert before < main.first_output("x", 1) < time.monotonic_ns()
    main.close()
    main.close()


def test_an_end_without_output_quotes_the_errors() -> None:
    main = MainStreams(until_output=True)
    os.write(main.descriptors[2], b"no such file\n")
    main.program_has_them()
    with pytest.raises(BackendError, match=r"\bx: .*no such file"):
        main.first_output("x", 1)
    main.close()


def test_silence_is_not_waited_for_for_ever() -> None:
    main = MainStreams(until_output=True)
    with pytest.raises(BackendError, match=r"\bx: .*0\.05 s"):
        main.first_output("x", 0.05)
    main.close()


def test_later_output_is_dropped() -> None:
    main = MainStreams(until_output=True)
    writer = os.dup(main.descriptors[1])
    os.write(writer, b"1")
    main.first_output("x", 1)
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    main.drain()
    assert os.write(writer, b"room again") == 10
    os.close(writer)
    main.close()
