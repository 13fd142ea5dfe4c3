"""Which tests may run beside which with several workers (`pytest -n 2`), and none against a clock."""

from __future__ import annotations

import functools
import gc
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.paths import REPOSITORY

# The machines are shared and noisy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
# For properties of which one example takes tens of milliseconds; a wrong rule breaks one in two.
settings.register_profile("dear", settings.get_profile("unhurried"), max_examples=8)
# What `nox -s unit` runs all day.
settings.register_profile("brisk", settings.get_profile("unhurried"), max_examples=20)

# A shell's `&` has Ctrl-C ignored in all that it starts, and the programs under test have to be told by it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# What tests make is read by others too: by the users in their containers.
os.umask(0o022)

# What is imported and collected stays. Looking for garbage in it took a third of the time of collection.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


_FILE_MARKS = re.compile(r"^pytestmark = (\[$.*?^\]|.*?$)", re.M | re.S)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file of which `-m "not root and not slow"` leaves out every test."""
    if not collection_path.name.startswith("test_") or " or " in config.option.markexpr:
        return None
    without = set(re.findall(r"(?:^| and )not (\w+)(?= and |$)", config.option.markexpr))
    marks = _FILE_MARKS.search(collection_path.read_text()) if without else None
    return True if marks and without.intersection(re.findall(r"\bmark\.(\w+)", marks[1])) else None


_MACHINE = re.compile(r"\bmark\.(root|qemu|network|peers)\b")


@functools.cache
def group_of(path: str) -> str:
    """A file is a group; so are files that run the suite, start its backends, boot guests, or make networks.

    Runs of the suite forecast and measure, backends share a copy of the image, more than one emulated guest
    starves the others, and networks of tests have fixed addresses.
    """
    marks = set(_MACHINE.findall((REPOSITORY / path).read_text()))
    if not marks:
        return path
    if path.startswith("tests/runtime/"):
        return "networks" if "network" in marks else path
    if path.startswith(("tests/bench/backends/", "tests/bench/scenarios/")):
        return "backends"
    return "guests" if "qemu" in marks and path.startswith(("tests/vm/", "tests/e2e/")) else "suite"


@functools.cache
def length_of(group: str, tests: int) -> float:
    """About how many seconds a group of so many tests takes; what begins last should be short."""
    if group in ("suite", "backends", "guests", "networks"):
        return 1000.0 + tests
    return tests / 4 + 20 * (REPOSITORY / group).read_text().count("mark.slow")


@pytest.fixture(scope="module", autouse=True)
def unsynced(request: pytest.FixtureRequest) -> Iterator[None]:
    """Let no test in this process wait for the disk, since none cuts the power; but measure as it is."""
    with pytest.MonkeyPatch.context() as patch:
        if "micro" not in request.path.parts:
            patch.setattr(os, "fsync", lambda fd: None)
        yield


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages have no charts, which take two thirds of a run of fakes; tests/reports draws them."""
    monkeypatch.setattr("reports.page.build", lambda evidence, target: "<p>not drawn in this test</p>")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand whole groups to workers, the longest first."""
    from xdist.scheduler import LoadScopeScheduling

    class Grouped(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid.partition("::")[0])

        def _assign_work_unit(self, node: Any) -> None:
            longest = max(self.workqueue, key=lambda group: length_of(group, len(self.workqueue[group])))
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return Grouped(config, log)
