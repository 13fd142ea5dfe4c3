"""Times in the words of `docker ps`: `Up 2 minutes (healthy)`, `Exited (0) 3 hours ago`."""

from __future__ import annotations

import time

from runtime.engine.service.clock import ns_of
from runtime.engine.service.record import State

NEVER = "0001-01-01T00:00:00Z"
"""How Go writes a time that is not set."""

_LONG = ((24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks"), (24 * 365 * 2, 24 * 30, "months"))
"""Below so many hours → in units of so many hours."""


def human(duration_ns: int) -> str:
    """Return a duration in words, rounded as Docker rounds."""
    seconds = duration_ns // 1_000_000_000
    if seconds < 1:
        return "Less than a second"
    if seconds == 1:
        return "1 second"
    if seconds < 60:
        return f"{seconds} seconds"
    minutes = seconds // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = (seconds + 1800) // 3600
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    for below, unit, word in _LONG:
        if hours < below:
            return f"{hours // unit} {word}"
    return f"{hours // (24 * 365)} years"


def since(text: str, now_ns: int | None = None) -> str:
    """Return in words how long ago an RFC 3339 time was."""
    return human(max(0, (time.time_ns() if now_ns is None else now_ns) - ns_of(text)))


def status_line(state: State, now_ns: int | None = None) -> str:
    """Return the column STATUS of `docker ps`."""
    if state.status == "running" or state.status == "paused":
        line = f"Up {since(state.started_at, now_ns)}" if state.started_at else "Up"
        return line + _remark(state)
    if state.status == "restarting":
        return f"Restarting ({state.exit_code}) {_ended(state, now_ns)}"
    if state.status == "removing":
        return "Removal In Progress"
    if state.status == "dead":
        return "Dead"
    if state.status == "created":
        return "Created"
    return f"Exited ({state.exit_code}) {_ended(state, now_ns)}"


def _ended(state: State, now_ns: int | None) -> str:
    return f"{since(state.finished_at, now_ns)} ago" if state.finished_at else ""


def _remark(state: State) -> str:
    if state.status == "paused":
        return " (Paused)"
    if state.health is None or state.health.status == "none":
        return ""
    return " (health: starting)" if state.health.status == "starting" else f" ({state.health.status})"
