"""The device nodes that a container may open: v1's devices list, and a BPF program for v2.

Both are set once on the parent of all our cgroups, and children inherit them: a container costs nothing more,
unless it has its own rules. As in Docker, mknod is allowed for every device, since a node is harmless while
it cannot be opened.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Sequence

from runtime.spawn.cgroups.files import put
from runtime.spawn.cgroups.limits import CgroupError, DeviceRule

NULL, ZERO, FULL, RANDOM, URANDOM = (1, 3), (1, 5), (1, 7), (1, 8), (1, 9)
TTY, CONSOLE, PTMX, PTS = (5, 0), (5, 1), (5, 2), (136, None)
OPEN = (NULL, ZERO, FULL, RANDOM, URANDOM, TTY, CONSOLE, PTMX, PTS)

_BPF_NUMBERS = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_TYPE_CGROUP_DEVICE, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI = 15, 6, 2
_KINDS = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}


_USUAL = (
    *(DeviceRule(kind="c", major=major, minor=minor) for major, minor in OPEN),
    DeviceRule(access="m"),
)


def confine_v1(path: str, rules: Sequence[DeviceRule] = ()) -> None:
    """Set the devices list of the v1 cgroup `path`: the usual devices, and `rules`."""
    put(f"{path}/devices.deny", "a")
    for rule in (*_USUAL, *rules):
        numbers = ":".join("*" if number is None else str(number) for number in (rule.major, rule.minor))
        for kind in "bc" if rule.kind == "a" else rule.kind:
            put(f"{path}/devices.allow", f"{kind} {numbers} {rule.access}")


def confine_v2(path: str, rules: Sequence[DeviceRule] = ()) -> None:
    """Attach the program to the v2 cgroup `path`; it lives as long as the cgroup."""
    program = _load(_program((*_USUAL, *rules)), path)
    try:
        target = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            attributes = struct.pack("<IIII", target, program, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI)
            _bpf(_PROG_ATTACH, attributes, "attach the device program to", path)
        finally:
            os.close(target)
    finally:
        os.close(program)


def _program(rules: Sequence[DeviceRule]) -> bytes:
    """Return a program that allows what one of `rules` allows, and nothing else.

    Context (struct bpf_cgroup_dev_ctx): u32 access << 16 | type, u32 major, u32 minor. r0 = 1 allows.
    """
    load_word, and32, right_shift32, move32 = 0x61, 0x54, 0x74, 0xB4
    body = _op(load_word, 2, 1, 0) + _op(load_word, 3, 1, 4) + _op(load_word, 4, 1, 8)
    # r2 the type, r3 and r4 the numbers, r5 the access
    body += _op(0xBC, 5, 2) + _op(and32, 2, value=0xFFFF) + _op(right_shift32, 5, value=16)
    for rule in rules:
        body += _allow(rule)
    return body + _op(move32, 0, value=0) + _op(_EXIT)


_EXIT = 0x95


def _allow(rule: DeviceRule) -> bytes:
    """Return 1 if the rule covers all of the requested access, else fall through."""
    jump_unequal, jump_any_bit, move32 = 0x55, 0x45, 0xB4
    denied = 7 & ~sum(_ACCESS[letter] for letter in set(rule.access))
    code = _op(move32, 0, value=1) + _op(_EXIT)
    if denied:
        code = _op(jump_any_bit, 5, offset=len(code) // 8, value=denied) + code
    for register, number in ((4, rule.minor), (3, rule.major), (2, _KINDS.get(rule.kind))):
        if number is not None:
            code = _op(jump_unequal, register, offset=len(code) // 8, value=number) + code
    return code


def _op(code: int, dst: int = 0, src: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One instruction."""
    return struct.pack("<BBhi", code, src << 4 | dst, offset, value)


def _load(program: bytes, path: str) -> int:
    code, licence = ctypes.create_string_buffer(program), ctypes.create_string_buffer(b"Apache-2.0")
    attributes = struct.pack(
        "<IIQQIIQIIII",
        _TYPE_CGROUP_DEVICE,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
        *(0, 0, 0),  # no verifier log
        *(0, 0, 0, 0),
    )
    return _bpf(_PROG_LOAD, attributes, "load the device program for", path)


def _bpf(command: int, attributes: bytes, operation: str, path: str) -> int:
    number = _BPF_NUMBERS.get(platform.machine())
    if number is None:
        raise CgroupError(
            operation, path, errno.ENOSYS, f"no number of bpf(2) known for {platform.machine()}"
        )
    buffer = ctypes.create_string_buffer(attributes + bytes(64))
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(number, command, buffer, len(buffer) - 1)
    if result < 0:
        advice = "the kernel needs CONFIG_CGROUP_BPF and this user CAP_BPF; or set confine_devices=False"
        raise CgroupError(operation, path, ctypes.get_errno(), advice)
    return result
