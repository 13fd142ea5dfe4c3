"""The backends as test parameters, each with the marks of what it needs."""

from __future__ import annotations

import pytest

from bench.backends.registry import BACKENDS

MARKS = {
    "vm": (pytest.mark.qemu, pytest.mark.slow),
    "vm-untuned": (pytest.mark.qemu, pytest.mark.slow),
    "docker": (pytest.mark.peers, pytest.mark.slow),
    "crun": (pytest.mark.peers,),
}
NAMES = [pytest.param(name, marks=MARKS.get(name, ())) for name in BACKENDS]
