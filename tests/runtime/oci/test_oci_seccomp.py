from __future__ import annotations

import pytest

from runtime.oci.seccomp import compile_seccomp
from runtime.oci.spec import Seccomp, SeccompArg, SeccompSyscall
from runtime.spawn.linux import SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW
from runtime.spawn.seccomp import FilterError
from runtime.spawn.seccomp.bpf import ALLOW, AUDIT_ARCH, ERRNO, KILL_PROCESS, X32_BIT
from runtime.spawn.syscalls import table
from tests.runtime.spawn.bpf_machine import execute

X86 = ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")


def profile(*syscalls: SeccompSyscall, **more: object) -> Seccomp:
    return Seccomp(default_action="SCMP_ACT_ERRNO", architectures=X86, syscalls=syscalls, **more)


def allow(*names: str, args: tuple[SeccompArg, ...] = ()) -> SeccompSyscall:
    return SeccompSyscall(names=names, action="SCMP_ACT_ALLOW", args=args)


@pytest.mark.parametrize(("machine", "bit"), [("x86_64", 0), ("i386", 0), ("x32", X32_BIT)])
def test_a_call_is_known_by_name_on_every_machine(machine, bit):
    code = compile_seccomp(profile(allow("read", "ioctl", "no_such_call"))).code
    arch = AUDIT_ARCH.get(machine, AUDIT_ARCH["x86_64"])
    numbers = table(machine)
    assert execute(code, arch, numbers["ioctl"] | bit) == ALLOW
    assert execute(code, arch, numbers["getpid"] | bit) in (ERRNO | 1, ERRNO | 38)


@pytest.mark.parametrize(
    ("op", "value", "two", "good", "bad"),
    [
        ("SCMP_CMP_EQ", 5, 0, 5, 6),
        ("SCMP_CMP_NE", 5, 0, 6, 5),
        ("SCMP_CMP_LT", 5, 0, 4, 5),
        ("SCMP_CMP_LE", 5, 0, 5, 6),
        ("SCMP_CMP_GT", 5, 0, 1 << 40, 5),
        ("SCMP_CMP_GE", 5, 0, 5, 4),
        ("SCMP_CMP_MASKED_EQ", 0xF0, 0x10, 0x1F, 0x20),
    ],
)
def test_conditions_on_arguments(op, value, two, good, bad):
    arg = SeccompArg(index=1, value=value, value_two=two, op=op)
    code = compile_seccomp(profile(allow("socket", args=(arg,)))).code
    arch, number = AUDIT_ARCH["x86_64"], table("x86_64")["socket"]
    assert execute(code, arch, number, (0, good)) == ALLOW
    assert execute(code, arch, number, (0, bad)) == ERRNO | 1


def test_errnos_flags_and_other_actions():
    deny = SeccompSyscall(names=("read",), action="SCMP_ACT_ERRNO", errno_ret=99)
    kill = SeccompSyscall(names=("write",), action="SCMP_ACT_KILL_PROCESS")
    found = compile_seccomp(profile(deny, kill, flags=("SECCOMP_FILTER_FLAG_LOG",)), spec_allow=True)
    arch = AUDIT_ARCH["x86_64"]
    assert execute(found.code, arch, 0) == ERRNO | 99
    assert execute(found.code, arch, 1) == KILL_PROCESS
    assert execute(found.code, arch, 400) == ERRNO | 38
    assert found.flags == SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW


@pytest.mark.parametrize(
    "bad",
    [
        profile(SeccompSyscall(names=("read",), action="SCMP_ACT_NOTIFY")),
        profile(allow("read", args=(SeccompArg(index=0, value=1, op="SCMP_CMP_ABOUT"),))),
        profile(flags=("SECCOMP_FILTER_FLAG_TSYNC",)),
    ],
)
def test_what_is_not_supported_is_named(bad):
    with pytest.raises(FilterError, match=r"NOTIFY|ABOUT|TSYNC"):
        compile_seccomp(bad)
