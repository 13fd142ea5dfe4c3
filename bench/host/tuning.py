"""Change settings of the host for a measurement and put back exactly what was there, whatever happens.

Before the first change, all present values are written to disk: the *record*. It is deleted when the last
value is put back. Settings are machine-wide and lost at the next boot, so there is one record per machine, in
/run, with the id of the boot in case /run is not cleared. A process holds a lock for as long as its settings
should stay. So a record without a lock was left by a kill -9, and the next start puts it back. A *kept*
record (`ninetynine tune`) stays without a lock until `untune`.

A value that is not the one we wrote was changed by someone else since then; it is left alone and reported.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bench import output
from bench.errors import ExpectedError
from bench.host.check import Check, Topic, text
from bench.host.settings import SETTINGS, PlannedChange, Setting, plan

DIRECTORY = "run/ninetynine"
RECORD, LOCK = "tuned.json", "tune.lock"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BOOT = "proc/sys/kernel/random/boot_id"


class TuneError(ExpectedError):
    """The host could not be tuned or put back: names the operation, the object, and what to do."""


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file below /, its content before, and what we write."""

    setting: str
    path: str
    before: str
    wanted: str


class TuneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is changed, or about to be. pid: of the process that tunes. kept: stays without a
    lock."""

    boot: str
    pid: int
    kept: bool
    changes: tuple[RecordedChange, ...]

    def words(self) -> str:
        """`governor=performance (was powersave, 8 files), …`."""
        files: dict[tuple[str, str, str], int] = {}
        for one in self.changes:
            key = (one.setting, one.wanted, one.before)
            files[key] = files.get(key, 0) + 1
        return ", ".join(
            f"{name}={wanted} (was {before}{f', {count} files' if count > 1 else ''})"
            for (name, wanted, before), count in files.items()
        )


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome for one file: `changed`, `put back`, `as it was` (nothing to do), `foreign` (changed by
    someone else, left alone), `gone` (the file no longer exists), or `failed`."""

    setting: str
    path: str
    state: Literal["changed", "put back", "as it was", "foreign", "gone", "failed"]
    words: str


