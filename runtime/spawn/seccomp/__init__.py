"""seccomp filters: a default profile equal in effect to Docker's, compiled to BPF by us."""

from __future__ import annotations

import struct

import msgspec

from runtime.spawn.linux import SECCOMP_SET_MODE_FILTER
from runtime.spawn.tape import Tape


class Filter(msgspec.Struct, frozen=True):
    """A compiled filter: `code` is BPF, 8 bytes an instruction; `flags` are SECCOMP_FILTER_FLAG_*."""

    code: bytes
    flags: int = 0


def add_filter(tape: Tape, program: Filter) -> None:
    """Append the loading of `program`. Needs no_new_privs or CAP_SYS_ADMIN."""
    fprog = struct.pack("<QQ", len(program.code) // 8, tape.address_of(program.code))
    tape.add("load seccomp filter", "seccomp", SECCOMP_SET_MODE_FILTER, program.flags, fprog)
