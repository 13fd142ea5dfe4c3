"""What visits and starts cost on this host, kept from run to run in the cache, for the next run's plan."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench import output
from bench.cli.dependencies import Dependencies
from bench.host.fingerprint import machine_id
from bench.model import Prices


def _file(cache: Path, machine: str) -> Path:
    return cache / "prices" / f"{machine or 'unknown'}.json"


def known(deps: Dependencies, cache: Path) -> Prices | None:
    """The prices that a plan on this machine may go by."""
    return load(cache, machine_id()) if deps.remembers else None


def load(cache: Path, machine: str) -> Prices | None:
    """The prices learnt on this machine; None where no run was complete yet, or the file is of no use."""
    try:
        return msgspec.json.decode(_file(cache, machine).read_bytes(), type=Prices)
    except (OSError, msgspec.DecodeError):
        return None


def keep(cache: Path, machine: str, found: Prices) -> None:
    """Keep the prices of a complete run; what it did not measure stays as it was known before."""
    before = load(cache, machine)
    if before is not None:
        visits = {
            name: before.visits.get(name, {}) | found.visits.get(name, {})
            for name in dict.fromkeys((*before.visits, *found.visits))
        }
        found = msgspec.structs.replace(found, visits=visits, starts=before.starts | found.starts)
    path = _file(cache, machine)
    path.parent.mkdir(parents=True, exist_ok=True)
    output.write(path, msgspec.json.encode(found))
