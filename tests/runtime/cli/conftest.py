from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from local_calls import Nn, command


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with the image `busy`."""
    base = tmp_path_factory.mktemp("nn")
    rootfs = base / "rootfs"
    for name in ("bin", "etc", "proc", "sys", "dev", "tmp"):
        (rootfs / name).mkdir(parents=True)
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed: apt-get install busybox-static")
    shutil.copy(busybox, rootfs / "bin/busybox")
    for name in subprocess.run(
        [busybox, "--list"], capture_output=True, text=True, check=True
    ).stdout.split():
        if name != "busybox":
            (rootfs / "bin" / name).symlink_to("busybox")
    (rootfs / "etc/passwd").write_text(
        "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001:app:/home/app:/bin/sh\n"
    )
    (rootfs / "etc/group").write_text("root:x:0:\napp:x:1001:\n")
    subprocess.run([*command(base / "state"), "import", rootfs, "busy"], check=True, capture_output=True)
    return base / "state"


@pytest.fixture
def nn(state: Path) -> Nn:
    def call(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        line = [*command(state), *map(str, arguments)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload]

    return call
