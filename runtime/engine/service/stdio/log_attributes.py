"""The labels and variables that a container's log keeps with each line: `labels`, `env`, `tag`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote_plus

from runtime.engine.service.model.record import ContainerRecord


def attributes(record: ContainerRecord) -> dict[str, str]:
    """Return the labels and variables that the log options of a container choose, sorted by name."""
    options = record.host_config.log_config.config or {}
    labels = record.config.labels or {}
    environment = dict(pair.split("=", 1) for pair in record.config.env or () if "=" in pair)
    found = _chosen(options, "labels", labels) | _chosen(options, "env", environment)
    if options.get("tag"):
        found["tag"] = _tag(options["tag"], record)
    return dict(sorted(found.items()))


def shown(attrs: Mapping[str, str]) -> str:
    """Return attributes as `logs --details` puts them before a line."""
    return ",".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in attrs.items())


def _chosen(options: Mapping[str, str], name: str, there: Mapping[str, str]) -> dict[str, str]:
    listed = options.get(name, "").split(",")
    pattern = options.get(f"{name}-regex")
    return {
        key: value for key, value in there.items() if key in listed or (pattern and re.search(pattern, key))
    }


def _tag(template: str, record: ContainerRecord) -> str:
    image = record.image_id.removeprefix("sha256:")
    words = {
        "ID": record.id[:12],
        "FullID": record.id,
        "Name": record.name,
        "ImageName": record.image,
        "ImageID": image[:12],
        "ImageFullID": record.image_id,
    }
    return re.sub(r"\{\{ *\.(\w+) *\}\}", lambda found: words.get(found[1], found[0]), template)
