"""The summaries in docs/cli.md are those of real runs, as the terminal shows them now."""

from __future__ import annotations

import pytest

from bench.cli.screen.summary import LINES
from tests.docs.summary import KEPT, PAGE, WIDTHS, block, rendered

RUNS = sorted(path.name for path in KEPT.iterdir())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", RUNS)
def test_the_page_shows_a_real_run_as_the_terminal_does(name: str, width: int) -> None:
    found = block(name, width).search(PAGE.read_text())
    if found is None:
        pytest.skip("this run is shown at another width")
    text = found[0].removeprefix(found[1]).removesuffix(found[2])
    assert text == rendered(name, width), "write it anew: python -m tests.docs.summary"


@pytest.mark.parametrize("name", RUNS)
def test_a_real_run_fits_on_one_screen(name: str) -> None:
    lines = rendered(name, 80).splitlines()
    assert len(lines) <= LINES
    assert max(map(len, lines)) <= 80


def test_a_run_with_peers_and_one_of_two_families_are_shown() -> None:
    assert RUNS == ["few", "peers"]
    shown = [
        (name, width) for name in RUNS for width in WIDTHS if block(name, width).search(PAGE.read_text())
    ]
    assert shown == [("few", 80), ("few", 60), ("peers", 80), ("peers", 60)]
