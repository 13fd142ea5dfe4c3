"""What the docs tell a reader to type works, as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backends.resources import owned
from bench.cli import exclusive
from bench.cli.dependencies import cache_dir
from tests.paths import REPOSITORY

PAGES = sorted((REPOSITORY / "docs").glob("*.md"))


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.S | re.M)


@pytest.fixture
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with locks and prices of its own and the image that the usual one has or will have: a run that
    measures on this machine meanwhile refuses no example, and learns no prices from one."""
    image = cache_dir().resolve() / "image"
    image.mkdir(parents=True, exist_ok=True)
    path = tmp_path_factory.mktemp("cache")
    (path / "image").symlink_to(image)
    yield path
    owned.remove(path)


def environment(cache: Path) -> dict[str, str]:
    """As a reader's: benchmarks of an example would measure nothing if they saw this test run's workers.

    Of pytest's plugins the reader has the one that the example is about.
    """
    scripts = Path(sys.executable).parent
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    own |= {
        "NINETYNINE_CACHE": str(cache),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_PLUGINS": "pytest_benchmark.plugin",
    }
    return {**own, "PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(REPOSITORY)}


def test_an_example_has_the_usual_image_and_locks_of_its_own(cache: Path):
    own = Path(environment(cache)["NINETYNINE_CACHE"])
    assert (own / "image").samefile(cache_dir() / "image")
    assert exclusive.DIRECTORY not in {path.name for path in own.iterdir()}
    assert not own.samefile(cache_dir())


@pytest.mark.root
@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(os.geteuid() != 0, reason="the walk makes containers, which needs root")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "sh")], ids=lambda page: page.name)
def test_the_shell_examples_of_a_page_run_in_order(page: Path, tmp_path: Path, cache: Path):
    for block in blocks(page, "sh"):
        done = subprocess.run(
            ["sh", "-ec", block], cwd=tmp_path, env=environment(cache), capture_output=True, text=True
        )
        assert done.returncode == 0, f"{page.name}:\n{block}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.name
)
def test_the_python_examples_of_a_page_run(page: Path, tmp_path: Path, cache: Path):
    program = "\n".join(blocks(page, "python"))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment(cache), capture_output=True, text=True
    )
    assert done.returncode == 0, f"{page.name}:\n{done.stderr}"
