"""A step of a build, as the history and the cache know it. Pure."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import msgspec

from runtime.engine.service.model.request import Config


class Step(NamedTuple):
    """created_by: its instruction, with digests of what it copies; config: what its image says."""

    created_by: str
    config: Config

    @property
    def digest(self) -> str:
        """What it is found by."""
        told = [self.created_by, msgspec.to_builtins(self.config)]
        return hashlib.sha256(msgspec.json.encode(told, order="deterministic")).hexdigest()
