"""docker compose's end-to-end tests (Go): the installed `docker compose` at the daemon.

What needs BuildKit is left out; the other builds are made by the classic builder.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.studies.downstream.compose_images import IMAGES
from tests.studies.downstream.go_programs import find_go, run_tests
from tests.studies.downstream.moby_integration import compiled
from tests.studies.downstream.outcomes import Case, Suite
from tests.studies.downstream.own_namespaces import run_inside, world

NAME = "docker compose e2e"
PACKAGE = "github.com/docker/compose/v2"
_LIBRARIES = Path("/usr/share/gocode")
_PACKAGES = (
    "golang-github-gotestyourself-gotest.tools-dev golang-github-otiai10-copy-dev "
    "golang-github-stretchr-testify-dev"
)
_BUILDKIT = (
    "^TestBuild(SSH|Secrets|PlatformsWithCorrectBuildxConfig|Privileged|Builder)$",
    "^Test(ComposeMetrics|RebuildOnDotEnvWithExternalNetwork)$",
    "^TestBuildPlatformsStandardErrors$/^builder_does_not_support",
    "^TestBuildImageDependencies$/^BuildKit$",
    "^TestLocalComposeBuild$/^DOCKER_BUILDKIT=1",
)
_TIMEOUT = "20m"
_STUBS = {
    "cmd/compose": 'package compose\n\nconst PluginName = "compose"\n',
    "pkg/api": "package api\n\ntype PortPublishers []struct {\n"
    "\tURL string\n\tTargetPort, PublishedPort int\n\tProtocol string\n}\n",
}
"""All that the tests want of these, which would want hundreds of modules more."""
_DOCKER = """#!/bin/sh
export DOCKER_HOST='{host}' DOCKER_BUILDKIT="${{DOCKER_BUILDKIT-0}}"
exec {program} "$@"
"""
"""The tests hand nothing of their environment on but PATH."""
_OUTCOMES = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, or against a dockerd of this run's (`--peer`). Needs Go, and libraries."""
    against = "dockerd" if options.peer else "nnd"
    with compiled(checkout, (), NAME) as base:
        go = find_go()
        if base is None or go is None or not _compile(go, checkout, base):
            return Suite(NAME, against, ())
        run_inside(__name__, against, [str(checkout), str(base), against, options.only])
        return Suite(NAME, against, tuple(read_cases((base / "compose.log").read_text("utf-8", "replace"))))


def _compile(go: str, checkout: Path, base: Path) -> bool:
    """Compile the tests with Debian's libraries, beside as little of compose as they want."""
    if not (_LIBRARIES / "src/gotest.tools").exists():
        print(f"skipped: {NAME} needs Go's libraries (apt-get install {_PACKAGES})", flush=True)
        return False
    source = base / "go/src" / PACKAGE
    for where, text in _STUBS.items():
        (source / where).mkdir(parents=True)
        (source / where / "stub.go").write_text(text)
    (source / "pkg/utils").mkdir()
    for file in ("go.mod", "pkg/e2e", "pkg/utils/safebuffer.go"):
        (source / file).symlink_to(checkout / file)
    environment = os.environ | {
        "CGO_ENABLED": "0",
        "GO111MODULE": "off",
        "GOPATH": f"{base / 'go'}:{_LIBRARIES}",
        "GOTOOLCHAIN": "local",
    }
    command = [go, "test", "-c", "-vet=off", "-o", str(base / "compose.test"), f"{PACKAGE}/pkg/e2e"]
    subprocess.run(command, env=environment, check=True)
    return True


def suite(checkout: Path, base: Path, only: str, environment: Mapping[str, str]) -> None:
    """Run the compiled tests, on a copy of their files, since they write among them."""
    directory, programs = base / "e2e", base / "bin"
    shutil.copytree(checkout / "pkg/e2e", directory)
    programs.mkdir()
    docker = programs / "docker"
    docker.write_text(_DOCKER.format(host=environment["DOCKER_HOST"], program=shutil.which("docker")))
    docker.chmod(0o755)
    own = {"PATH": f"{programs}{os.pathsep}{environment['PATH']}"}
    # Marks tell the lines of the tests from those of compose, in the middle of which they may be. Some tests
    # share a project, and take each other's containers away when they run at once.
    flags = ["-test.v=test2json", "-test.parallel=1", f"-test.timeout={_TIMEOUT}"]
    flags += [f"-test.skip={'|'.join(_BUILDKIT)}"] + ([f"-test.run={only}"] if only else [])
    run_tests(base / "compose.test", directory, base / "compose.log", {**environment, **own}, *flags)


def read_cases(text: str) -> list[Case]:
    """Read marked output. A test that has others in it only says what they became, and is no case."""
    why: dict[str, str] = {}
    ends = dict(_ends(text, why))
    return [
        Case(name.replace("/", "::", 1), outcome, why.get(name, "")[:160] if outcome != "passed" else "")
        for name, outcome in ends.items()
        if not any(other.startswith(f"{name}/") for other in ends)
    ]


def _ends(text: str, why: dict[str, str]) -> Iterator[tuple[str, str]]:
    current = before = ""
    for line in text.splitlines():
        if begin := re.search(r"\x16=== (?:RUN|NAME|CONT)\s+(\S+)", line):
            current = begin[1]
        elif end := re.search(r"\x16\s*--- (PASS|FAIL|SKIP): (\S+)", line):
            yield end[2], _OUTCOMES[end[1]]
        elif reason := _reason(before, line):
            why.setdefault(current, reason)
        before = line.strip()


def _reason(before: str, line: str) -> str:
    """What a line says of a failure; that of a command's outcome stands below a heading."""
    said = re.search(r"(?:assertion failed:|^\s+Error:)\s+(\S.*)|_test\.go:\d+: (Skip.*|Not running.*)", line)
    if said:
        return (said[1] or said[2]).strip()
    return line.strip() if before == "Failures:" else ""


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Run them in the namespaces that this process is in."""
    with world(base, against, (), hub_has=IMAGES) as environment:
        suite(checkout, base, only, environment)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
