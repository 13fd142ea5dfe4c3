"""plotly.js in the page: the bundle that the plotly package ships, gzipped, so that nothing is fetched.

The whole bundle is 4.8 MB as text and 2.0 MB gzipped and in base64, half of what a page may weigh. The
browser unpacks it (DecompressionStream, in every browser since 2023); without it, or without scripts, the
table below each chart holds its numbers.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache

import msgspec
from plotly.offline import get_plotlyjs, get_plotlyjs_version


class Bundle(msgspec.Struct, frozen=True):
    """plotly.js as gzipped base64, its version, and the hash by which the page's policy lets it run."""

    packed: str
    version: str
    csp: str


@cache
def plotly_bundle() -> Bundle:
    """The bundle, packed once a process."""
    source = get_plotlyjs()
    packed = gzip.compress(source.encode(), compresslevel=9, mtime=0)
    return Bundle(base64.b64encode(packed).decode(), get_plotlyjs_version(), csp_hash(source))


def csp_hash(script: str) -> str:
    """The Content-Security-Policy source that allows exactly this inline script."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
