"""seccomp filters: a default profile equal in effect to Docker's, compiled to BPF."""

from __future__ import annotations

import struct
from functools import lru_cache

import msgspec

from runtime.spawn.linux import SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_SET_MODE_FILTER
from runtime.spawn.seccomp.bpf import FilterError, compile_filter
from runtime.spawn.seccomp.profile import default_machines
from runtime.spawn.tape import Tape

__all__ = ["Filter", "FilterError", "add_filter", "compile_filter", "default_filter"]


class Filter(msgspec.Struct, frozen=True):
    """A compiled filter: `code` is BPF, 8 bytes per instruction; `flags` are SECCOMP_FILTER_FLAG_*."""

    code: bytes
    flags: int = 0


@lru_cache
def default_filter(caps: int, *, spec_allow: bool = True) -> Filter:
    """Return the default filter of a container with the bounding set `caps`.

    spec_allow: leave the speculative-store-bypass mitigation as it is. Without the flag, kernels before 5.16
    (and later ones booted with spec_store_bypass_disable=seccomp) enable it together with the filter, which
    slows down memory access; runc and Docker set the flag, too.
    """
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW if spec_allow else 0
    return Filter(compile_filter(default_machines(caps)), flags)


def add_filter(tape: Tape, program: Filter) -> None:
    """Append the loading of `program`. Needs no_new_privs or CAP_SYS_ADMIN."""
    fprog = struct.pack("<QQ", len(program.code) // 8, tape.address_of(program.code))
    tape.add("load seccomp filter", "seccomp", SECCOMP_SET_MODE_FILTER, program.flags, fprog)
