from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.spawn import overlay
from runtime.spawn.tape import StepError
from tests.descriptors import open_descriptors


@pytest.fixture
def directories(tmp_path: Path) -> dict[str, str]:
    names = ("low", "high", "upper", "work")
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / "low/word").write_text("low")
    (tmp_path / "low/only").touch()
    (tmp_path / "high/word").write_text("high")
    return {name: str(tmp_path / name) for name in names}


@pytest.mark.root
@pytest.mark.parametrize("appends", [True, False], ids=["lowerdir+", "before Linux 6.8"])
def test_the_topmost_layer_wins_and_writes_go_to_the_upper(directories, monkeypatch, appends):
    monkeypatch.setattr(overlay, "appends_layers", lambda: appends)
    layers = (directories["low"], directories["high"])
    root = overlay.make_overlay(layers, directories["upper"], directories["work"])
    with os.fdopen(os.open("word", os.O_RDONLY, dir_fd=root)) as word:
        assert word.read() == "high"
    os.close(os.open("new", os.O_CREAT, dir_fd=root))
    os.close(root)
    assert [path.name for path in Path(directories["upper"]).iterdir()] == ["new"]


@pytest.mark.root
def test_a_failure_names_the_layer_and_leaves_no_descriptor(directories):
    before = open_descriptors()
    with pytest.raises(StepError, match=r"^overlay lower1: ENOENT"):
        overlay.make_overlay(("/no/such", directories["low"]), directories["upper"], directories["work"])
    assert open_descriptors() <= before
