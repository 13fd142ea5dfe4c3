"""The README's two commands on a machine that has nothing: a new Debian root, a clean clone, a chroot.

    python3 -m tests.studies.clean_root bench|tests [--root DIR] [--keep]

Needs root and mmdebstrap. /dev, /proc, /sys and the cgroup trees are bound in; the host's own ways to its
package registries (certificates, apt and pip settings) are copied, everything else is the distribution's
minimum. Prints the command, its exit status and how long it took.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.paths import REPOSITORY

WAYS_TO_REGISTRIES = ("etc/apt/apt.conf.d/99*", "etc/pip.conf", "etc/resolv.conf", "etc/hosts")
INSIDE = """
for place in dev proc sys; do mount --rbind "/$place" "$0/$place"; done
test -z "$2" || mount --bind "$2" "$0/volume"
exec chroot "$0" sh -c "cd /ninetynine && $1"
"""
"""In a mount namespace of its own, so that whatever removes the root later never meets the host's /dev."""

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


def readme_command(name: str) -> str:
    """The shell line that README.md promises for `name`."""
    text = (REPOSITORY / "README.md").read_text()
    found = re.search(rf"<!-- {name} -->\n```sh\n(.+?)\n```", text, re.S)
    if not found:
        raise SystemExit(f"README.md has no command marked <!-- {name} -->")
    return found[1]


def make_root(root: Path, packages: str = "ca-certificates") -> None:
    """A minimal Debian that reaches the package registries as this host does."""
    command = ["mmdebstrap", "--variant=minbase", f"--include={packages}", "trixie", root, "--quiet"]
    subprocess.run(command, check=True)
    for pattern in WAYS_TO_REGISTRIES:
        for source in Path("/").glob(pattern):
            target = root / source.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)  # a link to what only a running system has
            shutil.copy(source, target)
    shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))


def run(root: Path, command: str, volume: Path | None = None) -> int:
    """Run `command` by sh in the project, at /ninetynine, with only the environment a login would give.

    volume: what is at /volume meanwhile.
    """
    environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
    environment |= {"LANG": "C.UTF-8", "TERM": "dumb"}
    environment |= {
        name: value for name, value in os.environ.items() if name in ("PIP_CERT", "SSL_CERT_FILE", "CI")
    }
    shell = ["unshare", "--mount", "sh", "-ec", INSIDE, root, command, volume or ""]
    return subprocess.run(shell, env=environment, stdin=subprocess.DEVNULL).returncode


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", choices=["bench", "tests"])
    parser.add_argument("--root", type=Path, help="where to build it (default: a new directory in /var/tmp)")
    parser.add_argument("--keep", action="store_true", help="leave the root and its results for a look")
    options = parser.parse_args()
    root = options.root or Path(tempfile.mkdtemp(prefix="ninetynine-clean-", dir="/var/tmp"))
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    try:
        if not (root / "ninetynine").exists():
            make_root(root)
            subprocess.run(["git", "clone", "-q", REPOSITORY, root / "ninetynine"], check=True)
        command = readme_command(options.name)
        print(f"in {root}: {command}", flush=True)
        start = time.monotonic()
        status = run(root, command)
        print(f"exit status {status} after {time.monotonic() - start:.0f} s, set-up included")
        return status
    finally:
        if not options.keep:
            shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
