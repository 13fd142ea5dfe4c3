"""How an installed `nn` starts: bin/nn of a wheel, and what setup.py writes in its place."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from nn_process import ROOT

HOW = "import sys; print(sys.flags.no_site, sys.flags.isolated, 'site' in sys.modules)"
PACKAGES = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
"""In place of the client: says how Python was started."""


def installed(place: Path, launcher: str) -> Path:
    """A directory as pip leaves it, with a package that says how it was started."""
    packages = (
        place / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/runtime/cli"
    )
    packages.mkdir(parents=True)
    (packages.parent / "__init__.py").touch()
    (packages / "__init__.py").touch()
    (packages / "nn.py").write_text(f"def script():\n    {HOW}\n")
    (place / "bin").mkdir()
    (place / "bin/python3").symlink_to(sys.executable)
    (place / "bin/nn").write_text(launcher)
    (place / "bin/nn").chmod(0o755)
    return place / "bin/nn"


def said(*line: str | Path) -> str:
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.mark.parametrize("name", ["plain", "with a blank", "with 'quotes\""])
def test_a_wheel_s_starts_the_python_beside_it_without_site(tmp_path: Path, name: str):
    nn = installed(tmp_path / name, (ROOT / "bin/nn").read_text())
    assert said(nn) == "1 1 False\n"
    (tmp_path / "elsewhere").symlink_to(nn)
    assert said(tmp_path / "elsewhere") == "1 1 False\n"


def test_an_editable_one_names_its_python_and_its_place(tmp_path: Path):
    tree = ast.parse((ROOT / "setup.py").read_text())
    (text,) = [
        ast.literal_eval(one.value)
        for one in tree.body
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "LAUNCHER"
    ]
    launcher = text.format(python=Path(sys.executable).resolve(), place=str(tmp_path / PACKAGES))
    assert said(installed(tmp_path, launcher)) == "1 1 False\n"
