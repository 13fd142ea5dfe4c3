from __future__ import annotations

from pathlib import Path

from reports.page import render

MOST_BYTES = 4_000_000


def test_a_page_is_one_file_beside_its_data_and_small_enough(run_dir: Path) -> None:
    page = render(run_dir)

    assert page == run_dir / "report.html"
    assert page.stat().st_size <= MOST_BYTES
