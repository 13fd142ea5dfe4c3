"""docker/cli's end-to-end tests (Go): docker's command, built from the same checkout, at the daemon.

Left out are those of stacks, plugins and content trust, which want a swarm or a notary.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.studies.downstream.go_programs import find_go, run_tests
from tests.studies.downstream.moby_integration import compiled, read_cases, run_go
from tests.studies.downstream.outcomes import Suite
from tests.studies.downstream.own_namespaces import run_inside, world
from tests.studies.downstream.registry_conformance import running_registry

NAME = "docker/cli e2e"
PACKAGES = ("container", "context", "global", "image", "system")
_REGISTRY = "registry:5000"
_FROZEN = ("alpine", "busybox")
_TRUST = "fixtures.WithTrust"
_TEST = re.compile(r"^func (Test\w+)\([^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_TIMEOUT = "5m"  # of a package


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, or against a dockerd of this run's (`--peer`). Needs Go."""
    against = "dockerd" if options.peer else "nnd"
    with compiled(checkout, [f"e2e/{one}" for one in PACKAGES], NAME) as base:
        go = find_go()
        if base is None or go is None:
            return Suite(NAME, against, ())
        run_go(go, checkout, base, "build", "-o", str(base / "bin/docker"), "./cmd/docker")
        run_inside(__name__, against, [str(checkout), str(base), against, options.only])
        logs = [(one, base / f"docker-cli-{one}.log") for one in PACKAGES]
        return Suite(
            NAME,
            against,
            tuple(case for one, log in logs for case in read_cases(one, log.read_text("utf-8", "replace"))),
        )


def about_trust(sources: Sequence[str]) -> list[str]:
    """Return the names of the tests that sign images, or want them signed."""
    return sorted(name for source in sources for name, body in _TEST.findall(source) if _TRUST in body)


def suite(checkout: Path, base: Path, only: str, environment: Mapping[str, str]) -> None:
    """Run the compiled tests against the daemon that the environment names."""
    own = {
        "TEST_DOCKER_HOST": environment["DOCKER_HOST"],
        "PATH": f"{base / 'bin'}{os.pathsep}{environment['PATH']}",
    }
    for package in PACKAGES:
        directory = checkout / "e2e" / package
        left_out = about_trust([file.read_text() for file in sorted(directory.glob("*_test.go"))])
        flags = [f"-test.timeout={_TIMEOUT}", f"-test.skip=^({'|'.join(left_out)})$"]
        flags += [f"-test.run={only}"] if only else []
        log = base / f"docker-cli-{package}.log"
        run_tests(base / f"{package}.test", directory, log, {**environment, **own}, *flags)


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Run them in the namespaces that this process is in, with a registry that has the images they want."""
    with (
        world(base, against, _FROZEN, _REGISTRY) as environment,
        running_registry(f"127.0.0.1:{_REGISTRY.partition(':')[2]}"),
    ):
        for name in _FROZEN:
            image = f"{_REGISTRY}/{name}:frozen"
            for words in (("tag", name), ("push", "--quiet")):
                subprocess.run(["docker", *words, image], env=environment, check=True)
        suite(checkout, base, only, environment)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
