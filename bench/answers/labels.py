"""What readers call the arms of a run."""

from __future__ import annotations

from collections.abc import Iterable

from bench.model import ArmPlan

RUNTIME, NND, AGAIN, UNTUNED = "runtime", "nnd", "again", "vm-untuned"
"""Backends that are treated by name: our runtime, our daemon, the host once more as an arm (whose verdicts
are about the instrument), and the VM with libvirt's defaults."""

_LABELS = {
    "again": "host once more, as if a system",
    "runtime": "container (ours)",
    "nnd": "nnd (our daemon)",
    "vm": "VM",
    UNTUNED: "VM, untuned",
    "vm-kvm": "VM (KVM)",
    "vm-tcg": "VM (emulated, TCG)",
}
"""By backend, and for arms that a claim names and a run lacks; others are called by their own names."""

_COPIED = {"runtime": "container"}
"""What the copy of an arm is a copy of, where that is not called by its backend."""


class Labels:
    """Labels of the arms of one run, by the names that its samples and verdicts have."""

    def __init__(self, arms: Iterable[ArmPlan] = ()) -> None:
        self._arms = {arm.name: arm for arm in arms}

    def label(self, name: str) -> str:
        """What a reader sees. A VM always names its accelerator: an emulated one says nothing about VMs."""
        arm = self._arms.get(name)
        if arm is None:
            return _LABELS.get(name, name)
        if arm.twin_of:
            return f"{_COPIED.get(arm.backend, arm.backend)} again (A/A)"
        if arm.extra:
            return f"{arm.backend} with {100 * arm.extra:g} % more work"
        if arm.kind == "vm":
            untuned = ", untuned" if arm.backend == UNTUNED else ""
            return f"VM ({'emulated, TCG' if arm.emulated else 'KVM'}{untuned})"
        return _LABELS.get(arm.backend, arm.name)

    def brief(self, name: str) -> str:
        """The same in at most ten characters, for a terminal."""
        arm = self._arms.get(name)
        backend = arm.backend if arm else name
        if arm is not None and arm.kind == "vm":
            return "untuned VM" if backend == UNTUNED else f"VM ({'TCG' if arm.emulated else 'KVM'})"
        return {RUNTIME: "container", AGAIN: "host again"}.get(
            name if arm and arm.is_control else backend, name
        )

    def is_emulated(self, name: str) -> bool:
        """Whether the arm's processor is software."""
        return name in self._arms and self._arms[name].emulated

    def is_vm(self, name: str) -> bool:
        """Whether the arm is a virtual machine."""
        return name in self._arms and self._arms[name].kind == "vm"

    def of_backend(self, backend: str) -> tuple[str, ...]:
        """The systems under test that are arms of a backend."""
        return tuple(arm.name for arm in self._arms.values() if arm.backend == backend and arm.is_system)
