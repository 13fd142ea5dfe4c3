"""Check that the host's mount at a bind's source allows the propagation asked for."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.engine.errors import BadParameterError
from runtime.spawn.linux import MS_REC, MS_SHARED, MS_SLAVE


def can_be_slave(source: str) -> bool:
    """Say whether the mount `source` lies on may be copied as a slave."""
    return not _mount_of(os.path.realpath(source))[1].isdisjoint(("shared", "master"))


def require_propagation(source: str, flags: int) -> None:
    """Refuse, in Docker's words, what the mount `source` lies on cannot do. Raises BadParameterError.

    flags: MS_SHARED needs a shared mount, MS_SLAVE a shared one or a slave; the others need nothing.
    """
    wanted = flags & ~MS_REC
    if wanted not in (MS_SHARED, MS_SLAVE):
        return
    place, kinds = _mount_of(os.path.realpath(source))
    if "shared" in kinds or (wanted == MS_SLAVE and "master" in kinds):
        return
    if wanted == MS_SHARED:
        raise BadParameterError(f"path {source} is mounted on {place} but it is not a shared mount")
    raise BadParameterError(f"path {source} is mounted on {place} but it is not a shared or slave mount")


def _mount_of(path: str) -> tuple[str, set[str]]:
    """Where the mount that holds `path` is attached, and the names of its optional fields."""
    best, kinds = "", set[str]()
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split(" ")
        place = fields[4].encode().decode("unicode_escape")
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= len(best):
            best = place
            kinds = {field.partition(":")[0] for field in fields[6 : fields.index("-")]}
    return best, kinds
