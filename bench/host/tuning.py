"""Change settings of the host for a measurement and put back exactly what was there, whatever happens.

Before the first change, all that will be changed is on disk with its present values: the *record*. It goes
away when the last value is back. A settings file is machine-wide and gone at the next boot, so the record is
one for the machine and lies in /run; it names its boot, where /run is not cleared. Who tunes holds a lock for
as long as the settings are meant to stay, so a record without a holder is what a kill -9 left, and the next
start puts it back. A *kept* record (`ninetynine tune`) stays without a holder until `untune`.

A value that is not the one we wrote was changed by somebody else meanwhile: it is left and told.
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
from bench.host.check import Check, text
from bench.host.settings import SETTINGS, PlannedChange, Setting, plan

DIRECTORY = "run/ninetynine"
RECORD, LOCK = "tuned.json", "tune.lock"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BOOT = "proc/sys/kernel/random/boot_id"


class TuneError(Exception):
    """The host could not be tuned or put back: names the operation, the object, and what to do."""


class RecordedChange(msgspec.Struct, frozen=True, kw_only=True):
    """One file below /, what it said before, and what we write."""

    setting: str
    path: str
    before: str
    wanted: str


class TuneRecord(msgspec.Struct, frozen=True, kw_only=True):
    """All that is changed now, or is about to be. pid: who did it. kept: meant to stay without a holder."""

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
    """What became of one file: `changed`, `put back`, `as it was` (nothing to do), left as `foreign`, `gone`
    (the file is not there any more), or `failed`."""

    setting: str
    path: str
    state: Literal["changed", "put back", "as it was", "foreign", "gone", "failed"]
    words: str


class Tuner:
    """Tunes one machine, whose files lie below `root`. cpus: those planned for the arms."""

    def __init__(
        self, root: Path = Path("/"), cpus: Sequence[int] = (), settings: Sequence[Setting] = SETTINGS
    ) -> None:
        self.root = root
        self.directory = root / DIRECTORY
        self.cpus = tuple(cpus)
        self.settings = tuple(settings)

    def plan(self) -> list[PlannedChange]:
        """What would be changed, and what not and why."""
        return list(plan(self.root, self.cpus, self.settings))

    def record(self) -> TuneRecord | None:
        """What is recorded as changed, None when nothing is. A record of an earlier boot counts as none."""
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
        """Whether somebody holds the lock now; needs no rights."""
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
        """Hold the machine's tuning. Raises TuneError when another process does, or without the rights."""
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
                    "tune this host: another ninetynine has it tuned now and puts it back when it ends; "
                    "wait for it"
                ) from None
            yield

    def tune(self, *, kept: bool = False) -> list[Done]:
        """Record and make all changes. The caller holds the lock and has settled what was left.

        What cannot be written is told and is no error. On an exception the record says what to put back.
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
        """Put back all that is recorded, last change first; the caller holds the lock.

        What cannot be put back stays recorded for the next time. Not to be interrupted by a signal.
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
        """Put back what a killed process left; a kept tuning stays. The caller holds the lock."""
        record = self.record()
        return [] if record is not None and record.kept else self.put_back()

    @contextlib.contextmanager
    def held(self) -> Iterator[tuple[list[Done], list[Done]]]:
        """Tuned inside the block, as before after it: (what a killed process had left, what was changed).

        Where the host is kept tuned it stays so. What was put back is appended to the second list.
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
            return _done(change, "foreign", f"somebody changed it this moment to {text(here)!r}; left")
        try:
            self._write(here, change.wanted)
        except OSError as error:
            return _done(change, "failed", f"the kernel refuses {change.wanted}: {error.strerror}")
        if text(here) != change.wanted:
            return self._unlike(change)
        return _done(change, "changed", f"{change.before} → {change.wanted}")

    def _unlike(self, change: RecordedChange) -> Done:
        """The kernel took our value and made another one of it: go back at once."""
        became = text(self.root / change.path)
        with contextlib.suppress(OSError):
            self._write(self.root / change.path, change.before)
        return _done(change, "failed", f"{change.wanted} was written and became {became}; put back")

    def _restore(self, change: RecordedChange) -> Done:
        here = self.root / change.path
        present = text(here)
        if not here.exists():
            return _done(change, "gone", "the file is gone, and its setting with it")
        if present == change.before:
            return _done(change, "as it was", present)
        if present != change.wanted:
            words = f"it says {present}, which ninetynine did not write; left (it was {change.before})"
            return _done(change, "foreign", words)
        try:
            self._write(here, change.before)
        except OSError as error:
            return _done(change, "failed", f"could not write {change.before}: {error.strerror}")
        return _done(change, "put back", f"{change.wanted} → {change.before}")

    def _write(self, path: Path, value: str) -> None:
        path.write_text(value + "\n")

    def _write_record(self, record: TuneRecord) -> None:
        """Atomic and on disk before it returns: the old record, or the new one, never a half."""
        final = self.directory / RECORD
        try:
            self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            output.write(final, msgspec.json.encode(record))
        except OSError as error:
            raise TuneError(
                f"write {final}: {error.strerror}; nothing was changed that it does not hold, free some space"
            ) from error

    def _boot(self) -> str:
        return text(self.root / BOOT)


def check(tuner: Tuner) -> Check:
    """The doctor's line: whether the host is as it usually is."""
    effect = "all metrics: a tuned host is quieter than the one others have; compare like with like"
    try:
        record = tuner.record()
    except TuneError as error:
        return Check(name="tuning", state="warn", found=str(error), effect=effect, fix="as it says")
    if record is None:
        able = [item for item in tuner.plan() if item.do == "change"]
        found = f"nothing is changed; {len(able)} settings could be (ninetynine tune --show)"
        return Check(name="tuning", state="ok", found=found, effect=effect)
    words = record.words()
    if tuner.busy():
        found, fix = f"tuned while process {record.pid} runs: {words}", "wait for it to end"
    elif record.kept:
        found, fix = f"tuned until `ninetynine untune`: {words}", "ninetynine untune"
    else:
        found = f"left tuned by process {record.pid}, which was killed: {words}"
        fix = "ninetynine untune; the next run or tune does it too"
    return Check(name="tuning", state="warn", found=found, effect=effect, fix=fix)


def _done(
    change: RecordedChange,
    state: Literal["changed", "put back", "as it was", "foreign", "gone", "failed"],
    words: str,
) -> Done:
    return Done(setting=change.setting, path=f"/{change.path}", state=state, words=words)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back Ctrl-C, SIGTERM and SIGHUP until the block is over; in the main thread, where they arrive.

    By handlers, not by a mask: a mask is one thread's, and numerical libraries have threads that lack it.
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
