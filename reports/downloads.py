"""The raw files of a run, carried inside the page where they are small enough."""

from __future__ import annotations

import base64
import gzip
import os
from pathlib import Path

import msgspec

from bench import store
from bench.answers.words import quantity

MOST_EMBEDDED = 2**19
"""Bytes of a raw file that the page carries; a larger one is linked beside it, and the page says so."""

MOST_PLAIN = 2**16
"""Bytes of JSON that stay as they are; more is gzipped, and the name says so."""

RAW = (
    (store.SAMPLES, "every sample, a row each (Parquet)"),
    (store.VERDICTS, "the verdicts (JSON)"),
    (store.RUN, "plan, seed, host and versions (JSON)"),
)


class Download(msgspec.Struct, frozen=True):
    """A raw file: name, what it is, size in words, and a data URI or a relative link ("" when missing)."""

    name: str
    what: str
    size: str
    href: str
    embedded: bool


def downloads(directory: Path, target: Path) -> list[Download]:
    """The raw files of the run in `directory`, for a page that will stand at `target`."""
    return [_download(directory / name, target, what) for name, what in RAW]


def _download(path: Path, target: Path, what: str) -> Download:
    if not path.exists():
        return Download(path.name, what, "not there", "", embedded=False)
    name, data, kind = _packed(path.name, path.read_bytes())
    size = quantity(len(data), "bytes")
    if len(data) > MOST_EMBEDDED:
        link = os.path.relpath(path.resolve(), target.resolve().parent)
        return Download(path.name, what, quantity(path.stat().st_size, "bytes"), link, embedded=False)
    return Download(name, what, size, f"data:{kind};base64,{base64.b64encode(data).decode()}", embedded=True)


def _packed(name: str, data: bytes) -> tuple[str, bytes, str]:
    if not name.endswith(".json"):
        return name, data, "application/vnd.apache.parquet"
    if len(data) <= MOST_PLAIN:
        return name, data, "application/json"
    return f"{name}.gz", gzip.compress(data, mtime=0), "application/gzip"
