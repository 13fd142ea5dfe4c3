"""Remove from a root directory what differs between builds of the same packages, or is not needed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

_EMPTIED = ("var/cache/apt", "var/lib/apt/lists", "var/log", "var/cache/ldconfig", "tmp", "run", "var/tmp")
_REMOVED = (
    "etc/apt/apt.conf.d/99mmdebstrap",
    "etc/dpkg/dpkg.cfg.d/99mmdebstrap",
    "etc/passwd-",
    "etc/shadow-",
    "etc/group-",
    "etc/gshadow-",
    "etc/subuid-",
    "etc/subgid-",
    "etc/.pwd.lock",
    "usr/sbin/policy-rc.d",
    "var/cache/debconf/config.dat-old",
    "var/cache/debconf/templates.dat-old",
    "var/lib/dpkg/status-old",
    "var/lib/dpkg/diversions-old",
    "var/lib/dpkg/available",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dpkg/triggers/Lock",
    "var/lib/systemd",
)
# mmdebstrap copies the first two from the machine it runs on.
_WRITTEN = {
    "etc/hostname": "ninetynine\n",
    "etc/resolv.conf": "",
    "etc/hosts": "127.0.0.1\tlocalhost\n",
    "etc/machine-id": "",
}


def trim(root: Path) -> None:
    """Remove caches, logs, locks and traces of the building machine from `root`."""
    for name in _EMPTIED:
        _empty(root / name)
    for name in _REMOVED:
        path = root / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name, text in _WRITTEN.items():
        path = root / name
        path.unlink(missing_ok=True)
        path.write_text(text)


def set_times(root: Path, epoch: int) -> None:
    """Give `root` and everything below it one mtime, `epoch` in seconds."""
    stamp = epoch * 1_000_000_000
    for directory, names, files in os.walk(root, topdown=False):
        for name in (*files, *names):
            os.utime(Path(directory, name), ns=(stamp, stamp), follow_symlinks=False)
    os.utime(root, ns=(stamp, stamp))


def _empty(directory: Path) -> None:
    """Remove the files below `directory`, not its directories: programs expect them (/var/log/nginx)."""
    if not directory.is_dir():
        return
    for where, _, files in os.walk(directory):
        for name in files:
            Path(where, name).unlink()
