"""The engine inside a chroot whose / is no mount point, as in a root made by mmdebstrap."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

pytestmark = pytest.mark.root

PROGRAM = """
import os, sys
from pathlib import Path
from runtime.engine import ContainerConfig, Engine, bind
with Engine(Path("/engine")) as engine:
    argv, mounts = ("sh", "-c", "cat /data/word; echo /*"), (bind("/data", "/data"),)
    config = ContainerConfig(layers=("/layer",), argv=argv, mounts=mounts)
    container = engine.create(config)
    container.start(-1, os.dup(1), os.dup(2))
    assert container.wait() == 0
    container.remove()
"""

SCRIPT = """
set -e
for d in /*; do
    [ -d "$d" ] && [ "$d" != /tmp ] && mkdir "$0$d" && mount --rbind "$d" "$0$d"
done
mkdir -p "$0/tmp" "$0/layer" "$0/data" "$0$PYTHONPATH"
[ "${PYTHONPATH#/tmp/}" = "$PYTHONPATH" ] || mount --rbind "$PYTHONPATH" "$0$PYTHONPATH"
mount --rbind "$1" "$0/layer"
echo inside > "$0/data/word"
exec chroot "$0" "$2" -c "$3"
"""


def in_a_chroot() -> bool:
    mounted = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return "/" not in mounted


@pytest.mark.skipif(in_a_chroot(), reason="this is a chroot already: every test of the engine tries it")
def test_a_container_starts_in_a_chroot(tmp_path: Path, rootfs: Path):
    root = tmp_path / "chroot"
    root.mkdir()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", SCRIPT, str(root), str(rootfs), sys.executable, PROGRAM],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.split()[0] == "inside"
    assert "/engine" not in done.stdout
    assert str(root) not in Path("/proc/self/mounts").read_text()