class Tuner:
    """Tunes one machine, whose files are below `root`. cpus: those planned for the arms."""

    def __init__(
        self, root: Path = Path("/"), cpus: Sequence[int] = (), settings: Sequence[Setting] = SETTINGS
    ) -> None:
        self.root = root
        self.directory = root / DIRECTORY
        self.cpus = tuple(cpus)
        self.settings = tuple(settings)

    def plan(self) -> list[PlannedChange]:
        """Return what would be changed, and what not and why."""
        return list(plan(self.root, self.cpus, self.settings))

    def record(self) -> TuneRecord | None:
        """Return what is recorded as changed, None if nothing is. A record of an earlier boot does not
        count."""
        try:
            data = (self.directory / RECORD).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise TuneError(f"read {self.directory / RECORD}: {error.strerror}; run as root") from error
        try:
            found = msgspec.json.decode(data, type=TuneRecord)
        except msgspec.DecodeError as error:
            raise TuneError(
                f"read {self.directory / RECORD}: {error}; it holds what settings were before "
                "`ninetynine tune`: put them back by hand and remove it"
            ) from error
        return found if found.boot == self._boot() else None

    def busy(self) -> bool:
        """Return whether a process holds the lock now. Needs no root."""
        try:
            with (self.directory / LOCK).open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock. Raises TuneError if another process holds it, or without root."""
        try:
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            file = (self.directory / LOCK).open("w")
        except OSError as error:
            raise TuneError(f"lock {self.directory / LOCK}: {error.strerror}; run as root") from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise TuneError(
                    "tune this host: another ninetynine has tuned it and will put it back when it ends; "
                    "wait for it"
                ) from None
            yield

    def tune(self, *, kept: bool = False) -> list[Done]:
        """Record and make all changes. The caller holds the lock and has put back leftovers.

        A file that cannot be written is reported and not an error. After an exception the record says what to
        put back.
        """
        old = self.record()
        changes = {one.path: one for one in old.changes} if old else {}
        fresh = [
            RecordedChange(setting=item.setting, path=item.path, before=item.present, wanted=item.wanted)
            for item in self.plan()
            if item.do == "change"
        ]
        changes |= {one.path: one for one in fresh}
        if not changes:
            return []
        record = TuneRecord(boot=self._boot(), pid=os.getpid(), kept=kept, changes=tuple(changes.values()))
        self._write_record(record)
        done = [self._apply(one) for one in fresh]
        refused = {one.path for one in done if one.state != "changed"}
        if refused:
            rest = tuple(one for one in record.changes if one.path not in refused)
            self._write_record(msgspec.structs.replace(record, changes=rest))
        return done

    def put_back(self) -> list[Done]:
        """Put back everything recorded, last change first; the caller holds the lock.

        What cannot be put back stays recorded. Signals are held back meanwhile.
        """
        with undisturbed():
            record = self.record()
            if record is None:
                (self.directory / RECORD).unlink(missing_ok=True)  # of an earlier boot
                return []
            done: list[Done] = []
            left: list[RecordedChange] = []
            for change in reversed(record.changes):
                done.append(self._restore(change))
                if done[-1].state == "failed":
                    left.insert(0, change)
            if left:
                self._write_record(msgspec.structs.replace(record, changes=tuple(left)))
            else:
                (self.directory / RECORD).unlink(missing_ok=True)
            return done

    def settle(self) -> list[Done]:
        """Put back what a killed process left; kept settings stay. The caller holds the lock."""
        record = self.record()
        return [] if record is not None and record.kept else self.put_back()

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[list[Done], list[Done]]]:
        """Tune for the block: yields (what a killed process had left, what was changed).

        Kept settings stay. What is put back after the block is appended to the second list.
        """
        with self.locked():
            left = self.settle()
            record = self.record()
            done: list[Done] = []
            try:
                if record is None:
                    done += self.tune()
                yield left, done
            finally:
                if record is None:
                    done += self.put_back()

    def _apply(self, change: RecordedChange) -> Done:
        here = self.root / change.path
        if text(here) != change.before:
            return _done(change, "foreign", f"someone has just changed it to {text(here)!r}; left alone")
        try:
            self._write(here, change.wanted)
        except OSError as error:
            return _done(change, "failed", f"the kernel refuses {change.wanted}: {error.strerror}")
        if text(here) != change.wanted:
            return self._unlike(change)
        return _done(change, "changed", f"{change.before} → {change.wanted}")

    def _unlike(self, change: RecordedChange) -> Done:
        """Put back a value that the kernel changed into another one."""
        became = text(self.root / change.path)
        with contextlib.suppress(OSError):
            self._write(self.root / change.path, change.before)
        return _done(change, "failed", f"{change.wanted} was written and became {became}; put back")

    def _restore(self, change: RecordedChange) -> Done:
        here = self.root / change.path
        present = text(here)
        if not here.exists():
            return _done(change, "gone", "the file no longer exists")
        if present == change.before:
            return _done(change, "as it was", present)
        if present != change.wanted:
            words = f"it is {present}, which ninetynine did not write; left alone (it was {change.before})"
            return _done(change, "foreign", words)
        try:
            self._write(here, change.before)
        except OSError as error:
            return _done(change, "failed", f"could not write {change.before}: {error.strerror}")
        return _done(change, "put back", f"{change.wanted} → {change.before}")

    def _write(self, path: Path, value: str) -> None:
        path.write_text(value + "\n")

    def _write_record(self, record: TuneRecord) -> None:
        """Write the record atomically, on disk before this returns: a crash leaves the old one or the new
        one."""
        final = self.directory / RECORD
        try:
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            output.write(final, msgspec.json.encode(record))
        except OSError as error:
            raise TuneError(
                f"write {final}: {error.strerror}; only recorded changes were made; free some space"
            ) from error

    def _boot(self) -> str:
        return text(self.root / BOOT)


def check(tuner: Tuner) -> Check:
    """Check whether the host is tuned."""
    about = Topic("tuning", "all metrics: a tuned host is quieter; compare only with runs on a tuned host")
    try:
        record = tuner.record()
    except TuneError as error:
        return about("warn", str(error), "follow the message")
    if record is None:
        able = [item for item in tuner.plan() if item.do == "change"]
        return about("ok", f"not tuned; {len(able)} settings could be changed (ninetynine tune --show)")
    words = record.words()
    if tuner.busy():
        found, fix = f"tuned while process {record.pid} runs: {words}", "wait for it to end"
    elif record.kept:
        found, fix = f"tuned until `ninetynine untune`: {words}", "ninetynine untune"
    else:
        found = f"left tuned by process {record.pid}, which was killed: {words}"
        fix = "ninetynine untune; the next run or tune also does it"
    return about("warn", found, fix)


def _done(
    change: RecordedChange,
    state: Literal["changed", "put back", "as it was", "foreign", "gone", "failed"],
    words: str,
) -> Done:
    return Done(setting=change.setting, path=f"/{change.path}", state=state, words=words)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP during the block, if it runs in the main thread.

    By handlers, not by a signal mask, which belongs to one thread: numerical libraries have other threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for got in came:
        signal.raise_signal(got)
