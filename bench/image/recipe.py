"""The recipe of the bench image, as data; its digest is the key of the built image in the cache."""

from __future__ import annotations

import hashlib
import platform
from pathlib import Path

import msgspec

from bench.backends.base import BackendError

WORKLOADS = Path(__file__).parent.parent / "workloads"

PACKAGES = (
    "busybox",
    "fio",
    "iperf3",
    "netperf",
    "nginx-light",
    "openssl",
    "python3-minimal",
    "redis-server",
    "redis-tools",
    "stress-ng",
    "sysbench",
    "wrk",
)

# stress-ng links libEGL for a stressor that we do not run, which pulls in a graphics driver larger than
# everything else.
EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/lintian/*",
    "/usr/share/X11/locale/*",
    "/usr/lib/*/libLLVM*",
    "/usr/lib/*/libgallium*",
    "/usr/lib/*/libz3.so*",
)

DIRECTORIES = ("volume", "proc", "sys", "dev", "tmp", "run", "opt/ninetynine")

# Every file's mtime. A constant, so that the same package versions give the same layer digests on every
# machine.
EPOCH = 1_760_000_000


class ImageError(BackendError):
    """The bench image could not be made: names the step, what failed, and what to do next."""


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that determines the bytes of an image, except the versions in the archive on that day.

    `workloads` are (file name, sha256) of the C sources compiled into /opt/ninetynine.
    """

    version: int
    distribution: str
    suite: str
    mirror: str
    components: str
    machine: str
    packages: tuple[str, ...]
    excluded: tuple[str, ...]
    directories: tuple[str, ...]
    epoch: int
    workloads: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """64 hexadecimal digits; equal recipes have equal digests."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()

    @property
    def system_digest(self) -> str:
        """The digest of everything except our own programs: what a bootstrap makes."""
        return msgspec.structs.replace(self, workloads=()).digest


def for_host(mirror: str = "", os_release: Path = Path("/etc/os-release")) -> Recipe:
    """Return the recipe for this machine: its own suite on Debian and Ubuntu, Debian 13 elsewhere.

    `mirror` is the URL of an archive; "" is the distribution's own.
    """
    distribution, suite = _suite(os_release)
    return Recipe(
        version=3,
        distribution=distribution,
        suite=suite,
        mirror=mirror,
        components="main,universe" if distribution == "ubuntu" else "main",
        machine=platform.machine(),
        packages=PACKAGES,
        excluded=EXCLUDED,
        directories=DIRECTORIES,
        epoch=EPOCH,
        workloads=tuple((path.name, _sha256(path)) for path in sources()),
    )


def sources(directory: Path = WORKLOADS) -> list[Path]:
    """Return the C sources of our own workload programs, in the order of their names."""
    return sorted(directory.glob("*.c"))


def _suite(os_release: Path) -> tuple[str, str]:
    lines = (line.partition("=") for line in os_release.read_text().splitlines())
    fields = {key: value.strip().strip("\"'") for key, _, value in lines}
    name, codename = fields.get("ID", ""), fields.get("VERSION_CODENAME", "")
    # Older Debians lack some of the packages; testing and sid change by the hour.
    if name == "debian" and codename in ("bookworm", "trixie", "forky"):
        return name, codename
    if name == "ubuntu" and codename:
        return name, codename
    return "debian", "trixie"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
