"""The root of a Debian 13 as people have it, with systemd, and the project in a venv.

It is kept by the digest of its recipe. What a run tests is not in it but on the guest's data disk: this
working tree, as it is now, with what the root's compiler made of it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

import clean_root

from vm.command import cached

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "apparmor,busybox-static,ca-certificates,curl,dbus,docker-cli,docker-compose,e2fsprogs,gcc,git,iproute2,"
    "iputils-ping,kmod,libc6-dev,libnftables1,linux-image-cloud-amd64,mmdebstrap,musl-tools,nftables,procps,"
    "psmisc,python3,python3-dev,python3-venv,systemd-resolved,systemd-sysv,udev,zstd"
)
TEST_TOOLS = "pytest pytest-timeout pytest-benchmark pytest-xdist hypothesis jsonschema docker"
IMAGE = "from pathlib import Path; from bench.image import build; build(Path('/var/cache/ninetynine'))"
COMMANDS = (
    "python3 -m venv /opt/ninetynine",
    f"/opt/ninetynine/bin/pip install -q --editable . {TEST_TOOLS}",
    f'/opt/ninetynine/bin/python -c "{IMAGE}"',
    "systemctl -q enable systemd-networkd systemd-resolved nftables",
    "ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf",
)
KEPT_S = 24 * 3600.0
COMPILED = ("*.c", "*.h", "setup.py", "pyproject.toml", "bench/image/*.py")
"""What the root's venv and its image of the workloads are made from."""


def systemd_root(cache: Path) -> tuple[Path, str]:
    """The root's directory, built once per recipe, and the recipe's digest."""
    parts = [repr((PACKAGES, COMMANDS)).encode(), *(path.read_bytes() for path in _tracked(*COMPILED))]
    name = "systemd-" + hashlib.sha256(b"\0".join(parts)).hexdigest()[:12]
    if not (cache / name).exists():
        _remove_old(cache)
    return cached(cache / name, _build), name


def working_tree(target: Path, root: Path) -> None:
    """Copy what git knows of this tree, and what was compiled of it in `root`."""
    for path in _tracked():
        copy = target / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy, follow_symlinks=False)
    built = root / "volume/ninetynine"
    for pattern in ("*.so", "*.elf"):
        for path in built.rglob(pattern):
            shutil.copy2(path, target / path.relative_to(built))
    (target / ".venv").symlink_to("/opt/ninetynine")


def _remove_old(cache: Path) -> None:
    """Each change of a C file makes another root; those of other days are wanted no more."""
    for path in [*cache.glob("systemd-*"), *cache.glob("vm/base-systemd-*")]:
        if time.time() - path.stat().st_ctime > KEPT_S:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _build(root: Path) -> None:
    clean_root.make_root(root, PACKAGES)
    (root / "volume").mkdir()
    working_tree(root / "volume/ninetynine", root)
    (root / "ninetynine").symlink_to("volume/ninetynine")
    for command in COMMANDS:
        if status := clean_root.run(root, command):
            raise OSError(f"{command}: exit status {status}")


def _tracked(*patterns: str) -> list[Path]:
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    paths = (ROOT / name for name in sorted(names.split("\0")) if name)
    return [path for path in paths if path.is_symlink() or path.is_file()]
