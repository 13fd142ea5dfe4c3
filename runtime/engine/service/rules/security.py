"""Rights of a container, from docker's options: capabilities, security options, seccomp profiles."""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from runtime.docker_syntax import booleans
from runtime.engine.errors import BadParameterError, refusing
from runtime.engine.service.model.request import HostConfig
from runtime.oci.spec import Seccomp, SeccompArg, SeccompSyscall
from runtime.spawn import apparmor, capabilities

Profile = Literal["default", "unconfined"] | Seccomp
_GO_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "i686": "x86"}


class SecurityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `security_opt` says. Labels of SELinux are accepted, and not used. apparmor: a profile."""

    no_new_privs: bool = False
    seccomp: str = ""
    apparmor: str = ""
    systempaths: bool = True


def parse_security(options: Sequence[str] | None) -> SecurityOptions:
    """Read docker's `--security-opt` (`name=value`, of old `name:value`). Raises BadParameterError."""
    found: dict[str, Any] = {}
    for text in options or ():
        name, sign, value = text.partition("=")
        if not sign:
            name, sign, value = text.partition(":")
        if name == "no-new-privileges":
            with refusing(f'invalid --security-opt: "{text}": '):
                found["no_new_privs"] = not sign or booleans.parse(value)
        elif name == "seccomp" and value:
            found["seccomp"] = value
        elif name == "systempaths" and value == "unconfined":
            found["systempaths"] = False
        elif name == "apparmor":
            found["apparmor"] = value
        elif name not in ("label", "disable", "writable-cgroups"):
            raise BadParameterError(f'invalid --security-opt: "{text}"')
    return SecurityOptions(**found)


def apparmor_of(host: HostConfig, *, is_on: bool) -> str:
    """Return a container's AppArmor profile, as inspect shows it; "" where there is no AppArmor."""
    asked = parse_security(host.security_opt).apparmor
    if not is_on:
        return ""
    return asked or ("unconfined" if host.privileged else apparmor.NAME)


def capabilities_of(host: HostConfig) -> tuple[str, ...]:
    """Return the capabilities of a container, in the kernel's order.

    BadParameterError: unknown or not available.
    """
    return _chosen(tuple(host.cap_add or ()), tuple(host.cap_drop or ()))


@functools.lru_cache(maxsize=64)
def _chosen(add: tuple[str, ...], drop: tuple[str, ...]) -> tuple[str, ...]:
    every = capabilities.names(capabilities.bounding())
    added, dropped = _names(add, "CapAdd"), _names(drop, "CapDrop")
    for name in added:
        if name != "ALL" and name not in every:
            raise BadParameterError(
                "invalid CapAdd: capability not supported by your kernel or not available in the current "
                f'environment: "CAP_{name}"'
            )
    start = every if "ALL" in added else capabilities.DEFAULT
    if "ALL" in dropped:
        chosen = set(every if "ALL" in added else added)
    else:
        chosen = (set(start) | set(added)) - set(dropped)
    return tuple(name for name in every if name in chosen)


def _names(asked: Sequence[str], field: str) -> tuple[str, ...]:
    short = tuple(name.upper().removeprefix("CAP_") for name in asked)
    for name in short:
        if name != "ALL" and name not in capabilities.NAMES:
            raise BadParameterError(f'invalid {field}: unknown capability: "CAP_{name}"')
    return short


# ---- seccomp --------------------------------------------------------------------------------------------


class _Filter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """When an entry of docker's profile counts."""

    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str = ""


class _SyscallEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    names: list[str] | None = None
    name: str = ""
    action: str
    errno_ret: int | None = None
    args: list[SeccompArg] | None = None
    includes: _Filter | None = None
    excludes: _Filter | None = None


class _ArchMap(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    architecture: str
    sub_architectures: list[str] | None = None


class _Document(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A profile as docker's clients send it: the OCI form with conditions."""

    default_action: str
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[_ArchMap] | None = None
    flags: list[str] | None = None
    syscalls: list[_SyscallEntry] | None = None


def seccomp_of(text: str, caps: Sequence[str]) -> Profile:
    """Return the profile that `--security-opt seccomp=` names, for a container with `caps`.

    Clients read a file themselves and send its content. Raises BadParameterError.
    """
    if text in ("", "builtin", "default"):
        return "default"
    if text == "unconfined":
        return "unconfined"
    try:
        document = msgspec.json.decode(text.encode(), type=_Document)
    except msgspec.MsgspecError as error:
        raise BadParameterError(f"Decoding seccomp profile failed: {error}") from error
    architectures = [*(document.architectures or ())]
    for one in document.arch_map or ():
        architectures += [one.architecture, *(one.sub_architectures or ())]
    kept = tuple(_rule(entry) for entry in document.syscalls or () if _counts(entry, caps))
    return Seccomp(
        default_action=document.default_action,
        default_errno_ret=document.default_errno_ret,
        architectures=tuple(dict.fromkeys(architectures)),
        flags=tuple(document.flags or ()),
        syscalls=kept,
    )


def _rule(entry: _SyscallEntry) -> SeccompSyscall:
    return SeccompSyscall(
        names=tuple(entry.names or ([entry.name] if entry.name else ())),
        action=entry.action,
        errno_ret=entry.errno_ret,
        args=tuple(entry.args or ()),
    )


def _counts(entry: _SyscallEntry, caps: Sequence[str]) -> bool:
    """All conditions of `includes` must hold, and none of `excludes`."""
    includes, excludes = entry.includes or _Filter(), entry.excludes or _Filter()
    have = {f"CAP_{name}" for name in caps}
    machine = _GO_ARCHITECTURES.get(platform.machine(), platform.machine())
    return (
        have.issuperset(includes.caps or ())
        and (not includes.arches or machine in includes.arches)
        and (not includes.min_kernel or _kernel() >= _version(includes.min_kernel))
        and have.isdisjoint(excludes.caps or ())
        and machine not in (excludes.arches or ())
        and not (excludes.min_kernel and _kernel() >= _version(excludes.min_kernel))
    )


def _kernel() -> tuple[int, int]:
    return _version(platform.release())


def _version(text: str) -> tuple[int, int]:
    major, _, rest = text.partition(".")
    digits = "".join(letter if letter.isdecimal() else " " for letter in rest).split()
    return int(major or 0), int(digits[0]) if digits else 0
