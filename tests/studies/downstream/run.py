"""Runs suites that others wrote against our daemon and our registry, and says what passes.

    nox -s downstream -- PATH…

PATH is a checkout of docker/docker-py, docker/cli, docker/compose, opencontainers/distribution-spec or
moby/moby.
Nothing of it is kept.
Exit status 1 when a suite could not run at all, never for a failing case: docs/downstream.md has the list.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tests.studies.downstream import (
    compose_e2e,
    docker_cli,
    docker_py,
    engine_api,
    moby_cli,
    moby_integration,
    registry_conformance,
)
from tests.studies.downstream.outcomes import Suite, table

_CHECKOUTS = "a checkout of docker-py, docker/cli, docker/compose, distribution-spec or moby"
Runner = Callable[[Path, argparse.Namespace], Suite]


SUITES: tuple[tuple[str, Runner], ...] = (
    ("tests/integration/api_container_test.py", docker_py.run),
    ("conformance/go.mod", registry_conformance.run),
    ("api/docs", engine_api.run),
    ("integration/container/create_test.go", moby_integration.run),
    ("integration-cli/check_test.go", moby_cli.run),
    ("e2e/container/run_test.go", docker_cli.run),
    ("pkg/e2e/compose_test.go", compose_e2e.run),
)
"""By what a checkout has."""


def runners_of(checkout: Path) -> list[Runner]:
    """Which suites a directory has."""
    return [runner for place, runner in SUITES if (checkout / place).exists()]


def main() -> int:
    """Run each suite that a path leads to."""
    parser = argparse.ArgumentParser(prog="nox -s downstream --", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH")
    parser.add_argument(
        "-k",
        dest="only",
        default="",
        help="only these cases (for docker-py as pytest has it, else as Go: TestA, or CLIRun/TestB)",
    )
    parser.add_argument(
        "--peer",
        action="store_true",
        help="docker-py, docker/cli, compose, moby: a dockerd instead, to compare with",
    )
    parser.add_argument("--host", default="", help="docker-py against this daemon (unix:///PATH)")
    parser.add_argument(
        "--registry", default="", help="another registry (HOST:PORT, plain HTTP), to compare with"
    )
    parser.add_argument(
        "--go-module",
        dest="go_modules",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a checkout of a Go module that the conformance suite needs, if no proxy has it; may repeat",
    )
    parser.add_argument("--out", type=Path, help="write the table there too")
    options = parser.parse_args()
    if not options.paths:
        print(f"skipped: no path to {_CHECKOUTS} was given", flush=True)
        return 0
    tables, status = [], 0
    for path in options.paths:
        runners = runners_of(path)
        if not runners:
            print(f"{path}: not {_CHECKOUTS}", file=sys.stderr)
            status = 1
        for runner in runners:
            suite = runner(path.resolve(), options)
            tables.append(table(suite))
            print(tables[-1], flush=True)
            status = status or int(not suite.cases and not options.only)
    if options.out:
        options.out.write_text("\n".join(tables))
    return status


if __name__ == "__main__":
    sys.exit(main())
