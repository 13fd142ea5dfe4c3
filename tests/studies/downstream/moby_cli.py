"""moby's older integration tests (Go), which drive the daemon that they are given by docker's command.

Left out are suites about a dockerd's own flags, swarms and plugins, and tests that start a daemon themselves
or want a plugin.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

from tests.studies.downstream.go_programs import run_tests
from tests.studies.downstream.moby_integration import NAMED, compiled, named_programs, tag
from tests.studies.downstream.outcomes import Case, Suite
from tests.studies.downstream.own_namespaces import run_inside, shared, world

NAME = "moby integration-cli"
PACKAGE = "integration-cli"
_ABOUT_OTHERS = re.compile("Benchmark|Daemon|Swarm|Plugin|ExternalVolume|HubPull|SNI|Schema")
_SUITE = re.compile(r"^func (TestDocker\w+)\(", re.MULTILINE)
_FUNCTION = re.compile(r"^func (?:\(\w+ \*?\w+\) )?(\w+)\([^\n]*\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_WANTS_MORE = re.compile(
    r"\bs\.d\.(Start|Restart)|\bdaemon\.New\(|\bswarm\.NewSwarm\("
    r"|\btestRequires\(c, Network|\bdummy(Network|IPAM)Driver\b"
)
_TIMEOUT = "20m"  # of a suite
_OUTCOMES = {"PASS": "passed", "FAIL": "failed", "SKIP": "skipped"}


def run(checkout: Path, options: argparse.Namespace) -> Suite:
    """Run them against our daemon, or against a dockerd of this run's (`--peer`). Needs Go 1.21."""
    against = "dockerd" if options.peer else "nnd"
    with compiled(checkout, (PACKAGE,), NAME) as base:
        if base is None:
            return Suite(NAME, against, ())
        run_inside(__name__, against, [str(checkout), str(base), against, options.only])
        logs = sorted(base.glob("moby-cli-*.log"))
        return Suite(
            NAME,
            against,
            tuple(case for log in logs for case in read_cases(log.read_text("utf-8", "replace"))),
        )


def suites(source: str) -> list[str]:
    """Return the names of the suites to run, of the text of `check_test.go`.

    That of events comes last: its container that may not be killed for memory can hold a dockerd up for good.
    """
    found = [name for name in _SUITE.findall(source) if not _ABOUT_OTHERS.search(name)]
    return sorted(found, key=lambda name: "Event" in name)


def with_their_own(source: str) -> list[str]:
    """Return the names of tests that start a daemon (by helpers too), or want a plugin or the internet."""
    functions: list[tuple[str, str]] = _FUNCTION.findall(source)
    found: set[str] = set()
    while more := {name for name, body in functions if _wants_more(body, found)} - found:
        found |= more
    return sorted(name for name in found if name.startswith("Test"))


def _wants_more(body: str, helpers: Set[str]) -> bool:
    return bool(_WANTS_MORE.search(body)) or not helpers.isdisjoint(re.findall(r"\b(\w+)\(", body))


def suite(checkout: Path, base: Path, only: str, environment: Mapping[str, str]) -> None:
    """Run the compiled tests, suite by suite. only: a pattern of suites, or with tests: `CLIRun/TestRunA`."""
    directory = checkout / PACKAGE
    source = "\n".join(file.read_text() for file in sorted(directory.glob("*_test.go")))
    left_out = f".*/^({'|'.join(with_their_own(source))})$"
    which, _, tests = only.partition("/")
    own = {
        "DOCKER_GRAPHDRIVER": "overlay2",
        "DOCKER_EXPERIMENTAL": "1",
        "DEST": str(shared(base)),
        "PATH": f"{named_programs(base)}{os.pathsep}{environment['PATH']}",
    }
    for name in suites((directory / "check_test.go").read_text()):
        if not re.search(which, name):
            continue
        flags = (f"-test.timeout={_TIMEOUT}", f"-test.run=^{name}$/{tests}", f"-test.skip={left_out}")
        log = base / f"moby-cli-{name}.log"
        run_tests(base / f"{PACKAGE}.test", directory, log, {**environment, **own}, *flags)


def read_cases(text: str) -> list[Case]:
    """Read the output of `-test.v`: each test's messages stand below its name, the outcomes at the end.

    A message may begin on the line below the place where it was said.
    """
    why: dict[str, str] = {}
    return list(_ends(text, why))


def _ends(text: str, why: dict[str, str]) -> Iterator[Case]:
    current, awaited = "", False
    for line in text.splitlines():
        begin = re.match(r"=== (?:RUN|NAME|CONT)\s+(\S+)", line)
        end = re.match(r"    --- (PASS|FAIL|SKIP): (\S+)", line)
        message = re.match(r"\s+\w+\.go:\d+: (?:assertion failed: )?(.*)", line)
        if begin:
            current = begin[1]
        elif end:
            name, outcome = end[2], _OUTCOMES[end[1]]
            yield Case(
                name.replace("/", "::"), outcome, why.get(name, "")[:160] if outcome != "passed" else ""
            )
        elif message or (awaited and line.strip()):
            reason = message[1] if message else line.strip()
            awaited = not reason
            if reason:
                why.setdefault(current, reason)


def inside(checkout: Path, base: Path, against: str, only: str) -> None:
    """Run them in the namespaces that this process is in."""
    with world(base, against, list(NAMED)) as environment:
        tag(environment)
        _add_user(base)
        suite(checkout, base, only, environment)


def _add_user(base: Path) -> None:
    """The user that one test runs docker's command as; it may talk to the daemon, whose group is root's."""
    base.chmod(0o711)
    passwd = base / "passwd"
    passwd.write_text(Path("/etc/passwd").read_text() + "unprivilegeduser:*:4242:0::/:/bin/sh\n")
    subprocess.run(["mount", "--bind", str(passwd), "/etc/passwd"], check=True)


if __name__ == "__main__":
    inside(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
