from __future__ import annotations

from pathlib import Path

import pytest
import synthetic


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of drawn numbers, judged. Read only: tests that spoil files make their own."""
    return synthetic.write(tmp_path_factory.mktemp("results") / "synthetic")
