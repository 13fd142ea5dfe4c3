from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from reports.load import Evidence, load
from reports.page import render
from tests.reports import synthetic


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of drawn numbers, judged. Read only: tests that spoil files make their own."""
    return synthetic.write(tmp_path_factory.mktemp("results") / "synthetic")


@pytest.fixture(scope="session")
def evidence(run_dir: Path) -> Evidence:
    return load(run_dir)


@pytest.fixture(scope="session")
def page(run_dir: Path) -> Path:
    return render(run_dir)


@pytest.fixture(scope="session")
def few() -> pd.DataFrame:
    """Samples of three metrics only, quick to draw and to show."""
    names = {"cpu.integer", "startup.first_instruction", "memory.per_instance"}
    chosen = [spec for spec in synthetic.known_specs() if spec.name in names]
    return synthetic.draw_samples(sessions=5, blocks=3, specs=chosen)
