"""Make two root directories with mmdebstrap: the bare system, and the same with the workload tools."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from bench.image import trim
from bench.image.recipe import ImageError, Recipe

_NO_SERVICES = "#!/bin/sh\n# Nothing is started while packages are installed in this root.\nexit 101\n"


def bootstrap(recipe: Recipe, work: Path, lock: int) -> tuple[Path, Path]:
    """Fill `work/base` and `work/full` and return both. Raises ImageError; needs root and the package
    archive.

    mmdebstrap inherits the descriptor `lock`: if this process is killed, the next build waits for mmdebstrap.
    """
    require()
    base, full = work / "base", work / "full"
    policy = work / "policy-rc.d"
    policy.write_text(_NO_SERVICES)
    log = work / "mmdebstrap.log"
    with log.open("wb") as output:
        done = subprocess.run(
            _argv(recipe, base, full, policy),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(lock,),
            env={**os.environ, "SOURCE_DATE_EPOCH": str(recipe.epoch), "LC_ALL": "C"},
        )
    if done.returncode:
        raise ImageError(_explain(log.read_text(errors="replace")))
    _finish(recipe, base, full)
    return base, full


def require() -> None:
    """Raise ImageError if this machine cannot bootstrap an image."""
    if os.geteuid() != 0:
        raise ImageError("build the bench image: root is needed (device nodes, owners); run as root")
    if shutil.which("mmdebstrap") is None:
        raise ImageError(
            "build the bench image: mmdebstrap is not installed; install it (apt-get install mmdebstrap), "
            "or name an OCI image layout copied from a Debian or Ubuntu machine in NINETYNINE_IMAGE"
        )


def _argv(recipe: Recipe, base: Path, full: Path, policy: Path) -> list[str]:
    # The hook runs between the essential packages and the others, so both trees come from one bootstrap. It
    # must stay on one file system, because /proc is mounted in the root by then.
    hook = (
        f'cp -a --one-file-system --reflink=auto "$1" {shlex.quote(str(base))} && '
        f'install -m 755 {shlex.quote(str(policy))} "$1/usr/sbin/policy-rc.d"'
    )
    return [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=directory",
        f"--components={recipe.components}",
        '--aptopt=Apt::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in recipe.excluded),
        f"--include={','.join(recipe.packages)}",
        f"--essential-hook={hook}",
        recipe.suite,
        str(full),
        *([recipe.mirror] if recipe.mirror else []),
    ]


def _finish(recipe: Recipe, base: Path, full: Path) -> None:
    for root in (base, full):
        trim.trim(root)
        for name in recipe.directories:
            (root / name).mkdir(parents=True, exist_ok=True)
    for root in (base, full):
        trim.set_times(root, recipe.epoch)


def _explain(log: str) -> str:
    errors = [line for line in log.splitlines() if line.startswith("E: ")] or log.splitlines()[-3:]
    return (
        f"mmdebstrap failed: {' / '.join(errors[:3]) or 'no output'}; check that the package archive can be "
        "reached and that there is 1 GB of free disk, or name another archive in NINETYNINE_MIRROR"
    )
