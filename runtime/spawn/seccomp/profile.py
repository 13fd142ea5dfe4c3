"""The default filter, equal in effect to Docker's profile (mid 2026).

Docker lists the allowed calls; this lists the others, which is shorter and shows the reasons. Every known
call up to NEWEST is allowed except those below. An unknown lower number gives EPERM; a number above the
newest gives ENOSYS, so that programs fall back instead of failing.
"""

from __future__ import annotations

from functools import lru_cache

from runtime.spawn import capabilities
from runtime.spawn.linux import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
)
from runtime.spawn.seccomp.bpf import ALLOW, ERRNO, Condition, Rule, SyscallTable, Verdict
from runtime.spawn.syscalls import MACHINE, table

EPERM, ENOSYS = 1, 38
NEWEST = "removexattrat"
"""The newest call in Docker's profile."""

FIRST_X32 = 512
AF_ALG, AF_VSOCK = 38, 40
PERSONALITIES = (0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""PER_LINUX, PER_LINUX32, both with UNAME26, and the value that only queries."""

REFUSED = frozenset(
    {
        # not namespaced: keyrings, kernel images, swap, NUMA moves of other processes
        *("add_key", "keyctl", "request_key", "kexec_load", "kexec_file_load", "swapon", "swapoff"),
        *("migrate_pages", "move_pages", "pivot_root"),
        # a large attack surface for little gain
        *("io_uring_enter", "io_uring_register", "io_uring_setup", "userfaultfd"),
        # obsolete, or answered with ENOSYS by the kernel anyway
        *(
            "_sysctl",
            "afs_syscall",
            "bdflush",
            "break",
            "create_module",
            "ftime",
            "get_kernel_syms",
            "getpmsg",
        ),
        *(
            "gtty",
            "idle",
            "lock",
            "mpx",
            "nfsservctl",
            "nice",
            "oldfstat",
            "oldlstat",
            "oldolduname",
            "oldstat",
        ),
        *("olduname", "prof", "profil", "putpmsg", "query_module", "readdir", "security", "sgetmask"),
        *(
            "sigaction",
            "signal",
            "sigpending",
            "sigsuspend",
            "ssetmask",
            "stty",
            "sysfs",
            "tuxcall",
            "ulimit",
        ),
        *("uselib", "ustat", "vm86", "vm86old", "vserver"),
    }
)

NEEDS = {
    "DAC_READ_SEARCH": "open_by_handle_at",
    "SYS_ADMIN": "bpf fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr "
    "lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl "
    "quotactl_fd setdomainname sethostname setns syslog umount umount2 unshare",
    "SYS_BOOT": "reboot",
    "SYS_CHROOT": "chroot",
    "SYS_MODULE": "delete_module init_module finit_module",
    "SYS_PACCT": "acct",
    "SYS_PTRACE": "kcmp pidfd_getfd process_madvise",
    "SYS_RAWIO": "iopl ioperm",
    "SYS_TIME": "settimeofday stime clock_settime clock_settime64",
    "SYS_TTY_CONFIG": "vhangup",
    "SYS_NICE": "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
    "SYSLOG": "syslog",
    "BPF": "bpf",
    "PERFMON": "perf_event_open",
}
"""Capability → calls that are refused without it (a call listed twice needs one of the two)."""

_NEW_NAMESPACES = (
    CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET
)
TABLES = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}
"""The tables that a filter covers, by machine: a 64-bit x86 kernel also runs 32-bit and x32 programs."""


@lru_cache
def default_machines(caps: int, machine: str = MACHINE) -> dict[str, SyscallTable]:
    """Return the default profile for a container with the bounding set `caps`, by system call table."""
    held = set(capabilities.names(caps))
    missing = set(REFUSED)
    for names in NEEDS.values():
        missing |= set(names.split())
    for capability in held & NEEDS.keys():
        missing -= set(NEEDS[capability].split())
    return {name: _machine(name, frozenset(missing), "SYS_ADMIN" in held) for name in TABLES[machine]}


def _machine(name: str, missing: frozenset[str], may_make_namespaces: bool) -> SyscallTable:
    numbers = table(name)
    verdicts: dict[int, Verdict] = {
        number: ALLOW for call, number in numbers.items() if number <= numbers[NEWEST] and call not in missing
    }
    for number in range(numbers[NEWEST] + 1):
        verdicts.setdefault(number, ERRNO | EPERM)
    if name == "x86_64":
        own = {call: number for call, number in table("x32").items() if number >= FIRST_X32}
        verdicts |= {number: ERRNO | EPERM if call in missing else ALLOW for call, number in own.items()}
    verdicts[numbers["personality"]] = (
        *(Rule(ALLOW, (Condition(0, "eq", value),)) for value in PERSONALITIES),
        Rule(ERRNO | EPERM),
    )
    refused_families = (Condition(0, "ne", AF_VSOCK), Condition(0, "ne", AF_ALG))
    verdicts[numbers["socket"]] = (Rule(ALLOW, refused_families), Rule(ERRNO | EPERM))
    if not may_make_namespaces:
        no_flags = (Condition(0, "masked", 0, _NEW_NAMESPACES),)
        verdicts[numbers["clone"]] = (Rule(ALLOW, no_flags), Rule(ERRNO | EPERM))
        # a filter cannot read its flags, which are behind a pointer; on ENOSYS glibc falls back to clone
        verdicts[numbers["clone3"]] = ERRNO | ENOSYS
    return SyscallTable(verdicts, default=ERRNO | ENOSYS, newer=ERRNO | ENOSYS)
