"""The sentence of each row. `verdict` has the numbers, in the direction of the sentence."""

from __future__ import annotations

from bench.answers.words import NBSP, digits, quantity, scale
from bench.compare.sides import Scale
from bench.model import Verdict

LEAST, MOST = 0.001, 1000
"""Shares of OLD's performance beyond which a bound says no more than that."""


def sentence(verdict: Verdict, on: Scale, unit: str, role: str, state: str) -> str:
    """`cpu.integer on runtime: NEW runs at 94.9 % of OLD's performance (94.1 to 95.8 %): worse`."""
    who = f"{verdict.metric} on {verdict.arm}"
    change = _numbers(verdict, on, unit, role)
    why = f" ({verdict.reason})" if verdict.reason else ""
    return f"{who}: {change}: {state}{why}" if change else f"{who}: {state}{why}"


def percent(share: float | None) -> str:
    """0.9512 → `95.12 %`, 6.64 → `6.64 times`; None (no bound) → `any`. Beyond LEAST and MOST: these."""
    if share is None:
        return "any"
    if share < LEAST:
        return f"under {100 * LEAST:g} %"
    if share < 2:
        return f"{100 * share:.4g} %"
    return f"{digits(share)} times" if share <= MOST else f"over {MOST:,} times"


def amount(value: float | None, unit: str) -> str:
    """Format a value with its unit, in the multiple of it that suits."""
    return "" if value is None else quantity(value, unit).replace(NBSP, " ")


def both(old: float | None, new: float | None, unit: str) -> str:
    """`99.8 → 95.1 events/s`; a missing side is a dash."""
    if unit in ("B", "bytes") or old is None or new is None:
        return f"{amount(old, unit) or '–'} → {amount(new, unit) or '–'}"
    factor, shown = scale(unit, max(abs(old), abs(new)))
    return f"{digits(old * factor)} → {digits(new * factor)} {shown}"


def _numbers(verdict: Verdict, on: Scale, unit: str, role: str) -> str:
    if verdict.estimate is None:
        return ""
    if on == "difference":
        more = "more" if verdict.estimate >= 0 else "less"
        low, high = (amount(one, unit) or "any" for one in (verdict.low, verdict.high))
        return f"NEW has {amount(abs(verdict.estimate), unit)} {more} than OLD ({low} to {high})"
    subject = "the host itself runs" if role == "context" else "NEW runs"
    beside = f", each relative to {verdict.baseline} in its own run" if verdict.baseline else ""
    return (
        f"{subject} at {percent(verdict.estimate)} of OLD's performance "
        f"({percent(verdict.low)} to {percent(verdict.high)}){beside}"
    )
