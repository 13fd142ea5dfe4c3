"""Choose the image of an index that runs here, by operating system, architecture and variant."""

from __future__ import annotations

import platform as machine
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from runtime.image.registry.registry_errors import RegistryError

_ARCHITECTURES = {
    "x86_64": "amd64",
    "x86-64": "amd64",
    "aarch64": "arm64",
    "armhf": "arm",
    "armel": "arm",
    "i386": "386",
    "i486": "386",
    "i586": "386",
    "i686": "386",
}
_SYSTEMS = frozenset(
    ("aix", "android", "darwin", "dragonfly", "freebsd", "hurd", "illumos", "ios", "js", "linux", "nacl",
     "netbsd", "openbsd", "plan9", "solaris", "wasip1", "windows", "zos")
)  # fmt: skip
_KNOWN = frozenset(
    ("386", "amd64", "amd64p32", "arm", "armbe", "arm64", "arm64be", "ppc64", "ppc64le", "loong64", "mips",
     "mipsle", "mips64", "mips64le", "mips64p32", "mips64p32le", "ppc", "riscv", "riscv64", "s390", "s390x",
     "sparc", "sparc64", "wasm")
)  # fmt: skip
"""Systems and architectures that containerd accepts alone."""
_BELOW: dict[str, tuple[int, tuple[tuple[str, str], ...]]] = {
    "arm": (5, ()),
    "arm64": (9, (("arm", "v8"), ("arm", "v7"), ("arm", "v6"), ("arm", "v5"))),
    "amd64": (2, (("386", ""),)),
}
"""Architecture → its lowest numbered variant, and the other architectures that its CPUs run."""
_PART = re.compile(r"[A-Za-z0-9_-]+")


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """`os/architecture[/variant]`, with the names that images use (amd64, arm64, arm/v7)."""

    os: str = "linux"
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def host_platform() -> Platform:
    """Return this machine's platform."""
    return _normal("linux", machine.machine().lower(), "")


def parse_platform(text: str) -> Platform:
    """Parse `linux/arm64/v8`, `linux/amd64`, `arm64` or `linux`; "" is this machine. Raises RegistryError."""
    here = host_platform()
    if not text:
        return here
    parts = text.split("/")
    for part in parts:
        if not _PART.fullmatch(part):
            raise RegistryError(
                f'"{part}" is an invalid component of "{text}": platform specifier component must match '
                '"^[A-Za-z0-9_-]+$": invalid argument'
            )
    if len(parts) > 3:
        raise RegistryError(f'"{text}": cannot parse platform specifier: invalid argument')
    system, architecture, variant = (*(part.lower() for part in parts), "", "")[:3]
    system = "darwin" if system == "macos" else system
    if len(parts) > 1:
        return _normal(system, architecture, variant)
    if system in _SYSTEMS:
        return msgspec.structs.replace(here, os=system)
    found = _normal(here.os, system, "")
    if found.architecture not in _KNOWN:
        raise RegistryError(f'"{text}": unknown operating system or architecture: invalid argument')
    return found


def from_document(document: Mapping[str, Any]) -> Platform:
    """Return the platform in a descriptor's `platform` or an image's config."""
    fields = [str(document.get(name) or "") for name in ("os", "architecture", "variant")]
    return _normal(*fields)


def rank(wanted: Platform, offered: Platform) -> int | None:
    """Return how well `offered` fits: 0 is best, None does not run."""
    if offered.os != wanted.os:
        return None
    runs = _runs(wanted)
    pair = (offered.architecture, offered.variant)
    return runs.index(pair) if pair in runs else None


def _runs(wanted: Platform) -> list[tuple[str, str]]:
    """Return what a CPU runs, best first: its own variant, lower ones, then its 32-bit predecessor."""
    architecture, variant = wanted.architecture, wanted.variant
    level = int(variant[1:]) if re.fullmatch(r"v\d{1,2}", variant) else 0
    found = [(architecture, variant)]
    lowest, predecessors = _BELOW.get(architecture, (level, ()))
    found += [(architecture, f"v{number}") for number in range(level - 1, lowest - 1, -1)]
    if architecture != "arm":
        found.append((architecture, ""))
    return [*found, *predecessors]


def _normal(system: str, architecture: str, variant: str) -> Platform:
    """Normalize spellings: `aarch64`, `arm64/v8` and `arm64` are one, and so are `arm` and `arm/v7`."""
    if architecture.startswith("armv") and architecture[4:5].isdigit():  # the kernel's spelling: armv7l
        architecture, variant = "arm", f"v{architecture[4]}"
    elif architecture == "armel":
        variant = variant or "v6"
    architecture = _ARCHITECTURES.get(architecture, architecture)
    if variant.isdigit():
        variant = f"v{variant}"
    if (architecture, variant) in (("arm64", "v8"), ("amd64", "v1")):
        variant = ""
    if architecture == "arm" and not variant:
        variant = "v7"
    return Platform(os=system, architecture=architecture, variant=variant)
