"""moby's own integration tests (Go), as far as they take the daemon that they are given.

Many start a dockerd of their own to see one with other flags: those judge nobody but that, and are left out.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.studies.downstream.go_programs import find_go, run_tests
from tests.studies.downstream.outcomes import Case, Suite
from tests.studies.downstream.own_namespaces import run_inside, shared, world

PACKAGES = ("build", "container", "image", "network", "system", "volume")
NAME = "moby integration"
NAMED = {
    "busybox:latest": (),
    "busybox:glibc": ("debian:bookworm-slim", "debian:bullseye-slim"),
    "hello-world:latest": ("hello-world:frozen",),
}
"""Images that the suite wants, and other names of theirs. It counts the names that busybox has."""
_TIMEOUT = "15m"  # of a package
_FUNCTION = re.compile(r"^func (\w+)\([^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_STARTS_ITS_OWN = ("daemon.New(", "swarm.NewSwarm(")


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, or against a dockerd of this run's (`--peer`). Needs Go 1.21."""
    against = "dockerd" if options.peer else "nnd"
    with compiled(checkout, [f"integration/{one}" for one in PACKAGES], NAME) as base:
        if base is None:
            return Suite(NAME, against, ())
        run_inside(__name__, against, [str(checkout), str(base), against, options.only])
        return Suite(NAME, against, tuple(case for one in PACKAGES for case in _read(base, one)))


@contextlib.contextmanager
def compiled(checkout: Path, packages: Sequence[str], what: str) -> Iterator[Path | None]:
    """Compile packages' tests into a directory that lasts for the block; None where there is no Go.

    Logs that are made there are kept in the temporary directory.
    """
    go = find_go()
    if go is None:
        print(f"skipped: {what} needs Go (apt-get install golang-1.24)", flush=True)
        yield None
        return
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    try:
        for package in packages:
            _build(go, checkout, package, base)
        yield base
    finally:
        for log in base.glob("*.log"):
            shutil.copy(log, Path(tempfile.gettempdir()) / f"downstream-{log.name}")
        shutil.rmtree(base, ignore_errors=True)


def _build(go: str, checkout: Path, package: str, base: Path) -> None:
    target = base / f"{package.rpartition('/')[2]}.test"
    run_go(go, checkout, base, "test", "-c", "-o", str(target), f"./{package}")


def run_go(go: str, checkout: Path, base: Path, verb: str, *words: str) -> None:
    """Run Go with what a checkout brings. Up to 28 it has no go.mod: its files are linked beside one."""
    work, flags = checkout, ["-mod=vendor"]
    if (checkout / "vendor.mod").exists():
        work = base / "source"
        flags.append("-modfile=vendor.mod")
        _link(checkout, work)
    environment = os.environ | {"GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    subprocess.run([go, verb, *flags, *words], cwd=work, env=environment, check=True)


def _link(checkout: Path, work: Path) -> None:
    if work.exists():
        return
    work.mkdir()
    shutil.copy(checkout / "vendor.mod", work / "go.mod")
    for entry in checkout.iterdir():
        if entry.name not in ("go.mod", ".git"):
            (work / entry.name).symlink_to(entry)


def with_their_own(sources: Sequence[str]) -> list[str]:
    """Return the names of the tests that start a daemon, by themselves or by a function of their package."""
    bodies = {name: body for source in sources for name, body in _FUNCTION.findall(source)}
    found = {name for name, body in bodies.items() if any(sign in body for sign in _STARTS_ITS_OWN)}
    size = 0
    while size != len(found):
        size = len(found)
        found |= {
            name
            for name, body in bodies.items()
            if any(re.search(rf"\b{one}\(", body) for one in found if not one.startswith("Test"))
        }
    return sorted(name for name in found if name.startswith("Test"))


def suite(checkout: Path, base: Path, only: str, environment: Mapping[str, str]) -> None:
    """Run the compiled tests against the daemon that the environment names."""
    own = {
        "DOCKER_GRAPHDRIVER": "overlay2",
        "DOCKER_EXPERIMENTAL": "1",
        "DEST": str(shared(base)),
        "PATH": f"{named_programs(base)}{os.pathsep}{environment['PATH']}",
    }
    for package in PACKAGES:
        directory = checkout / "integration" / package
        left_out = with_their_own([file.read_text() for file in sorted(directory.glob("*_test.go"))])
        flags = [f"-test.timeout={_TIMEOUT}", f"-test.skip=^({'|'.join(left_out)})$"]
        flags += [f"-test.run={only}"] if only else []
        log = base / f"moby-{package}.log"
        run_tests(base / f"{package}.test", directory, log, {**environment, **own}, *flags)


def named_programs(base: Path) -> Path:
    """A directory with programs under the names that the suite calls, as far as they are installed."""
    directory = base / "bin"
    directory.mkdir()
    for name, stand_in in {"registry-v2": "docker-registry", "ping": "busybox"}.items():
        if program := None if shutil.which(name) else shutil.which(stand_in):
            (directory / name).symlink_to(program)
    return directory


def _read(base: Path, package: str) -> list[Case]:
    """Read what became of a package's tests; those within tests only give their reasons."""
    log = base / f"moby-{package}.log"
    return read_cases(package, log.read_text("utf-8", "replace")) if log.exists() else []


def read_cases(package: str, text: str) -> list[Case]:
    """Read the output of `-test.v`: a test's messages come before its end."""
    found, why = [], ""
    for line in text.splitlines():
        end = re.match(r"--- (PASS|FAIL|SKIP): (\S+)", line)
        message = re.match(r"\s+\w+_test\.go:\d+: (?:assertion failed: )?(.*)", line)
        if end:
            outcome = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}[end[1]]
            found.append(Case(f"{package}::{end[2]}", outcome, why[:160] if outcome != "passed" else ""))
            why = ""
        elif message:
            why = why or message[1]
    return found


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Run them in the namespaces that this process is in."""
    with world(base, against, list(NAMED)) as environment:
        tag(environment)
        suite(checkout, base, only, environment)


def tag(environment: Mapping[str, str]) -> None:
    """Give the images their other names."""
    for name, others in NAMED.items():
        for other in others:
            subprocess.run(["docker", "tag", name, other], env=environment, check=True)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
