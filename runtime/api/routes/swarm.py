"""Leaving a swarm, which clients try before and after anything else: there is none here."""

from __future__ import annotations

from runtime.api.errors import ApiError, ErrorBody
from runtime.api.routing import Call, Query, route


class LeaveQuery(Query):
    """force: of a manager."""

    force: bool = False


@route("POST", "/swarm/leave", query=LeaveQuery, answer=ErrorBody, status=503)
async def leave_swarm(call: Call[LeaveQuery, None]) -> ErrorBody:
    """Say that this is no part of a swarm."""
    raise ApiError("This node is not part of a swarm", 503)
