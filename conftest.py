"""Which tests may run beside which, when there are several workers (`pytest -n 2`).

Here and not in tests/: a conftest.py there would put that folder, and its `runtime/`, before the package.
"""

from __future__ import annotations

from pathlib import Path

import pytest

_TESTS = Path(__file__).parent / "tests"
_MACHINE = ("root", "qemu", "network", "peers")
_WHOLE = ("e2e", "docs")
"""Folders whose tests run the suite itself."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group what changes the machine, since some of it looks at all that is there; else a file is a group."""
    for item in items:
        place = item.path.relative_to(_TESTS)
        shared = place.parts[0] in _WHOLE or any(item.get_closest_marker(mark) for mark in _MACHINE)
        item.add_marker(pytest.mark.xdist_group("machine" if shared else str(place)))
