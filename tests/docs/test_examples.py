"""What the docs tell a reader to type works, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.S | re.M)


def environment() -> dict[str, str]:
    """As a reader's: benchmarks of an example would measure nothing if they saw this test run's workers.

    Of pytest's plugins the reader has the one that the example is about.
    """
    scripts = Path(sys.executable).parent
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own |= {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "pytest_benchmark.plugin"}
    return {**own, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}


@pytest.mark.root
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="the walk makes containers, which needs root")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.name)
def test_the_shell_examples_of_a_page_run_in_order(page: Path, tmp_path: Path):
    for block in blocks(page, "sh"):
        done = subprocess.run(
            ["sh", "-ec", block], cwd=tmp_path, env=environment(), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_the_python_examples_of_a_page_run(page: Path, tmp_path: Path):
    program = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{page.name}:\n{done.stderr}"
