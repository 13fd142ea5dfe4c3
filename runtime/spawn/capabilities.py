"""The five capability sets of a process, by name and as steps of a tape."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import msgspec

from runtime.spawn.linux import (
    LINUX_CAPABILITY_VERSION_3,
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_CAP_AMBIENT_RAISE,
    PR_CAPBSET_DROP,
    PR_SET_KEEPCAPS,
)
from runtime.spawn.tape import Tape

NAMES = tuple(
    """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
    NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
    SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
    AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ
    PERFMON BPF CHECKPOINT_RESTORE""".split()  # noqa: SIM905 - as capabilities(7) lists them
)
"""Index = number of the capability."""

DEFAULT = (
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID", "SETUID", "SETFCAP", "SETPCAP",
    "NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE",
)  # fmt: skip
"""The capabilities of a Docker container by default."""


class UnknownCapabilityError(ValueError):
    """A name that is not a capability."""


class CapabilitySets(msgspec.Struct, frozen=True):
    """Five bit masks, bit n = capability n. The default is no capabilities."""

    bounding: int = 0
    effective: int = 0
    permitted: int = 0
    inheritable: int = 0
    ambient: int = 0

    @classmethod
    def of(cls, names: Iterable[str]) -> CapabilitySets:
        """Return the sets of a container that may use `names`; inheritable and ambient stay empty.

        With a non-empty inheritable set a file's inheritable capabilities could restore ones that a process
        had dropped (CVE-2022-29162).
        """
        bits = mask(names)
        return cls(bounding=bits, effective=bits, permitted=bits)


def mask(names: Iterable[str]) -> int:
    """Return the bits of `names` (with or without `CAP_`, any case). Raises UnknownCapabilityError."""
    bits = 0
    for name in names:
        short = name.upper().removeprefix("CAP_")
        if short not in NAMES:
            raise UnknownCapabilityError(
                f"no capability is called {name!r}; see capabilities(7) for the names"
            )
        bits |= 1 << NAMES.index(short)
    return bits


def names(bits: int) -> tuple[str, ...]:
    """Return the names of the set bits, lowest first."""
    return tuple(name for number, name in enumerate(NAMES) if bits >> number & 1)


@cache
def last_capability() -> int:
    """Return the highest capability number that the running kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text())


def all_capabilities() -> int:
    """Return the mask of all capabilities of the running kernel."""
    return (1 << last_capability() + 1) - 1


@cache
def grantable() -> int:
    """Return the mask of capabilities that this process has and can pass on: all, unless it is confined."""
    return _own("CapPrm:") & _own("CapBnd:") & all_capabilities()


@cache
def bounding() -> int:
    """Return the mask of capabilities that root can have here: all, unless this process is confined."""
    return _own("CapBnd:") & all_capabilities()


def _own(line: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(found.split()[1], 16) for found in lines if found.startswith(line))


def add_bounding(tape: Tape, sets: CapabilitySets) -> None:
    """Append the drops from the bounding set: without them uid 0 regains all capabilities at execve."""
    for number in range(last_capability() + 1):
        if not sets.bounding >> number & 1:
            name = NAMES[number] if number < len(NAMES) else str(number)
            tape.add(f"drop {name} from the bounding set", "prctl", PR_CAPBSET_DROP, number, 0, 0, 0)


def add_identity(tape: Tape, sets: CapabilitySets, uid: int, gid: int, groups: tuple[int, ...]) -> None:
    """Append the change of user and groups, then the remaining capability sets.

    A change from uid 0 clears the permitted set unless it is kept, and ambient capabilities need it.
    """
    if uid:
        tape.add("keep capabilities over setuid", "prctl", PR_SET_KEEPCAPS, 1, 0, 0, 0)
    packed = struct.pack(f"{len(groups)}I", *groups)
    tape.add(f"set groups to {list(groups)}", "setgroups", len(groups), packed)
    tape.add(f"set gid {gid}", "setresgid", gid, gid, gid)
    tape.add(f"set uid {uid}", "setresuid", uid, uid, uid)
    header = struct.pack("<Ii", LINUX_CAPABILITY_VERSION_3, 0)
    masks = (sets.effective, sets.permitted, sets.inheritable)
    words = [bits >> shift & 0xFFFFFFFF for shift in (0, 32) for bits in masks]
    tape.add("set capabilities", "capset", header, struct.pack("<6I", *words))
    tape.add("clear ambient capabilities", "prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for number in range(len(NAMES)):
        if sets.ambient >> number & 1:
            step = f"raise ambient {NAMES[number]}"
            tape.add(step, "prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0)
