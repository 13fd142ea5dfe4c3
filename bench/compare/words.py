"""The sentence of each row. `verdict` has the numbers, in the direction of the sentence."""

from __future__ import annotations

from bench.compare.sides import Scale
from bench.model import Verdict

_SIZES = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"))


def sentence(verdict: Verdict, scale: Scale, unit: str, role: str, state: str) -> str:
    """`cpu.integer on runtime: NEW runs at 94.9 % of OLD's performance (94.1 to 95.8 %): worse`."""
    who = f"{verdict.metric} on {verdict.arm}"
    change = _numbers(verdict, scale, unit, role)
    why = f" ({verdict.reason})" if verdict.reason else ""
    return f"{who}: {change}: {state}{why}" if change else f"{who}: {state}{why}"


def percent(share: float | None) -> str:
    """0.9512 → `95.1 %`; None (no bound) → `any`."""
    return "any" if share is None else f"{100 * share:.4g} %" if share < 10 else f"{share:.3g} times"


def amount(value: float | None, unit: str) -> str:
    """Format a value with its unit, bytes in the largest binary unit that fits."""
    if value is None:
        return ""
    if unit in ("B", "bytes"):
        for size, name in _SIZES:
            if abs(value) >= size:
                return f"{value / size:.4g} {name}"
    return f"{value:.4g} {unit}"


def both(old: float | None, new: float | None, unit: str) -> str:
    """`99.8 → 95.1 events/s`; a missing side is a dash."""
    if unit in ("B", "bytes") or old is None or new is None:
        return f"{amount(old, unit) or '–'} → {amount(new, unit) or '–'}"
    return f"{old:.4g} → {new:.4g} {unit}"


def _numbers(verdict: Verdict, scale: Scale, unit: str, role: str) -> str:
    if verdict.estimate is None:
        return ""
    if scale == "difference":
        more = "more" if verdict.estimate >= 0 else "less"
        low, high = (amount(one, unit) or "any" for one in (verdict.low, verdict.high))
        return f"NEW has {amount(abs(verdict.estimate), unit)} {more} than OLD ({low} to {high})"
    subject = "the host itself runs" if role == "context" else "NEW runs"
    beside = f", each relative to {verdict.baseline} in its own run" if verdict.baseline else ""
    return (
        f"{subject} at {percent(verdict.estimate)} of OLD's performance "
        f"({percent(verdict.low)} to {percent(verdict.high)}){beside}"
    )
