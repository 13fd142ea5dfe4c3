"""Select the containers that `GET /containers/json` shows, by docker's filters. Pure, but for its lookups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from runtime.docker_syntax import MalformedError, ports, times
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.filters import (
    Filters,
    any_matches,
    check_filters,
    label_matches,
    labels_fit,
)
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.rules.ports import exposed
from runtime.network.model import Port

FILTERS = frozenset(
    {"ancestor", "before", "expose", "exited", "health", "id", "isolation", "is-task", "label", "name",
     "network", "publish", "since", "status", "volume"}
)  # fmt: skip
PRUNE_FILTERS = frozenset({"until", "label", "label!"})
_STATUSES = ("created", "running", "paused", "restarting", "removing", "exited", "dead")
_HEALTHS = ("none", "starting", "healthy", "unhealthy")


class Lookups:
    """Lookups that filters need. image_ids: the images that the name or id of an ancestor stands for."""

    def __init__(
        self,
        container: Callable[[str], ContainerRecord],
        image_ids: Callable[[str], Iterable[str]],
    ) -> None:
        self.container = container
        self.image_ids = image_ids


def select(
    records: Iterable[ContainerRecord],
    *,
    all: bool,  # noqa: A002
    limit: int,
    filters: Filters,
    lookups: Lookups,
) -> list[ContainerRecord]:
    """Return those that match, newest first.

    Raises BadParameterError for an invalid filter, NotFoundError for an unknown container in `before` or
    `since`.
    """
    check(filters)
    newest = sorted(records, key=lambda record: record.created, reverse=True)
    if limit > 0:
        all = True  # noqa: A001
    tests = _tests(filters, lookups)
    bounds = [(name, lookups.container(ref)) for name in ("before", "since") for ref in filters.get(name, ())]
    every = all or "status" in filters or "exited" in filters
    selected = [
        record
        for record in newest
        if (every or record.state.running or record.state.status == "restarting")
        and _in_range(record, bounds)
        and _fits(record, filters, tests)
    ]
    return selected[:limit] if limit > 0 else selected


def check(filters: Filters) -> None:
    """Raise BadParameterError for unknown names and values."""
    check_filters(filters, FILTERS)
    for name, allowed in (("status", _STATUSES), ("health", _HEALTHS)):
        for value in filters.get(name, ()):
            if value not in allowed:
                raise BadParameterError(f"invalid filter '{name}={value}'")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"-?\d+", value):
            raise BadParameterError(f"invalid filter 'exited={value}'")


def prunable(records: Iterable[ContainerRecord], filters: Filters) -> list[ContainerRecord]:
    """Return those that a prune removes: not running, and matching `until` and labels."""
    check_filters(filters, PRUNE_FILTERS)
    before = None
    for value in filters.get("until", ()):
        try:
            before = times.moment_ns(value)
        except ValueError as error:
            raise BadParameterError(f"invalid filter 'until={value}': {error}") from error
    return [
        record
        for record in records
        if record.state.status in ("created", "exited", "dead")
        and (before is None or times.ns_of(record.created) < before)
        and labels_fit(filters, record.config.labels)
    ]


Test = Callable[[ContainerRecord, Sequence[str]], bool]


def _tests(filters: Filters, lookups: Lookups) -> Mapping[str, Test]:
    ancestors: set[str] = set()
    for value in filters.get("ancestor", ()):
        ancestors.update(lookups.image_ids(value))
    return {
        "ancestor": lambda record, values: record.image_id in ancestors or record.image in values,
        "expose": lambda record, values: _overlap(_exposed(record), values),
        "exited": lambda record, values: (
            record.state.status == "exited" and str(record.state.exit_code) in values
        ),
        "health": lambda record, values: _health(record) in values,
        "id": lambda record, values: any(record.id.startswith(value) for value in values),
        "isolation": lambda record, values: record.host_config.isolation in values,
        "is-task": lambda record, values: not set(values) & {"1", "true", "True"},
        "label": lambda record, values: label_matches(values, record.config.labels),
        "name": lambda record, values: (
            any_matches(values, record.name) or any_matches(values, f"/{record.name}")
        ),
        "network": lambda record, values: _on_network(record, values),
        "publish": lambda record, values: _overlap(_published(record), values),
        "status": lambda record, values: record.state.status in values,
        "volume": lambda record, values: any(
            value in (point.name, point.source, point.destination)
            for point in record.mounts
            for value in values
        ),
    }


def _fits(record: ContainerRecord, filters: Filters, tests: Mapping[str, Test]) -> bool:
    return all(tests[name](record, values) for name, values in filters.items() if values and name in tests)


def _in_range(record: ContainerRecord, bounds: Sequence[tuple[str, ContainerRecord]]) -> bool:
    for name, other in bounds:
        older = record.created < other.created
        if record.id == other.id or older != (name == "before"):
            return False
    return True


def _health(record: ContainerRecord) -> str:
    return record.state.health.status if record.state.health else "none"


def _on_network(record: ContainerRecord, values: Sequence[str]) -> bool:
    known = {record.host_config.network_mode}
    for name, endpoint in record.networks.items():
        known |= {name, endpoint.network_id}
    ids = [ref for ref in known if len(ref) == 64]
    return any(value in known or any(ref.startswith(value) for ref in ids) for value in values)


def _exposed(record: ContainerRecord) -> set[str]:
    """Return a container's own ports. As in docker, only a running one has any."""
    if not record.state.running:
        return set()
    return {
        *exposed(record),
        *(f"{port.container}/{port.protocol}" for port in _bound(record)),
    }


def _published(record: ContainerRecord) -> set[str]:
    """Return the host's ports of a container, which docker's filter is about."""
    return {f"{port.host}/{port.protocol}" for port in _bound(record)}


def _bound(record: ContainerRecord) -> tuple[Port, ...]:
    return record.state.ports if record.state.running else ()


def _overlap(those: Iterable[str], values: Sequence[str]) -> bool:
    """Say whether values like `80`, `80/udp`, `8000-8010/tcp` include one of the ports."""
    have = {_split(port) for port in those}
    for value in values:
        try:
            first, last, protocol = ports.parse(value)
        except MalformedError:
            raise BadParameterError(
                f"invalid port in a filter: {value}; write 80, 80/udp or 8000-8010"
            ) from None
        if any(first <= port <= last and kind == protocol for port, kind in have):
            return True
    return False


def _split(port: str) -> tuple[int, str]:
    number, _, protocol = port.partition("/")
    return int(number.partition("-")[0]), protocol or "tcp"
