"""The look of each arm. One place, so that a colour means the same thing on every chart."""

from __future__ import annotations

import msgspec

from bench.answers.labels import Labels


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
_PHASES = tuple(
    Ink(*pair.split())
    for pair in (
        "#0a5cc2 #6cb2ff", "#b34a00 #ffa766", "#14743a #56d186", "#7b37b8 #c89bff", "#85681f #d8bf7a",
        "#08777d #4fd0d6", "#a3246f #ff8cc8", "#4a545e #c3cbd3", "#3f6b12 #a5d46a", "#b3261e #ff8a80",
        "#2a3fa8 #9db0ff", "#5f4b3a #cdb7a2", "#7d8792 #8f99a4",
    )
)  # fmt: skip
"""One a phase of a start: as many as there are names of phases."""

_OTHERS = (
    Style(Ink("#a3246f", "#ff8cc8"), "star", "dashdot"),
    Style(Ink("#3f6b12", "#a5d46a"), "hexagon", "longdash"),
    Style(Ink("#5f4b3a", "#cdb7a2"), "pentagon", "longdashdot"),
)
"""By backend, and for the controls by the arm that they are in every plan."""


class Legend(Labels):
    """Labels and looks of the arms of one run."""

    def style(self, name: str) -> Style:
        """The look of an arm; unknown systems share three spare looks, picked by name and so stable."""
        arm = self._arms.get(name)
        known = arm.backend if arm is not None else name
        if arm is not None and arm.is_control:
            known = f"{arm.backend}-b" if arm.twin_of else "positive"
        return STYLES.get(known) or _OTHERS[sum(name.encode()) % len(_OTHERS)]


def phase_ink(place: int) -> str:
    """The colour of the phase that is the `place`-th of its chart."""
    return _PHASES[place % len(_PHASES)].light


def dark_inks() -> dict[str, str]:
    """Light colour → dark colour, for the script that repaints charts."""
    styles = [*STYLES.values(), *_OTHERS]
    return {ink.light: ink.dark for ink in [*INK.values(), *_PHASES, *(look.ink for look in styles)]}
