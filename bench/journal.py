"""The append-only record of a run: JSON lines, one write a line, tolerant of a torn tail.

A line is one step with all its samples, so a step is either wholly there or not at all: a kill -9 loses at
most the step in flight, and a resumed run never has a sample twice. The first line is the run as planned, the
last the run as it ended; between them either may repeat (each resume appends). Lines of older versions are
brought to this one as they are read (`bench.upgrade`).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from bench import upgrade
from bench.errors import ExpectedError
from bench.model import Closed, NotMeasured, OutOfReach, Run, Sample
from bench.output import RefusedError

NAME = Path("log") / "journal.jsonl"

RESUME = "and go on with `ninetynine run --resume`; what was measured before is kept"
ELSEWHERE = "choose a writable directory with --out"
_NOT_BEGUN = "or choose another directory with --out; nothing was measured yet"

_WRONG_PLACE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.ELOOP),
)


class StoreError(ExpectedError):
    """A results directory cannot be read or written: names the file, what is wrong, what to do."""


class RunLine(msgspec.Struct, frozen=True, kw_only=True, tag="run"):
    """The run as planned (first), as resumed, or as ended (last)."""

    run: Run


class StepLine(msgspec.Struct, frozen=True, kw_only=True, tag="step"):
    """One step of the plan and its samples, those of every take of it.

    seconds: of the whole visit. elapsed: of the run's measuring until then, over all its interruptions.
    """

    order: int
    samples: tuple[Sample, ...]
    seconds: float | None = None
    elapsed: float | None = None


class StartLine(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """An instance of a session was started (or not: `failure`), its worker opened, in so many seconds."""

    session: int
    group: str
    arm: str
    seconds: float
    failure: str = ""


class DropLine(msgspec.Struct, frozen=True, kw_only=True, tag="drop"):
    """Steps that were planned and not measured, with the reason. where: in which session and group of it."""

    orders: tuple[int, ...]
    reason: str
    where: str = ""


class ClosedLine(msgspec.Struct, frozen=True, kw_only=True, tag="closed"):
    """A look at the data after so many whole sessions: what it found decided, and what it gave up.

    One line per look, so that a kill leaves either all of what it closed or no trace of it.
    """

    sessions: int
    closed: tuple[Closed, ...]
    out_of_reach: tuple[OutOfReach, ...] = ()


class NoteLine(msgspec.Struct, frozen=True, kw_only=True, tag="note"):
    """Something a reader of the run should know."""

    text: str


class MissingLine(msgspec.Struct, frozen=True, kw_only=True, tag="missing"):
    """An arm or metric found to be unmeasurable while the run went on."""

    missing: NotMeasured


Line = RunLine | StartLine | StepLine | DropLine | ClosedLine | NoteLine | MissingLine


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """All whole lines of a journal.

    torn: bytes at the end that belong to no line. ended: the last line is a run that has come to its end.
    looked: after how many sessions the run looked, each time. closed: what those looks found decided;
    out_of_reach: what they gave up.
    seconds: of each step's whole visit. elapsed: seconds of measuring so far.
    """

    run: Run
    ended: bool
    samples: tuple[Sample, ...]
    done: frozenset[int]
    dropped: tuple[DropLine, ...]
    notes: tuple[str, ...]
    missing: tuple[NotMeasured, ...]
    torn: int
    looked: tuple[int, ...] = ()
    closed: tuple[Closed, ...] = ()
    out_of_reach: tuple[OutOfReach, ...] = ()
    seconds: dict[int, float] = {}
    elapsed: float = 0.0

    @property
    def settled(self) -> frozenset[int]:
        """Steps that a resumed run leaves alone: measured, or dropped with a reason."""
        return self.done.union(*(line.orders for line in self.dropped))


class Journal:
    """The writer. Holds an exclusive lock on the file, so that two processes cannot write one run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        there = path.exists()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        except OSError as error:
            elsewhere = "make the directory of the run writable" if there else ELSEWHERE
            raise write_error("open", path, error, elsewhere=elsewhere) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            raise StoreError(
                f"{path}: another process is writing this run; wait for it or end it first"
            ) from error
        self._keep_torn_tail()

    def append(self, line: Line) -> None:
        """Write one line whole or not at all. Raises StoreError (no space, …); what was there stays."""
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, size)
            raise write_error("append to", self.path, error, then=RESUME if size else _NOT_BEGUN) from error

    def step(
        self,
        order: int,
        samples: Sequence[Sample],
        seconds: float | None = None,
        elapsed: float | None = None,
    ) -> None:
        """Record one finished step of the plan."""
        self.append(StepLine(order=order, samples=tuple(samples), seconds=seconds, elapsed=elapsed))

    def sync(self) -> None:
        """Make all lines survive a loss of power (a crash of the process alone loses none)."""
        try:
            os.fsync(self._fd)
        except OSError as error:
            raise write_error("sync", self.path, error) from error

    def close(self) -> None:
        """Release the lock. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep_torn_tail(self) -> None:
        """A torn last line would spoil the next one: copy its bytes aside, then cut it."""
        data = self.path.read_bytes()
        whole = data.rfind(b"\n") + 1
        if whole == len(data):
            return
        count = sum(1 for _ in self.path.parent.glob("torn-*.bin"))
        try:
            (self.path.parent / f"torn-{count}.bin").write_bytes(data[whole:])
            os.ftruncate(self._fd, whole)
        except OSError as error:
            raise write_error("repair", self.path, error) from error


def is_held(path: Path) -> bool:
    """Whether a process is writing this journal now."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


