"""Where the working tree is that the tests are of, and what they keep for the next time."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DOCS = REPOSITORY / "docs"
CACHE = Path(os.environ.get("NINETYNINE_TEST_CACHE", "/var/tmp/ninetynine-test-cache"))
GUESTS = CACHE / "vm"
"""Kernels and disks of the guests of all tests: each is made once."""
