"""Platforms that requests name, `linux/arm64/v8` or a part of that."""

from __future__ import annotations

from runtime.engine.errors import BadParameterError

_SYSTEMS = frozenset({"linux", "windows", "darwin", "freebsd"})
_ALONE = _SYSTEMS | frozenset(
    {"amd64", "x86_64", "x86-64", "arm64", "aarch64", "arm", "armhf",
     "armel", "386", "i386", "ppc64le", "s390x", "riscv64", "mips64le", "loong64"}
)  # fmt: skip
"""What means something without the other half."""


def check_name(text: str) -> None:
    """Refuse what is no platform at all. Raises BadParameterError."""
    if text and "/" not in text and text.lower() not in _ALONE:
        raise BadParameterError(f'"{text}": unknown operating system or architecture: invalid argument')


def check_platform(text: str) -> None:
    """Refuse what this machine cannot run. Raises BadParameterError."""
    check_name(text)
    system = text.partition("/")[0].lower()
    if ("/" in text or system in _SYSTEMS) and system not in ("linux", ""):
        raise BadParameterError(f'operating system "{system}" is not supported: only linux is')
