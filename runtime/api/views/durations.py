"""Times in the words of `docker ps`: `Up 2 minutes (healthy)`, `Exited (0) 3 hours ago`."""

from __future__ import annotations

from runtime.docker_syntax.times import since
from runtime.engine.service.model.record import State


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
