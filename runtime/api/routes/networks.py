"""`/networks`: list, create, inspect, remove, connect and disconnect networks."""

from __future__ import annotations

from runtime.api.http.routing import Call, route
from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.model.request import Body, EndpointSettings, FilterQuery, Query
from runtime.engine.service.rules.network_record import NetworkCreate, NetworkView


class Created(Body):
    """A new network."""

    id: str
    warning: str = ""


class ConnectBody(Body):
    """The body of connect: a container and the settings of its endpoint."""

    container: str = ""
    endpoint_config: EndpointSettings | None = None


class DisconnectBody(Body):
    """The body of disconnect."""

    container: str = ""
    force: bool = False


class Pruned(Body):
    """Names of the removed networks; null if there are none, as in docker."""

    networks_deleted: list[str] | None


@route("GET", "/networks/", query=FilterQuery, answer=list[NetworkView], also=(400,))
@route("GET", "/networks", query=FilterQuery, answer=list[NetworkView], also=(400,))
async def list_networks(call: Call[FilterQuery, None]) -> list[NetworkView]:
    """List networks."""
    return call.service.networks.list(call.query.filters)


@route("POST", "/networks/create", body=NetworkCreate, answer=Created, status=201, also=(400, 403, 404, 409))
async def create_network(call: Call[Query, NetworkCreate]) -> Created:
    """Create a network."""
    return Created(id=await call.service.networks.create(call.body))


@route("POST", "/networks/prune", query=FilterQuery, answer=Pruned, also=(400,))
async def prune_networks(call: Call[FilterQuery, None]) -> Pruned:
    """Remove networks without containers."""
    return Pruned(networks_deleted=await call.service.networks.prune(call.query.filters) or None)


class InspectQuery(Query):
    """verbose: for swarms, ignored. scope: the scope that the network must have."""

    verbose: bool = False
    scope: str = ""


@route("GET", "/networks/{id}", query=InspectQuery, answer=NetworkView, also=(404,))
async def inspect_network(call: Call[InspectQuery, None]) -> NetworkView:
    """Inspect a network."""
    if call.query.scope not in ("", "local"):
        raise NotFoundError(f"network {call.path['id']} not found")
    return call.service.networks.inspect(call.path["id"])


@route("DELETE", "/networks/{id}", status=204, also=(403, 404))
async def remove_network(call: Call[Query, None]) -> None:
    """Remove a network."""
    await call.service.networks.remove(call.path["id"])


@route("POST", "/networks/{id}/connect", body=ConnectBody, also=(400, 403, 404))
async def connect_network(call: Call[Query, ConnectBody]) -> None:
    """Connect a container to a network."""
    if not call.body.container:
        raise BadParameterError("invalid container name or ID: value is empty")
    settings = call.body.endpoint_config
    await call.service.networks.connect(call.path["id"], call.body.container, settings)


@route("POST", "/networks/{id}/disconnect", body=DisconnectBody, also=(400, 403, 404))
async def disconnect_network(call: Call[Query, DisconnectBody]) -> None:
    """Disconnect a container from a network."""
    if not call.body.container:
        raise BadParameterError("invalid container name or ID: value is empty")
    force = call.body.force
    await call.service.networks.disconnect(call.path["id"], call.body.container, force=force)
