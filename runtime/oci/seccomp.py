"""Compile a seccomp profile of the OCI spec."""

from __future__ import annotations

from functools import lru_cache

from runtime.oci.spec import Seccomp, SeccompSyscall
from runtime.spawn.linux import SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW
from runtime.spawn.seccomp import Filter, FilterError, bpf, compile_filter
from runtime.spawn.seccomp.profile import FIRST_X32
from runtime.spawn.syscalls import MACHINE, table

_ACTIONS = {
    "SCMP_ACT_KILL": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.TRAP,
    "SCMP_ACT_ERRNO": bpf.ERRNO,
    "SCMP_ACT_TRACE": bpf.TRACE,
    "SCMP_ACT_LOG": bpf.LOG,
    "SCMP_ACT_ALLOW": bpf.ALLOW,
}
_OPERATORS = {
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_GE": "ge",
    "SCMP_CMP_GT": "gt",
}
_FLAGS = {
    "SECCOMP_FILTER_FLAG_LOG": SECCOMP_FILTER_FLAG_LOG,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": SECCOMP_FILTER_FLAG_SPEC_ALLOW,
}
_TABLES = {
    "SCMP_ARCH_X86_64": "x86_64",
    "SCMP_ARCH_X86": "i386",
    "SCMP_ARCH_X32": "x32",
    "SCMP_ARCH_AARCH64": "aarch64",
}
EPERM, ENOSYS = 1, 38


@lru_cache
def compile_seccomp(profile: Seccomp, *, spec_allow: bool = True) -> Filter:
    """Return the compiled filter. Names unknown on a machine are skipped, as users of libseccomp do.

    As with runc, numbers above the highest one named get ENOSYS if the default action is an errno.
    Raises FilterError for an unknown action, operator or flag.
    """
    names = {_TABLES[a] for a in profile.architectures if a in _TABLES} | {MACHINE}
    default = _action(profile.default_action, profile.default_errno_ret)
    newer = bpf.ERRNO | ENOSYS if default & 0xFFFF0000 == bpf.ERRNO else default
    machines = {
        name: _machine(_numbers(name), profile.syscalls, default, newer)
        for name in sorted(names - {"x32"}, key=lambda name: name != MACHINE)
    }
    flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW if spec_allow else 0
    for flag in profile.flags:
        if flag not in _FLAGS:
            raise FilterError(f"seccomp flag {flag} is not supported; known: {', '.join(_FLAGS)}")
        flags |= _FLAGS[flag]
    return Filter(compile_filter(machines), flags)


def _numbers(name: str) -> dict[str, list[int]]:
    """Return each call's numbers: one, and on x86_64 a second if x32 has its own."""
    numbers = {call: [number] for call, number in table(name).items()}
    if name == "x86_64":
        for call, number in table("x32").items():
            if number >= FIRST_X32:
                numbers.setdefault(call, []).append(number)
    return numbers


def _machine(
    numbers: dict[str, list[int]], syscalls: tuple[SeccompSyscall, ...], default: int, newer: int
) -> bpf.SyscallTable:
    rules: dict[int, list[bpf.Rule]] = {}
    for entry in syscalls:
        rule = bpf.Rule(_action(entry.action, entry.errno_ret), _conditions(entry))
        for name in entry.names:
            for number in numbers.get(name, ()):
                rules.setdefault(number, []).append(rule)
    verdicts: dict[int, bpf.Verdict] = {}
    for number, found in rules.items():
        bare = next((rule.action for rule in found if not rule.conditions), None)
        if bare is not None:
            verdicts[number] = bare
        else:
            verdicts[number] = (*found, bpf.Rule(default))
    return bpf.SyscallTable(verdicts, default=default, newer=newer)


def _conditions(entry: SeccompSyscall) -> tuple[bpf.Condition, ...]:
    found = []
    for arg in entry.args:
        if arg.op == "SCMP_CMP_MASKED_EQ":
            found.append(bpf.Condition(arg.index, "masked", arg.value_two, arg.value))
        elif arg.op in _OPERATORS:
            found.append(bpf.Condition(arg.index, _OPERATORS[arg.op], arg.value))
        else:
            raise FilterError(f"seccomp operator {arg.op} is unknown; known: {', '.join(_OPERATORS)}")
    return tuple(found)


def _action(name: str, errno_ret: int | None) -> int:
    if name not in _ACTIONS:
        raise FilterError(f"seccomp action {name} is not supported; known: {', '.join(_ACTIONS)}")
    action = _ACTIONS[name]
    if action in (bpf.ERRNO, bpf.TRACE):
        action |= EPERM if errno_ret is None else errno_ret
    return action