def read(path: Path) -> Contents:
    """All that a journal holds. Raises StoreError when it has no whole run line, or a broken line inside."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError(f"{path}: cannot read the journal: {error.strerror}") from error
    whole = data.rfind(b"\n") + 1
    lines = list(_lines(path, data[:whole]))
    runs = [line.run for line in lines if isinstance(line, RunLine)]
    if not runs:
        raise StoreError(f"{path}: cut off before its first line; nothing can be recovered from it")
    steps = {line.order: line for line in lines if isinstance(line, StepLine)}
    looks = [line for line in lines if isinstance(line, ClosedLine)]
    return Contents(
        run=runs[-1],
        ended=isinstance(lines[-1], RunLine) and lines[-1].run.status != "running" and whole == len(data),
        samples=tuple(sample for line in steps.values() for sample in line.samples),
        done=frozenset(steps),
        dropped=tuple(line for line in lines if isinstance(line, DropLine)),
        notes=tuple(line.text for line in lines if isinstance(line, NoteLine)),
        missing=tuple(line.missing for line in lines if isinstance(line, MissingLine)),
        torn=len(data) - whole,
        looked=tuple(line.sessions for line in looks),
        closed=tuple(one for line in looks for one in line.closed),
        out_of_reach=tuple(one for line in looks for one in line.out_of_reach),
        seconds={line.order: line.seconds for line in steps.values() if line.seconds is not None},
        elapsed=_elapsed(lines),
    )


def encoded(run: Run, samples: Iterable[Sample]) -> bytes:
    """A whole journal of an ended run, made from its samples."""
    steps: dict[int, list[Sample]] = {}
    for sample in samples:
        steps.setdefault(sample.order, []).append(sample)
    planned = msgspec.structs.replace(
        run, status="running", ended="", closed=(), out_of_reach=(), sessions_run=None, ended_because=None
    )
    lines: list[Line] = [RunLine(run=planned)]
    lines += [StepLine(order=order, samples=tuple(rows)) for order, rows in steps.items()]
    for sessions in sorted({one.sessions for one in run.closed} | {one.sessions for one in run.out_of_reach}):
        closed = tuple(one for one in run.closed if one.sessions == sessions)
        given_up = tuple(one for one in run.out_of_reach if one.sessions == sessions)
        lines.append(ClosedLine(sessions=sessions, closed=closed, out_of_reach=given_up))
    lines.append(RunLine(run=run))
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def write_error(
    operation: str, path: Path, error: OSError, *, then: str = RESUME, elsewhere: str = ELSEWHERE
) -> StoreError:
    """The StoreError of a failed write, with the advice that fits its errno.

    then: what to do with space. elsewhere: what to do where the place cannot be written to.
    """
    if isinstance(error, RefusedError):
        what, _, advice = (error.strerror or "").partition("; ")
        return StoreError(f"{operation} {path}: {what}; {advice if elsewhere == ELSEWHERE else elsewhere}")
    advice = "what was measured before is kept"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        advice = f"free some space {then}"
    elif error.errno in _WRONG_PLACE:
        advice = elsewhere
    return StoreError(f"{operation} {path}: {error.strerror or error}; {advice}")


def _elapsed(lines: Sequence[Line]) -> float:
    """Seconds of measuring: as the last step says, else (older journals) all that the lines took."""
    stamps = [line.elapsed for line in lines if isinstance(line, StepLine) and line.elapsed is not None]
    if stamps:
        return max(stamps)
    return sum(line.seconds or 0.0 for line in lines if isinstance(line, StepLine | StartLine))


def _lines(path: Path, data: bytes) -> Iterator[Line]:
    """The lines, each of the version of the run's line before it: a resumed run may go on in a newer one."""
    decoder = msgspec.json.Decoder(Line)
    at = 0
    old = False
    for raw in data.splitlines(keepends=True):
        try:
            if raw.startswith(_RUN):
                old = upgrade.is_old(msgspec.json.decode(raw)["run"])
            line = _upgraded(raw) if old else decoder.decode(raw)
        except (msgspec.DecodeError, ValueError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}: broken line at byte {at}: {error}; "
                "restore the file, or cut it there to keep what is before"
            ) from error
        if line is not None:
            yield line
        at += len(raw)


_RUN = b'{"type":"run",'


def _upgraded(raw: bytes) -> Line | None:
    """A line of an older version; None for what is not a line any more."""
    document = msgspec.json.decode(raw)
    if upgrade.is_obsolete(document):
        return None
    if document["type"] == "run":
        return RunLine(run=upgrade.run(document["run"]))
    line: Line = msgspec.convert(upgrade.line(document), Line)
    return line
