"""How an installed `nn` starts: bin/nn of a wheel, and what setup.py writes in its place."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.runtime.cli.nn_process import compile_nn

pytestmark = pytest.mark.programs

PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
HOW = """
def script():
    import sys
    print(sys.flags.no_site, sys.flags.isolated, 'site' in sys.modules)
"""
"""In place of the client: says how it was started."""
Installed = Callable[[Path], Path]


def of_wheel(place: Path) -> Path:
    return written(place, (REPOSITORY / "bin/nn").read_text())


def editable(place: Path) -> Path:
    nn = written(place, "")
    compile_nn(nn, str(Path(sys.executable).resolve()), str(place / PACKAGES))
    return nn


def written(place: Path, launcher: str) -> Path:
    """A directory as pip leaves it, but for the packages."""
    (place / PACKAGES).mkdir(parents=True)
    (place / "bin").mkdir()
    (place / "bin/python3").symlink_to(sys.executable)
    (place / "bin/nn").write_text(launcher)
    (place / "bin/nn").chmod(0o755)
    return place / "bin/nn"


def said(*line: str | Path) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=120).stdout


both = pytest.mark.parametrize("install", [of_wheel, editable])


@both
@pytest.mark.parametrize("name", ["plain", "with a blank", "with 'quotes\""])
def test_it_starts_python_without_site(tmp_path: Path, install: Installed, name: str):
    nn = install(tmp_path / name)
    package = tmp_path / name / PACKAGES / "runtime/cli/start"
    package.mkdir(parents=True)
    (package / "nn.py").write_text(HOW)
    (tmp_path / "elsewhere").symlink_to(nn)
    for program in (nn, tmp_path / "elsewhere"):
        assert said(program, "ps") == "1 1 False\n"
        assert said(program, "run") == "1 1 False\n"


BUILD = """
import sys
from setuptools.build_meta import build_editable
print(build_editable(sys.argv[1]))
"""


@pytest.mark.parametrize("below", ["tmp", ".cache"])
def test_an_editable_install_is_quick_wherever_it_lies_and_whatever_built_it(tmp_path: Path, below: str):
    """uv builds with a Python of its own, below its cache, which is gone afterwards; pip with the user's."""
    base = tmp_path / below
    for name in ("builder", "user"):
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", base / name], check=True)
        packages = "\n".join(path for path in sys.path if path.endswith("-packages"))
        (base / name / PACKAGES / "ours.pth").write_text(packages)
    checkout = base / "checkout"
    for name in ("bin", "runtime"):
        shutil.copytree(REPOSITORY / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, checkout / name)
    built = subprocess.run(
        [base / "builder/bin/python", "-c", BUILD, base],
        cwd=checkout,
        check=True,
        capture_output=True,
        text=True,
    )
    install = ("-m", "pip", "install", "-q", "--no-index", "--no-deps", base / built.stdout.split()[-1])
    subprocess.run([base / "user/bin/python", *install], check=True)
    shutil.rmtree(base / "builder")
    nn = base / "user/bin/nn"
    assert nn.read_bytes()[:4] == b"\x7fELF"
    assert said(nn, "-v").startswith("nn ")
    assert (
        "connect to the daemon"
        in subprocess.run(
            [nn, "ps"], capture_output=True, text=True, env={"NN_HOST": "unix:///nowhere"}
        ).stderr
    )
