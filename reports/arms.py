"""The label and the look of each arm. One place, so that a colour means the same thing on every chart."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bench.model import ArmPlan


class Ink(msgspec.Struct, frozen=True):
    """A colour for light paper and the same colour for dark; both at least 3:1 against their page."""

    light: str
    dark: str


class Style(msgspec.Struct, frozen=True):
    """An arm's ink, marker and line, so that no chart tells arms apart by colour alone."""

    ink: Ink
    symbol: str
    dash: str


INK = {
    "text": Ink("#1d2329", "#e8ebee"),
    "muted": Ink("#5b6570", "#a3adb8"),
    "grid": Ink("#e3e6e9", "#2c333b"),
    "axis": Ink("#a9b1b9", "#56606b"),
    "supported": Ink("#14743a", "#56d186"),
    "refuted": Ink("#b3261e", "#ff8a80"),
    "inconclusive": Ink("#8a5a00", "#f0b849"),
    "not measured": Ink("#5c6672", "#a1abb6"),
}

RUNTIME, NND, AGAIN, UNTUNED = "runtime", "nnd", "again", "vm-untuned"
"""Backends that a page treats by name: our runtime, our daemon, the host once more as an arm (whose verdicts
are about the instrument), and the VM with libvirt's defaults."""

STYLES = {
    "host": Style(Ink("#4a545e", "#c3cbd3"), "circle", "solid"),
    "host-b": Style(Ink("#7d8792", "#8f99a4"), "circle-open", "dot"),
    "positive": Style(Ink("#85681f", "#d8bf7a"), "triangle-down-open", "dot"),
    "again": Style(Ink("#5f6b12", "#c3cf6d"), "hexagon2", "dash"),
    "runtime": Style(Ink("#0a5cc2", "#6cb2ff"), "square", "solid"),
    "runtime-b": Style(Ink("#4373b3", "#94bdf0"), "square-open", "dot"),
    "nnd": Style(Ink("#2a3fa8", "#9db0ff"), "square-x", "longdash"),
    "vm": Style(Ink("#b34a00", "#ffa766"), "diamond", "solid"),
    "vm-untuned": Style(Ink("#96660a", "#d9b36b"), "diamond-open", "dash"),
    "docker": Style(Ink("#08777d", "#4fd0d6"), "triangle-up", "solid"),
    "crun": Style(Ink("#7b37b8", "#c89bff"), "cross", "dash"),
}
_OTHERS = (
    Style(Ink("#a3246f", "#ff8cc8"), "star", "dashdot"),
    Style(Ink("#3f6b12", "#a5d46a"), "hexagon", "longdash"),
    Style(Ink("#5f4b3a", "#cdb7a2"), "pentagon", "longdashdot"),
)
"""By backend, and for the controls by the arm that they are in every plan."""

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


class Legend:
    """Labels and looks of the arms of one run, by the names that its samples and verdicts have."""

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

    def style(self, name: str) -> Style:
        """The look of an arm; unknown systems share three spare looks, picked by name and so stable."""
        arm = self._arms.get(name)
        known = arm.backend if arm is not None else name
        if arm is not None and arm.is_control:
            known = f"{arm.backend}-b" if arm.twin_of else "positive"
        return STYLES.get(known) or _OTHERS[sum(name.encode()) % len(_OTHERS)]

    def is_emulated(self, name: str) -> bool:
        """Whether the arm's processor is software."""
        return name in self._arms and self._arms[name].emulated

    def is_vm(self, name: str) -> bool:
        """Whether the arm is a virtual machine."""
        return name in self._arms and self._arms[name].kind == "vm"

    def of_backend(self, backend: str) -> tuple[str, ...]:
        """The systems under test that are arms of a backend."""
        return tuple(arm.name for arm in self._arms.values() if arm.backend == backend and arm.is_system)


def dark_inks() -> dict[str, str]:
    """Light colour → dark colour, for the script that repaints charts."""
    styles = [*STYLES.values(), *_OTHERS]
    return {ink.light: ink.dark for ink in [*INK.values(), *(look.ink for look in styles)]}
