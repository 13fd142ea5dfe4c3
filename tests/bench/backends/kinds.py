"""The backends as test parameters, each with the marks of what it needs."""

from __future__ import annotations

import pytest

from bench.backends.registry import BACKENDS

MARKS = {
    "vm": (pytest.mark.qemu, pytest.mark.slow),
    "docker": (pytest.mark.peers, pytest.mark.slow),
    "crun": (pytest.mark.peers,),
}
NAMES = [pytest.param(name, marks=MARKS.get(name, ())) for name in BACKENDS if name != "vm-untuned"]
"""The untuned VM has the code of the tuned one; it has a test of its own in test_vm_untuned.py."""
