"""The root of a Debian 13 as people have it, with systemd, and what the project needs.

It is kept by the digest of its recipe. What a run tests is not in it but on the guest's data disk: this
working tree, as it is now, compiled by the root's compiler.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from tests.paths import REPOSITORY
from tests.studies import clean_root
from vm.command import cached

PACKAGES = (
    "apparmor,busybox-static,ca-certificates,curl,dbus,docker-cli,docker-compose,e2fsprogs,gcc,git,iproute2,"
    "iputils-ping,kmod,libc6-dev,libnftables1,linux-image-cloud-amd64,mmdebstrap,musl-tools,nftables,procps,"
    "psmisc,python3,python3-dev,python3-venv,systemd-resolved,systemd-sysv,udev,zstd"
)
TOOLS = "setuptools wheel pytest pytest-timeout pytest-benchmark pytest-xdist hypothesis jsonschema docker"
IMAGE = "from pathlib import Path; from bench.image import build; build(Path('/var/cache/ninetynine'))"
DEPENDENCIES = "/opt/ninetynine"
COMMANDS = (
    f"python3 -m venv {DEPENDENCIES}",
    f"{DEPENDENCIES}/bin/pip install -q --editable . {TOOLS}",
    f'{DEPENDENCIES}/bin/python -c "{IMAGE}"',
    f"{DEPENDENCIES}/bin/pip uninstall -q -y ninetynine",
    "systemctl -q enable systemd-networkd systemd-resolved nftables",
    "ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf",
)
INSTALL = (
    "python3 -m venv --without-pip .venv",
    f"echo {DEPENDENCIES}/lib/python3*/site-packages > $(echo .venv/lib/python3*/site-packages)/others.pth",
    f"{DEPENDENCIES}/bin/pip -q --python .venv/bin/python install --no-deps --no-build-isolation -e .",
)
"""The project in its venv, as in a checkout, but with the root's copies of what it depends on."""

KEPT_S = 24 * 3600.0
MADE_FROM = ("pyproject.toml", "bench/image/*.py", "bench/workloads/*.c")


def systemd_root(cache: Path) -> tuple[Path, str]:
    """The root's directory, built once per recipe, and the recipe's digest."""
    parts = [repr((PACKAGES, COMMANDS)).encode(), *(path.read_bytes() for path in _tracked(*MADE_FROM))]
    name = "systemd-" + hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
    if not (cache / name).exists():
        _remove_old(cache)
    return cached(cache / name, _build), name


def installed_tree(volume: Path, root: Path) -> None:
    """This working tree below `volume`, which the guest has at /volume, installed by the root's programs."""
    _copy_tree(volume / "ninetynine")
    for command in INSTALL:
        _run(root, command, volume)


def _remove_old(cache: Path) -> None:
    """Each change of a recipe makes another root; those of other days are wanted no more."""
    for path in [*cache.glob("systemd-*"), *cache.glob("vm/base-systemd-*")]:
        if time.time() - path.stat().st_ctime > KEPT_S:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _build(root: Path) -> None:
    clean_root.make_root(root, PACKAGES)
    _copy_tree(root / "volume/ninetynine")
    (root / "ninetynine").symlink_to("volume/ninetynine")
    for command in COMMANDS:
        _run(root, command)


def _run(root: Path, command: str, volume: Path | None = None) -> None:
    if status := clean_root.run(root, command, volume):
        raise OSError(f"{command}: exit status {status}")


def _copy_tree(target: Path) -> None:
    for path in _tracked():
        copy = target / path.relative_to(REPOSITORY)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)


def _tracked(*patterns: str) -> list[Path]:
    """What git knows of this tree, or would take in."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout
    paths = (REPOSITORY / name for name in sorted(names.split("\0")) if name)
    return [path for path in paths if path.is_symlink() or path.is_file()]
