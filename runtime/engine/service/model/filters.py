"""Read and match the `filters` of a query, `{"label": ["a=b"]}`. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import msgspec

from runtime.docker_syntax import booleans
from runtime.engine.errors import BadParameterError, refusing

Filters = Mapping[str, Sequence[str]]
"""Name → values. Values of one name are alternatives (labels: all must hold); names must all hold."""


def parse_filters(text: str) -> Filters:
    """Read the query's JSON; old clients send `{"label": {"a=b": true}}`. Raises BadParameterError."""
    try:
        found = msgspec.json.decode(text, type=dict[str, dict[str, bool] | list[str] | None] | None)
    except msgspec.MsgspecError as error:
        raise BadParameterError(f"invalid filters: {error}; send a JSON object of lists") from error
    return {
        name: [value for value, wanted in values.items() if wanted]
        if isinstance(values, dict)
        else values or []
        for name, values in (found or {}).items()
    }


def check_filters(filters: Filters, allowed: Collection[str]) -> None:
    """Refuse names outside `allowed`. Raises BadParameterError, in the words docker's clients know."""
    for name in filters:
        if name not in allowed:
            raise BadParameterError(f"invalid filter '{name}'")


def label_matches(wanted: Sequence[str], labels: Mapping[str, str] | None) -> bool:
    """Say whether all of `wanted` (`name` or `name=value`) are among `labels`."""
    have = labels or {}
    for label in wanted:
        name, equals, value = label.partition("=")
        if name not in have or (equals and have[name] != value):
            return False
    return True


def labels_fit(filters: Filters, labels: Mapping[str, str] | None) -> bool:
    """Say whether the labels have all of the filter `label`, and none of `label!`."""
    unwanted = filters.get("label!", ())
    return label_matches(filters.get("label", ()), labels) and not any(
        label_matches([label], labels) for label in unwanted
    )


def any_matches(patterns: Sequence[str], value: str) -> bool:
    """Say whether `value` equals or matches one of the regular expressions `patterns`, or there is none."""
    return not patterns or value in patterns or any(_search(pattern, value) for pattern in patterns)


def flag_of(filters: Filters, name: str) -> bool | None:
    """Return a filter that is true or false, None when it is not given. Raises BadParameterError."""
    values = filters.get(name)
    if not values:
        return None
    with refusing():
        return booleans.of_filter(name, values)


def _search(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return False
