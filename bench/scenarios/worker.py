"""A shell inside an instance that runs one program after another and marks the end of each.

The shell is any POSIX `sh` that reads commands from its standard input. It runs each program in a child, with
standard error joined to standard output and no input, and then prints the exit status and a marker that no
program can guess:

    (exec sysbench cpu run) </dev/null 2>&1; printf '\\n%d %s\\n' $? 7c0e…

The line break before the status is ours, so that output without a final one cannot hide the marker. A
`Worker` keeps no state, so wrapping a channel costs nothing.
"""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Callable, Sequence

import msgspec

from bench.backends.base import BackendError, Channel
from bench.scenarios.base import Context, ScenarioError

SHELL = ("/bin/sh",)
"""The program to `Instance.open` for a worker."""

TIMEOUT_S = 60.0
"""Far more than any slice needs, even under emulation."""

_SHOWN, _WORD = 600, 200
"""Bytes of a failed program's output, and characters of each of its arguments, in its error message."""


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """What a program printed (both outputs in order), and host stamps around it, nanoseconds.

    `start_ns` is taken before the command is sent and `end_ns` when the marker has arrived, so the stamps
    include the shell's fork and the channel's round trip.
    """

    argv: tuple[str, ...]
    text: str
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """Host nanoseconds from request to answer."""
        return self.end_ns - self.start_ns

    def error(self, problem: str) -> ScenarioError:
        """Return an error that names the program, the problem and what was printed."""
        shown = self.text.strip()[-_SHOWN:] or "(nothing)"
        return ScenarioError(f"{_command(self.argv)}: {problem}; it printed: {shown}")


class Worker:
    """Runs programs in an instance, one at a time, over a channel to a shell."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    @classmethod
    def of(cls, context: Context) -> Worker:
        """Return the worker of a slice. Raises ScenarioError when the session has none."""
        if context.worker is None:
            raise ScenarioError(
                f"{context.backend.name}: the slice needs a shell in its instance and the session opened none"
            )
        return cls(context.worker)

    def run(
        self,
        argv: Sequence[str],
        timeout_s: float = TIMEOUT_S,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> Output:
        """Run a program to its end. Raises ScenarioError on exit status ≠ 0, a timeout, or a dead shell.

        `meanwhile` is called on the host after the command was sent; it should return before the program
        ends.
        """
        return self._run(tuple(argv), f"exec {shlex.join(argv)}", timeout_s, meanwhile)

    def script(self, text: str, timeout_s: float = TIMEOUT_S) -> Output:
        """Run shell text in a subshell; otherwise as `run`. A syntax error in it does not end the worker."""
        return self._run(("sh", "-c", text), f"eval {shlex.quote(text)}", timeout_s, lambda: None)

    def _run(
        self, argv: tuple[str, ...], command: str, timeout_s: float, meanwhile: Callable[[], None]
    ) -> Output:
        marker = secrets.token_hex(8)
        line = f"({command}) </dev/null 2>&1; printf '\\n%d %s\\n' $? {marker}\n"
        try:
            start_ns = time.monotonic_ns()
            self._channel.write(line.encode())
            meanwhile()
            raw = self._channel.read_until(f" {marker}\n".encode(), timeout_s)
            end_ns = time.monotonic_ns()
        except BackendError as error:
            raise ScenarioError(f"{_command(argv)}: {error}") from error
        text, status = split_answer(raw, marker)
        output = Output(argv=argv, text=text, start_ns=start_ns, end_ns=end_ns)
        if status:
            raise output.error(f"exit status {status}")
        return output


def _command(argv: tuple[str, ...]) -> str:
    return shlex.join(word if len(word) <= _WORD else f"{word[:_WORD]}…" for word in argv)


def split_answer(raw: bytes, marker: str) -> tuple[str, int]:
    """Split the answer into the program's own output and its exit status.

    Raises ScenarioError when the last line is not `STATUS MARKER`.
    """
    body, found, tail = raw.rpartition(b"\n" + _digits(raw, marker) + f" {marker}\n".encode())
    if not found or tail:
        raise ScenarioError(f"the shell's answer does not end in a status and its marker: {raw[-200:]!r}")
    return body.decode(errors="replace"), int(found.split()[0])


def _digits(raw: bytes, marker: str) -> bytes:
    line = raw[: -len(marker) - 2].rpartition(b"\n")[2]
    return line if line.isdigit() else b"?"
