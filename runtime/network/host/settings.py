"""Settings of the host that networks need: changed if they must, noted before, put back by the last user.

The note lies in /run, which ends with the boot, as the settings do; it names the processes that need them.
Who is killed is no user any more: the next one, or a sweep, puts back what nobody needs. A setting that
somebody else has changed since is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from runtime.network.errors import wrap
from runtime.spawn.owner import Owner

_OURS = "nn"
DIRECTORY = Path("/run/ninetynine")
_IPV4, _IPV6 = Path("/proc/sys/net/ipv4/conf"), Path("/proc/sys/net/ipv6/conf")


class SettingChange(msgspec.Struct, frozen=True):
    """One file below /proc/sys, what it held and what it was given."""

    path: str
    before: str
    after: str


class Note(msgspec.Struct):
    """Who needs the settings of one network namespace, and what was changed for them, oldest first."""

    users: list[str] = []
    changes: list[SettingChange] = []


class HostSettings:
    """The part of one owner. All methods raise NetworkError."""

    def __init__(self, owner: Owner, directory: Path = DIRECTORY) -> None:
        self._owner, self._directory = owner, directory
        self._needed = False

    def need(self, wanted: Mapping[Path, str], along: tuple[Path, ...] = ()) -> tuple[str, ...]:
        """Set files to the values wanted; return all files changed so far, for other owners too.

        along: files that change with them, to be put back with them.
        """
        missing = {path: value for path, value in wanted.items() if _read(path) not in (value, None)}
        if not missing and not self._needed and not self._note_path().exists():
            return ()
        with self._note() as note:
            known = {change.path for change in note.changes}
            for path, value in (*missing.items(), *((path, "1") for path in along if missing)):
                before = _read(path)
                if before is not None and str(path) not in known:
                    note.changes.append(SettingChange(str(path), before, value))
            if str(self._owner) not in note.users:
                note.users.append(str(self._owner))
            changed = tuple(change.path for change in note.changes)
        self._needed = True
        for path, value in missing.items():
            _write(path, value)
        return changed

    def release(self) -> None:
        """Need nothing any more. Idempotent."""
        if not self._needed:
            return
        self._needed = False
        with self._note() as note:
            if str(self._owner) in note.users:
                note.users.remove(str(self._owner))

    def sweep(self) -> list[str]:
        """Put back what only dead processes needed; return the files that were."""
        if not self._note_path().exists():
            return []
        with self._note() as note:
            before = [change.path for change in note.changes]
        return [] if self._note_path().exists() else before

    def _note_path(self) -> Path:
        return self._directory / f"settings-{Path('/proc/thread-self/ns/net').stat().st_ino}.json"

    @contextlib.contextmanager
    def _note(self) -> Iterator[Note]:
        """Read, change and write the note, alone. Without living users the settings go back, and it goes."""
        path = self._note_path()
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(path.parent / "settings.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise wrap(f"note settings of the host in {path}", error.errno) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            note = _load(path)
            note.users = [user for user in note.users if _is_alive(user)]
            yield note
            if note.users:
                temporary = path.with_suffix(".new")
                temporary.write_bytes(msgspec.json.encode(note))
                temporary.replace(path)
            else:
                _put_back(note.changes)
                path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def forwarding(links: frozenset[str], *, ipv6: bool) -> tuple[dict[Path, str], tuple[Path, ...]]:
    """Say what must be set so that answers from outside are passed on to containers, and what changes along.

    links: of the host, over which the world is reached. IPv4 forwarding is a matter of the link a packet
    comes in on; IPv6 knows only a switch for all, which also ends that links take router advertisements
    (accept_ra 1; with 2 they go on), those that come later too.
    """
    wanted = {_IPV4 / link / "forwarding": "1" for link in sorted(links)}
    if not ipv6:
        return wanted, ()
    for link in (*sorted(links), "default"):
        if _read(_IPV6 / link / "accept_ra") == "1" and _read(_IPV6 / link / "forwarding") == "0":
            wanted[_IPV6 / link / "accept_ra"] = "2"
    wanted[switch := _IPV6 / "all/forwarding"] = "1"
    if _read(switch) == "1":
        return wanted, ()
    others = (path for path in _IPV6.glob("*/forwarding") if not path.parent.name.startswith(_OURS))
    return wanted, tuple(sorted(path for path in others if path not in wanted))


def is_router() -> bool:
    """Say whether somebody has switched IPv4 forwarding on for all links; we only do for some."""
    return _read(_IPV4 / "all/forwarding") == "1"


def forwards() -> bool:
    """Say whether packets for containers are forwarded: on all links, or on those that we are to open."""
    return is_router() or os.access(_IPV4 / "all/forwarding", os.W_OK)


def uplinks() -> frozenset[str]:
    """Return the host's links that have IPv4 routes or the IPv6 default route, ours not among them."""
    routes = _lines("/proc/thread-self/net/route")[1:]
    return frozenset(_not_ours(line.split()[0] for line in routes)) | uplinks6()


def uplinks6() -> frozenset[str]:
    """Return the host's links that have the IPv6 default route, ours not among them."""
    routes = map(str.split, _lines("/proc/thread-self/net/ipv6_route"))
    return frozenset(_not_ours(fields[9] for fields in routes if int(fields[1], 16) == 0)) - {"lo"}


def _not_ours(links: Iterable[str]) -> Iterator[str]:
    return (link for link in links if not link.startswith(_OURS))


def _put_back(changes: list[SettingChange]) -> None:
    ours = [change for change in changes if _read(Path(change.path)) == change.after]
    if is_router():  # who has made it one since needs our links, too
        ours = [change for change in ours if not change.path.startswith(str(_IPV4))]
    for change in ours:
        if _read(Path(change.path)) not in (change.before, None):
            _write(Path(change.path), change.before)


def _load(path: Path) -> Note:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Note)
    except (FileNotFoundError, msgspec.MsgspecError):
        return Note()


def _is_alive(user: str) -> bool:
    owner = Owner.parse(user)
    return owner is not None and owner.is_alive()


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return []


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except FileNotFoundError:
        pass  # the link has gone
    except OSError as error:
        raise wrap(f"write {value} to {path}", error.errno) from error
