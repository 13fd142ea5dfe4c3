"""The `config.json` for an OCI runtime, which asks for the same isolation as our own runtime has.

Mounts, masks, capabilities and the seccomp profile are our runtime's defaults (Docker's), in the terms of
the OCI runtime-spec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from bench.backends.base import InstanceSpec
from runtime.oci import defaults
from runtime.oci.spec import (
    Capabilities,
    Linux,
    Mount,
    Namespace,
    NamespaceType,
    Process,
    Root,
    Seccomp,
    SeccompArg,
    SeccompSyscall,
    Spec,
)
from runtime.spawn import capabilities, syscalls
from runtime.spawn.seccomp import bpf, profile

_ARCHITECTURES = {
    "x86_64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "aarch64": ("SCMP_ARCH_AARCH64",),
}
_OPERATORS = {
    "eq": "SCMP_CMP_EQ",
    "ne": "SCMP_CMP_NE",
    "lt": "SCMP_CMP_LT",
    "le": "SCMP_CMP_LE",
    "gt": "SCMP_CMP_GT",
    "ge": "SCMP_CMP_GE",
    "masked": "SCMP_CMP_MASKED_EQ",
}


def write(
    bundle: Path, spec: InstanceSpec, argv: Sequence[str], env: Sequence[str], cgroup: str, netns: str = ""
) -> None:
    """Write `bundle/config.json`: root in `bundle/rootfs`, cgroup at `cgroup` in every hierarchy."""
    document = _without_blanks(msgspec.to_builtins(_spec(spec, tuple(argv), tuple(env), netns)))
    document["linux"]["cgroupsPath"] = cgroup
    document["linux"]["resources"] = _resources(spec)
    (bundle / "config.json").write_bytes(msgspec.json.encode(document))


def _without_blanks(part: Any) -> Any:
    """Leave out empty values: crun takes an empty path for a path."""
    if isinstance(part, dict):
        return {key: _without_blanks(value) for key, value in part.items() if value not in ("", None, (), [])}
    if isinstance(part, (list, tuple)):
        return [_without_blanks(value) for value in part]
    return part


def _spec(spec: InstanceSpec, argv: tuple[str, ...], env: tuple[str, ...], netns: str) -> Spec:
    kept = tuple(f"CAP_{name}" for name in capabilities.DEFAULT)
    volume = (Mount(destination="/volume", type="bind", source=str(spec.volume), options=("rbind", "rw")),)
    return Spec(
        process=Process(
            args=argv,
            env=env,
            capabilities=Capabilities(bounding=kept, effective=kept, permitted=kept),
            oom_score_adj=0,
        ),
        root=Root(path="rootfs"),
        hostname="ninetynine",
        mounts=(*defaults.MOUNTS, *(volume if spec.volume else ())),
        linux=Linux(
            namespaces=tuple(_namespaces(spec, netns)),
            masked_paths=defaults.MASKED,
            readonly_paths=defaults.READONLY,
            seccomp=seccomp(),
        ),
    )


def _namespaces(spec: InstanceSpec, netns: str) -> Iterator[Namespace]:
    names: tuple[NamespaceType, ...] = defaults.NAMESPACES
    for name in names:
        if not (name == "network" and spec.network == "host"):
            yield Namespace(type=name, path=netns if name == "network" else "")


def _resources(spec: InstanceSpec) -> dict[str, object]:
    devices: list[dict[str, object]] = [{"allow": False, "access": "rwm"}]
    for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 2), (136, None)):
        rule: dict[str, object] = {"allow": True, "type": "c", "major": major, "access": "rwm"}
        devices.append(rule if minor is None else {**rule, "minor": minor})
    resources: dict[str, object] = {"devices": devices}
    if spec.memory_max is not None:
        resources["memory"] = {"limit": spec.memory_max}
    return resources


@cache
def seccomp() -> Seccomp:
    """Return our runtime's default filter as an OCI profile, for this machine's native calls."""
    machine = syscalls.MACHINE
    kept = profile.default_machines(capabilities.mask(capabilities.DEFAULT))[machine]
    names = {number: name for name, number in syscalls.table(machine).items()}
    allowed = tuple(
        sorted(names[n] for n, verdict in kept.verdicts.items() if verdict == bpf.ALLOW and n in names)
    )
    rules = [SeccompSyscall(names=allowed, action="SCMP_ACT_ALLOW")]
    for number in sorted(kept.verdicts.keys() & names.keys()):
        verdict = kept.verdicts[number]
        if isinstance(verdict, tuple):
            rules += [_syscall(names[number], args) for rule in verdict for args in _arguments(rule)]
        elif verdict != bpf.ALLOW:
            rules.append(
                SeccompSyscall(names=(names[number],), action="SCMP_ACT_ERRNO", errno_ret=verdict & 0xFFFF)
            )
    return Seccomp(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=profile.EPERM,
        architectures=_ARCHITECTURES[machine],
        syscalls=tuple(rules),
    )


def _syscall(name: str, args: tuple[SeccompArg, ...]) -> SeccompSyscall:
    return SeccompSyscall(names=(name,), action="SCMP_ACT_ALLOW", args=args)


def _arguments(rule: bpf.Rule) -> Iterator[tuple[SeccompArg, ...]]:
    """Yield the argument lists of an allowing rule; refusing is the default action anyway.

    libseccomp accepts an argument once per rule, so "neither 38 nor 40" becomes three rules.
    """
    if rule.action != bpf.ALLOW:
        return
    conditions = rule.conditions
    if len(conditions) > 1 and all(c.op == "ne" and c.index == conditions[0].index for c in conditions):
        values = sorted(condition.value for condition in conditions)
        index = conditions[0].index
        yield (SeccompArg(index=index, value=values[0], op="SCMP_CMP_LT"),)
        yield (SeccompArg(index=index, value=values[-1], op="SCMP_CMP_GT"),)
        for value in sorted(set(range(values[0], values[-1])) - set(values)):
            yield (SeccompArg(index=index, value=value, op="SCMP_CMP_EQ"),)
        return
    yield tuple(_argument(condition) for condition in conditions)


def _argument(condition: bpf.Condition) -> SeccompArg:
    operator = _OPERATORS[condition.op]
    if condition.op == "masked":  # libseccomp's first value is the mask
        return SeccompArg(index=condition.index, value=condition.mask, value_two=condition.value, op=operator)
    return SeccompArg(index=condition.index, value=condition.value, op=operator)
