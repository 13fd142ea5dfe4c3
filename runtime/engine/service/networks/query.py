"""Find networks by reference and by filters. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from runtime.docker_syntax import times
from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.model.filters import Filters, any_matches, check_filters, flag_of, labels_fit
from runtime.engine.service.networks.live_network import LiveNetwork

_LIST = frozenset({"dangling", "driver", "id", "label", "name", "scope", "type"})
_PRUNE = frozenset({"label", "label!", "until"})


def find(nets: Mapping[str, LiveNetwork], ref: str) -> LiveNetwork:
    """Return the network of a full id, a name, or the start of an id, tried in this order as docker does.

    Raises NotFoundError, or BadParameterError when several fit.
    """
    if ref in nets:
        return nets[ref]
    named = [net for net in nets.values() if net.record.name == ref]
    if not named and ref:
        named = [net for network_id, net in nets.items() if network_id.startswith(ref)]
    if len(named) > 1:
        raise BadParameterError(f"network {ref} is ambiguous ({len(named)} matches found on name)")
    if not named:
        raise NotFoundError(f"network {ref} not found")
    return named[0]


def selected(nets: Collection[LiveNetwork], filters: Filters) -> list[LiveNetwork]:
    """Return those that match all filters, oldest first. Raises BadParameterError."""
    check_filters(filters, _LIST)
    for kind in filters.get("type", ()):
        if kind not in ("builtin", "custom"):
            raise BadParameterError(f"invalid filter: 'type'='{kind}'")
    dangling = flag_of(filters, "dangling")
    found = [net for net in nets if _fits(net, filters) and dangling in (None, _is_dangling(net))]
    return sorted(found, key=lambda net: (net.record.created, net.record.id))


def prunable(nets: Iterable[LiveNetwork], filters: Filters) -> list[LiveNetwork]:
    """Return those that match and have no containers. Raises BadParameterError."""
    check_filters(filters, _PRUNE)
    until = _until(filters)
    return [
        net
        for net in nets
        if _is_dangling(net)
        and labels_fit(filters, net.record.labels)
        and (until is None or times.ns_of(net.record.created) < until)
    ]


def _fits(net: LiveNetwork, filters: Filters) -> bool:
    record = net.record
    kinds, scopes, drivers = filters.get("type"), filters.get("scope"), filters.get("driver")
    return (
        any_matches(filters.get("name", ()), record.name)
        and any_matches([f"^{start}" for start in filters.get("id", ())], record.id)
        and (not drivers or record.driver in drivers)
        and (not scopes or "local" in scopes)
        and (not kinds or ("builtin" if record.predefined else "custom") in kinds)
        and labels_fit(filters, record.labels)
    )


def _is_dangling(net: LiveNetwork) -> bool:
    return not net.record.predefined and not net.attached


def _until(filters: Filters) -> int | None:
    values = filters.get("until", ())
    if not values:
        return None
    try:
        return min(times.moment_ns(value) for value in values)
    except ValueError as error:
        raise BadParameterError(f"invalid filter 'until={values[0]}': {error}") from error
