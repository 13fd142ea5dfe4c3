"""Is KVM usable here? Decided by running guest code, not by looking at /dev/kvm."""

from __future__ import annotations

import msgspec


class KvmProbe(msgspec.Struct, frozen=True, kw_only=True):
    usable: bool
    ns_per_iteration: float | None
    reason: str


def usable_kvm(limit_s: float = 5.0) -> KvmProbe:
    return KvmProbe(usable=False, ns_per_iteration=None, reason="stub")
