"""Docker's rules for binds: paths that hold the daemon's own files, and recursive read-only."""

from __future__ import annotations

import os

import msgspec

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import MountPoint
from runtime.engine.service.model.request import BindOptions


def check_options(options: BindOptions, *, read_only: bool) -> None:
    """Raise BadParameterError for options that contradict each other."""
    shallow, deep = options.read_only_non_recursive, options.read_only_force_recursive
    for wrong, what in (
        (shallow and not read_only, "!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        (deep and not read_only, "!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        (shallow and deep, "ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
    ):
        if wrong:
            raise BadParameterError(f"mount options conflict: {what}")


def settle(point: MountPoint, daemon_root: str, *, shallow: bool) -> MountPoint:
    """Return a mount as it is recorded. Raises BadParameterError.

    A bind that shows the daemon's root follows what is unmounted there: a private copy would hold the mounts
    of other containers. shallow: read-only without what is mounted below, as clients before 1.44 expect.
    """
    if point.type != "bind":
        return point
    if shallow and point.read_only:
        point = msgspec.structs.replace(point, read_only_non_recursive=True)
    if not _overlap(os.path.realpath(point.source), daemon_root):
        return point
    if point.propagation_implied:
        return msgspec.structs.replace(point, propagation="rslave")
    if point.propagation not in ("rslave", "rshared"):
        raise BadParameterError(
            'invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source '
            f'is within the daemon root, daemon root: "{daemon_root}", bind mount source: "{point.source}", '
            f'propagation: "{point.propagation}"'
        )
    return point


def _overlap(one: str, other: str) -> bool:
    """Say whether one path is the other or contains it. An empty path contains nothing."""
    return bool(other) and os.path.commonpath((one, other)) in (one, other)
