"""Settings of the host that networks need: recorded, changed where necessary, restored by the last user.

The record is in /run, which is lost at reboot, as the settings are; it lists the processes that need them. A
killed process no longer counts: the next user, or a sweep, restores what nobody needs. A setting that
somebody else has changed meanwhile is left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from runtime.network.errors import wrap
from runtime.spawn.durable import replace_file
from runtime.spawn.owner import Owner

_OURS = "nn"
DIRECTORY = Path("/run/ninetynine")
_IPV4, _IPV6 = Path("/proc/sys/net/ipv4/conf"), Path("/proc/sys/net/ipv6/conf")


class SettingChange(msgspec.Struct, frozen=True):
    """One file below /proc/sys, its value before and the value we wrote."""

    path: str
    before: str
    after: str


class SettingsRecord(msgspec.Struct):
    """The users of one network namespace's settings, and what was changed for them, oldest first."""

    users: list[str] = []
    changes: list[SettingChange] = []


class HostSettings:
    """The settings that one owner needs. All methods raise NetworkError."""

    def __init__(self, owner: Owner, directory: Path = DIRECTORY) -> None:
        self._owner, self._directory = owner, directory
        self._needed = False

    def need(self, wanted: Mapping[Path, str], along: tuple[Path, ...] = ()) -> tuple[str, ...]:
        """Write the wanted values; return all files changed so far, for other owners too.

        along: files that the kernel changes with them, to be restored with them.
        """
        missing = {path: value for path, value in wanted.items() if _read(path) not in (value, None)}
        if not missing and not self._needed and not self._record_path().exists():
            return ()
        with self._record() as record:
            known = {change.path for change in record.changes}
            for path, value in (*missing.items(), *((path, "1") for path in along if missing)):
                before = _read(path)
                if before is not None and str(path) not in known:
                    record.changes.append(SettingChange(str(path), before, value))
            if str(self._owner) not in record.users:
                record.users.append(str(self._owner))
            changed = tuple(change.path for change in record.changes)
        self._needed = True
        for path, value in missing.items():
            _write(path, value)
        return changed

    def release(self) -> None:
        """Stop needing the settings. Idempotent."""
        if not self._needed:
            return
        self._needed = False
        with self._record() as record:
            if str(self._owner) in record.users:
                record.users.remove(str(self._owner))

    def sweep(self) -> list[str]:
        """Restore what only dead processes needed; return those files."""
        if not self._record_path().exists():
            return []
        with self._record() as record:
            before = [change.path for change in record.changes]
        return [] if self._record_path().exists() else before

    def _record_path(self) -> Path:
        return self._directory / f"settings-{Path('/proc/thread-self/ns/net').stat().st_ino}.json"

    @contextlib.contextmanager
    def _record(self) -> Iterator[SettingsRecord]:
        """Lock, read and rewrite the record. Without living users restore the settings and remove it."""
        path = self._record_path()
        try:
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(path.parent / "settings.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise wrap(f"record settings of the host in {path}", error.errno) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            record = _load(path)
            record.users = [user for user in record.users if _is_alive(user)]
            yield record
            if record.users:
                replace_file(path, msgspec.json.encode(record), sync=False)
            else:
                _restore(record.changes)
                path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def forwarding(links: frozenset[str], *, ipv6: bool) -> tuple[dict[Path, str], tuple[Path, ...]]:
    """Return the settings that let answers reach containers, and the files that change with them.

    links: the host's uplinks. IPv4 forwarding is set on the link that a packet arrives on. IPv6 has one
    switch for all links, which also stops them, and later ones, from accepting router advertisements, unless
    accept_ra is 2.
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
    """Say whether somebody enabled IPv4 forwarding for all links; we only do so for some."""
    return _read(_IPV4 / "all/forwarding") == "1"


def forwards() -> bool:
    """Say whether packets for containers are forwarded, or can be, where we may enable it."""
    return is_router() or os.access(_IPV4 / "all/forwarding", os.W_OK)


def uplinks() -> frozenset[str]:
    """Return the host's links with IPv4 routes or the IPv6 default route, without ours."""
    routes = _lines("/proc/thread-self/net/route")[1:]
    return frozenset(_not_ours(line.split()[0] for line in routes)) | uplinks6()


def uplinks6() -> frozenset[str]:
    """Return the host's links with the IPv6 default route, without ours."""
    routes = map(str.split, _lines("/proc/thread-self/net/ipv6_route"))
    return frozenset(_not_ours(fields[9] for fields in routes if int(fields[1], 16) == 0)) - {"lo"}


def _not_ours(links: Iterable[str]) -> Iterator[str]:
    return (link for link in links if not link.startswith(_OURS))


def _restore(changes: list[SettingChange]) -> None:
    ours = [change for change in changes if _read(Path(change.path)) == change.after]
    if is_router():  # whoever made it one needs our links too
        ours = [change for change in ours if not change.path.startswith(str(_IPV4))]
    for change in ours:
        if _read(Path(change.path)) not in (change.before, None):
            _write(Path(change.path), change.before)


def _load(path: Path) -> SettingsRecord:
    try:
        return msgspec.json.decode(path.read_bytes(), type=SettingsRecord)
    except (FileNotFoundError, msgspec.MsgspecError):
        return SettingsRecord()


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
