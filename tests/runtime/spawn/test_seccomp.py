from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.spawn import capabilities
from runtime.spawn.linux import CLONE_NEWPID, CLONE_NEWUSER
from runtime.spawn.seccomp import bpf, default_filter
from runtime.spawn.seccomp.bpf import ALLOW, AUDIT_ARCH, ERRNO, X32_BIT, Condition, Rule, SyscallTable
from runtime.spawn.syscalls import table
from tests.runtime.spawn.bpf_machine import execute

EPERM, ENOSYS = ERRNO | 1, ERRNO | 38
DOCKER = capabilities.mask(capabilities.DEFAULT)

words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**32 - 1, 2**32, 2**63])
ops = st.sampled_from(["eq", "ne", "lt", "le", "ge", "gt"])


def holds(c: Condition, value: int) -> bool:
    if c.op == "masked":
        return value & c.mask == c.value
    compare = {"eq": "__eq__", "ne": "__ne__", "lt": "__lt__", "le": "__le__", "ge": "__ge__", "gt": "__gt__"}
    return getattr(value, compare[c.op])(c.value)


def conditions() -> st.SearchStrategy[Condition]:
    plain = st.builds(Condition, st.integers(0, 5), ops, words)
    masked = st.builds(lambda i, v, m: Condition(i, "masked", v & m, m), st.integers(0, 5), words, words)
    return plain | masked


@given(st.lists(conditions(), max_size=3), st.lists(words, min_size=6, max_size=6))
def test_a_rule_holds_when_all_its_conditions_do(tests, args):
    machine = SyscallTable({0: (Rule(ALLOW, tuple(tests)), Rule(EPERM))}, default=EPERM, newer=ENOSYS)
    code = bpf.compile_filter({"x86_64": machine})
    expected = ALLOW if all(holds(c, args[c.index]) for c in tests) else EPERM
    assert execute(code, AUDIT_ARCH["x86_64"], 0, tuple(args)) == expected


@settings(max_examples=60)
@given(st.dictionaries(st.integers(0, 600), st.sampled_from([ALLOW, EPERM, ENOSYS, 7]), min_size=1))
def test_each_number_gets_its_verdict(verdicts):
    machine = SyscallTable(verdicts, default=EPERM, newer=ENOSYS)
    code = bpf.compile_filter({"aarch64": machine, "i386": machine})
    last = max(verdicts)
    for number in {*verdicts, 0, last + 1, last + 1000, *(n + 1 for n in verdicts)}:
        expected = ENOSYS if number > last else verdicts.get(number, EPERM)
        assert execute(code, AUDIT_ARCH["aarch64"], number) == expected


def default(call: str, *args: int, caps: int = DOCKER, arch: str = "x86_64") -> int:
    code = default_filter(caps).code
    if arch == "x32":
        return execute(code, AUDIT_ARCH["x86_64"], table("x32")[call] | X32_BIT, args)
    return execute(code, AUDIT_ARCH[arch], table(arch)[call], args)


@pytest.mark.parametrize(
    ("verdict", "call", "args"),
    [
        (ALLOW, "read", ()),
        (ALLOW, "ptrace", ()),
        (ALLOW, "chroot", ()),
        (EPERM, "mount", ()),
        (EPERM, "keyctl", ()),
        (EPERM, "io_uring_setup", ()),
        (ENOSYS, "clone3", ()),
        (ALLOW, "clone", (17,)),
        (EPERM, "clone", (CLONE_NEWUSER,)),
        (EPERM, "clone", (17 | CLONE_NEWPID,)),
        (ALLOW, "personality", (0x20008,)),
        (ALLOW, "personality", (0xFFFFFFFF,)),
        (EPERM, "personality", (0x0400000,)),
        (EPERM, "personality", (1 << 32,)),
        (ALLOW, "socket", (2,)),
        (EPERM, "socket", (40,)),
        (EPERM, "socket", (38,)),
        (ALLOW, "socket", (41,)),
    ],
)
@pytest.mark.parametrize("arch", ["x86_64", "i386", "x32"])
def test_the_default_profile_judges_as_dockers(verdict, call, args, arch):
    assert default(call, *args, arch=arch) == verdict


@pytest.mark.parametrize(
    ("capability", "call"),
    [("SYS_ADMIN", "mount"), ("BPF", "bpf"), ("SYSLOG", "syslog"), ("SYS_PTRACE", "kcmp")],
)
def test_a_capability_brings_its_calls(capability, call):
    assert default(call) == EPERM
    assert default(call, caps=DOCKER | capabilities.mask([capability])) == ALLOW


def test_who_may_make_namespaces_may_use_clone3():
    caps = DOCKER | capabilities.mask(["SYS_ADMIN"])
    assert default("clone3", caps=caps) == ALLOW
    assert default("clone", CLONE_NEWUSER, caps=caps) == ALLOW


def test_unknown_calls_and_machines():
    code = default_filter(DOCKER).code
    assert execute(code, AUDIT_ARCH["x86_64"], 1000) == ENOSYS
    assert execute(code, AUDIT_ARCH["x86_64"], table("x86_64")["open_tree_attr"]) == ENOSYS
    assert execute(code, AUDIT_ARCH["x86_64"], 400) == EPERM
    assert execute(code, 0xC00000F3, 0) == bpf.KILL_PROCESS


def test_too_long_a_filter_is_refused():
    verdicts = {n: (Rule(n, (Condition(0, "eq", n),)), Rule(EPERM)) for n in range(900)}
    with pytest.raises(bpf.FilterError, match=r"\b4096\b"):
        bpf.compile_filter({"x86_64": SyscallTable(verdicts, default=EPERM, newer=ENOSYS)})
