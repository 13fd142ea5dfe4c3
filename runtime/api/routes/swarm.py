"""Routes of what is not supported: swarms, plugins and checkpoints."""

from __future__ import annotations

from typing import Any

from runtime.api.http.errors import ApiError, ErrorBody
from runtime.api.http.routing import Call, Method, route
from runtime.engine.errors import NotFoundError, UnavailableError
from runtime.engine.service.model.request import FilterQuery, Query

_SWARM = (
    "This node is not a swarm manager. ninetynine has no swarm: start containers on each host's own daemon."
)
_PATHS: tuple[tuple[Method, str], ...] = (
    ("GET", "/swarm"), ("POST", "/swarm/init"), ("POST", "/swarm/join"), ("POST", "/swarm/update"),
    ("GET", "/swarm/unlockkey"), ("POST", "/swarm/unlock"), ("GET", "/nodes"), ("GET", "/nodes/{id}"),
    ("DELETE", "/nodes/{id}"), ("POST", "/nodes/{id}/update"), ("GET", "/services"),
    ("POST", "/services/create"), ("GET", "/services/{id}"), ("DELETE", "/services/{id}"),
    ("POST", "/services/{id}/update"), ("GET", "/services/{id}/logs"), ("GET", "/tasks"),
    ("GET", "/tasks/{id}"), ("GET", "/tasks/{id}/logs"), ("GET", "/secrets"),
    ("POST", "/secrets/create"), ("GET", "/secrets/{id}"), ("DELETE", "/secrets/{id}"),
    ("POST", "/secrets/{id}/update"), ("GET", "/configs"), ("POST", "/configs/create"),
    ("GET", "/configs/{id}"), ("DELETE", "/configs/{id}"), ("POST", "/configs/{id}/update"),
    ("PUT", "/volumes/{name}"),
)  # fmt: skip


async def no_swarm(call: Call) -> ErrorBody:
    """Refuse a request that needs a swarm."""
    raise ApiError(_SWARM, 503)


for _method, _path in reversed(_PATHS):
    route(_method, _path, answer=ErrorBody, status=503)(no_swarm)


class LeaveQuery(Query):
    """force: even if this is a manager."""

    force: bool = False


@route("POST", "/swarm/leave", query=LeaveQuery, answer=ErrorBody, status=503)
async def leave_swarm(call: Call[LeaveQuery, None]) -> ErrorBody:
    """Refuse: this node is not part of a swarm."""
    raise ApiError("This node is not part of a swarm", 503)


@route("GET", "/plugins", query=FilterQuery, answer=list[Any])
async def plugins(call: Call[FilterQuery, None]) -> list[Any]:
    """List plugins: always none."""
    return []


@route("GET", "/plugins/privileges", answer=ErrorBody, status=501)
@route("POST", "/plugins/pull", answer=ErrorBody, status=501)
@route("POST", "/plugins/create", answer=ErrorBody, status=501)
async def no_plugins(call: Call) -> ErrorBody:
    """Refuse to install a plugin."""
    raise UnavailableError("plugins are not supported: volumes and networks have their own drivers here")


@route("GET", "/plugins/{name:.+}/json", answer=ErrorBody, status=404)
@route("POST", "/plugins/{name:.+}/enable", answer=ErrorBody, status=404)
@route("POST", "/plugins/{name:.+}/disable", answer=ErrorBody, status=404)
@route("POST", "/plugins/{name:.+}/upgrade", answer=ErrorBody, status=404)
@route("POST", "/plugins/{name:.+}/push", answer=ErrorBody, status=404)
@route("POST", "/plugins/{name:.+}/set", answer=ErrorBody, status=404)
@route("DELETE", "/plugins/{name:.+}", answer=ErrorBody, status=404)
async def no_such_plugin(call: Call) -> ErrorBody:
    """Refuse: there is no such plugin."""
    raise NotFoundError(f'plugin "{call.path["name"]}" not found')


@route("GET", "/containers/{id}/checkpoints", answer=ErrorBody, status=501)
@route("POST", "/containers/{id}/checkpoints", answer=ErrorBody, status=501)
@route("DELETE", "/containers/{id}/checkpoints/{checkpoint}", answer=ErrorBody, status=501)
async def no_checkpoints(call: Call) -> ErrorBody:
    """Refuse to checkpoint a container."""
    raise UnavailableError("checkpoints are not supported: commit keeps a container's files")
