"""Time a tiny loop in guest ring 0 under KVM; a separate program, since it may hang or die.

    python -I -S ring0.py   ->   nanoseconds per iteration on standard output

Standard library only, so that the child starts fast. Layouts are those of linux/kvm.h on x86-64.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import struct
import sys
import time

LOOPS = 100_000

_SEGMENT, _SREGS, _REGS = 24, 312, 144  # sizeof kvm_segment, kvm_sregs, kvm_regs


def _ioc(direction: int, number: int, size: int = 0) -> int:
    return direction << 30 | size << 16 | 0xAE << 8 | number


_CREATE_VM, _MMAP_SIZE, _CREATE_VCPU = _ioc(0, 0x01), _ioc(0, 0x04), _ioc(0, 0x41)
_SET_MEMORY, _RUN, _SET_REGS = _ioc(1, 0x46, 32), _ioc(0, 0x80), _ioc(1, 0x82, _REGS)
_GET_SREGS, _SET_SREGS = _ioc(2, 0x83, _SREGS), _ioc(1, 0x84, _SREGS)
_EXIT_HLT = 5

PROGRAM = b"\xb9" + struct.pack("<I", LOOPS) + b"\xff\xc9\x75\xfc\xf4"
"""mov ecx, LOOPS; 1: dec ecx; jnz 1b; hlt"""


def guest_memory() -> mmap.mmap:
    """Return 64 KiB of guest memory: identity page tables for the first 2 MiB, and the program at 0x4000."""
    ram = mmap.mmap(-1, 0x10000)
    ram[0x1000:0x1008] = struct.pack("<Q", 0x2003)  # PML4[0] -> PDPT, present and writable
    ram[0x2000:0x2008] = struct.pack("<Q", 0x3003)  # PDPT[0] -> PD
    ram[0x3000:0x3008] = struct.pack("<Q", 0x0083)  # PD[0]: a 2-MiB page at 0
    ram[0x4000 : 0x4000 + len(PROGRAM)] = PROGRAM
    return ram


def enter_long_mode(vcpu: int) -> None:
    """Set flat 64-bit segments at privilege 0, paging, and the instruction pointer at the program."""
    sregs = bytearray(_SREGS)
    fcntl.ioctl(vcpu, _GET_SREGS, sregs)
    for index in range(6):  # cs ds es fs gs ss: base, limit, selector, type, present, dpl, db, s, l, g, ...
        code = index == 0
        fields = (0, 0xFFFFFFFF, 8 if code else 16, 11 if code else 3, 1, 0, not code, 1, code, 1, 0, 0, 0)
        struct.pack_into("<QIH10B", sregs, index * _SEGMENT, *fields)
    # cr0 = PE|ET|NE|WP|PG, cr2, cr3 = PML4, cr4 = PAE, cr8, efer = LME|LMA
    struct.pack_into("<6Q", sregs, 224, 0x80010031, 0, 0x1000, 0x20, 0, 0x500)
    fcntl.ioctl(vcpu, _SET_SREGS, bytes(sregs))
    registers = [0] * 18
    registers[6], registers[16], registers[17] = 0x8000, 0x4000, 2  # rsp, rip, rflags
    fcntl.ioctl(vcpu, _SET_REGS, struct.pack("<18Q", *registers))


def ring0_ns() -> float:
    """Return nanoseconds per loop iteration; OSError or RuntimeError if KVM refuses. May hang."""
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    vm = fcntl.ioctl(kvm, _CREATE_VM, 0)
    vcpu = fcntl.ioctl(vm, _CREATE_VCPU, 0)  # without an interrupt controller, HLT exits to us
    state = mmap.mmap(vcpu, fcntl.ioctl(kvm, _MMAP_SIZE, 0))
    ram = guest_memory()
    address = ctypes.addressof(ctypes.c_char.from_buffer(ram))
    fcntl.ioctl(vm, _SET_MEMORY, struct.pack("<IIQQQ", 0, 0, 0, len(ram), address))
    enter_long_mode(vcpu)
    start = time.perf_counter_ns()
    fcntl.ioctl(vcpu, _RUN, 0)
    spent = time.perf_counter_ns() - start
    (reason,) = struct.unpack_from("<I", state, 8)
    if reason != _EXIT_HLT:
        raise RuntimeError(f"KVM_RUN left with exit reason {reason}, not HLT")
    return spent / LOOPS


if __name__ == "__main__":
    try:
        print(ring0_ns())
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))
