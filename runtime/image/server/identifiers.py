"""Validate repository names, tags and digests of requests before they become paths. Pure functions."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from runtime.image.server.faults import FaultError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})")
ALGORITHMS = ("sha256", "sha512")
_LONGEST_NAME = 255
"""distribution-spec's limit for host and name together, and file systems' for a path component."""


def repository(text: str) -> str:
    """Return `text` if it is a repository name. Raises NAME_INVALID."""
    if len(text) > _LONGEST_NAME or not _REPOSITORY.fullmatch(text):
        raise FaultError(
            400, "NAME_INVALID", f"{text[:100]!r} does not name a repository", {"name": text[:300]}
        )
    return text


def digest(text: str) -> str:
    """Return `text` if it is a sha256 or sha512 digest. Raises DIGEST_INVALID."""
    if not _DIGEST.fullmatch(text):
        raise FaultError(
            400, "DIGEST_INVALID", f"{text[:150]!r} is not a sha256 or sha512 digest", {"digest": text[:300]}
        )
    return text


def is_digest(text: str) -> bool:
    """Say whether a reference is a digest: tags have no colon."""
    return ":" in text


def tag(text: str) -> str:
    """Return `text` if it is a tag. Raises MANIFEST_INVALID."""
    if not _TAG.fullmatch(text):
        raise FaultError(400, "MANIFEST_INVALID", f"{text[:150]!r} is not a tag", {"tag": text[:300]})
    return text


def hasher(algorithm: str) -> Any:
    """Return a new `hashlib` object for a digest algorithm. Raises DIGEST_INVALID."""
    if algorithm not in ALGORITHMS:
        raise FaultError(
            400, "DIGEST_INVALID", f"digest algorithm {algorithm[:40]!r} is not known; use sha256 or sha512"
        )
    return hashlib.new(algorithm)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    """Return the digest of `data`, `algorithm:hex`."""
    found = hasher(algorithm)
    found.update(data)
    return f"{algorithm}:{found.hexdigest()}"
