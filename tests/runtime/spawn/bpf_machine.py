"""An interpreter of seccomp's classic BPF, to check filters with."""

from __future__ import annotations

import struct

_JUMPS = {0x15: int.__eq__, 0x25: int.__gt__, 0x35: int.__ge__, 0x45: lambda a, k: bool(a & k)}


def execute(code: bytes, arch: int, number: int, args: tuple[int, ...] = ()) -> int:
    """The verdict of a filter on one call."""
    data = struct.pack("<IIQ6Q", number, arch, 0, *args, *[0] * (6 - len(args)))
    program = list(struct.iter_unpack("<HBBI", code))
    accumulator, at = 0, 0
    while True:
        op, true, false, k = program[at]
        at += 1
        if op == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, k)
        elif op == 0x54:
            accumulator &= k
        elif op == 0x05:
            at += k
        elif op == 0x06:
            return k
        else:
            at += true if _JUMPS[op](accumulator, k) else false
