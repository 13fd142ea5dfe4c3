"""Device nodes of a container: `--device`, and rules for nodes that it makes itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from runtime.engine.errors import BadParameterError
from runtime.engine.privileges import device_node
from runtime.engine.service.model.request import DeviceMapping
from runtime.oci.spec import Device
from runtime.spawn.cgroups import DeviceRule

_RULE = re.compile(r"([acb]) (\d+|\*):(\d+|\*) ([rwm]{1,3})")
_DEFAULT = frozenset(
    {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/console"}
)
"""Every container has these."""


def devices_of(
    asked: Iterable[DeviceMapping] | None,
) -> tuple[tuple[Device, ...], tuple[DeviceRule, ...]]:
    """Return the nodes to make and their access rules. A directory stands for all nodes below it.

    Raises BadParameterError in docker's words.
    """
    nodes: dict[str, Device] = {}
    rules: list[DeviceRule] = []
    for mapping in asked or ():
        access = mapping.cgroup_permissions or "rwm"
        if set(access) - set("rwm"):
            raise BadParameterError(f"invalid device mode: {access}")
        inside = mapping.path_in_container or mapping.path_on_host
        for source, target in _expand(mapping.path_on_host, inside):
            node = _node(source, target)
            rules.append(_rule_of(node, access))
            if target not in _DEFAULT:
                nodes[target] = node
    return tuple(nodes.values()), tuple(rules)


def rules_of(asked: Sequence[str] | None) -> tuple[DeviceRule, ...]:
    """Read `--device-cgroup-rule` (`c 1:3 rwm`). Raises BadParameterError in docker's words."""
    return tuple(_parse_rule(text) for text in asked or ())


def _parse_rule(text: str) -> DeviceRule:
    found = _RULE.fullmatch(text)
    if not found:
        raise BadParameterError(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = found.groups()
    return DeviceRule(
        kind="c" if kind == "c" else "b" if kind == "b" else "a",
        major=None if major == "*" else int(major),
        minor=None if minor == "*" else int(minor),
        access=access,
    )


def _expand(source: str, target: str) -> list[tuple[str, str]]:
    if not Path(source).is_dir():
        return [(source, target)]
    found = []
    for directory, _, names in os.walk(source):
        for name in sorted(names):
            path = Path(directory, name)
            mode = path.stat().st_mode if path.exists() else 0
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found.append((str(path), str(Path(target, path.relative_to(source)))))
    if not found:
        raise _unusable(source, "not a device node")
    return found


def _node(source: str, target: str) -> Device:
    try:
        node = device_node(target, Path(source).stat())
    except OSError as error:
        raise _unusable(source, (error.strerror or "").lower()) from error
    if node is None:
        raise _unusable(source, "not a device node")
    return node


def _unusable(source: str, why: str) -> BadParameterError:
    return BadParameterError(
        f'error gathering device information while adding custom device "{source}": {why}'
    )


def _rule_of(node: Device, access: str) -> DeviceRule:
    return DeviceRule(
        kind="b" if node.type == "b" else "c", major=node.major, minor=node.minor, access=access
    )
