"""Log drivers and their options: `max-size=10m`, `max-file=3`, `labels-regex=^app`."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import NamedTuple

from runtime.docker_syntax import MalformedError, booleans, sizes

DRIVERS = ("json-file", "local", "none")
_KNOWN = frozenset({"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"})
_OF_ALL = frozenset({"mode", "max-buffer-size"})
"""Options of all drivers."""
_DEFAULTS = {"json-file": ("-1", "1"), "local": ("20m", "5")}
_WORDS = {"json-file": "json-file log driver", "local": "log driver local"}


class LogOptions(NamedTuple):
    """Log rotation: bytes per file (0: no rotation), and number of files."""

    max_bytes: int = 0
    max_files: int = 1


def parse(driver: str, given: Mapping[str, str]) -> LogOptions | None:
    """Return a container's log options, None without a log. driver "": json-file. Raises MalformedError."""
    return _parse(driver or "json-file", tuple(given.items()))


@functools.lru_cache(maxsize=64)
def _parse(driver: str, items: tuple[tuple[str, str], ...]) -> LogOptions | None:
    given = dict(items)
    if driver == "none":  # like dockerd, ignore its options
        return None
    _check_buffer(given)
    if driver not in DRIVERS:
        raise MalformedError(f'error looking up logging plugin {driver}: plugin "{driver}" not found')
    for name in given.keys() - _KNOWN - _OF_ALL:
        raise MalformedError(f"unknown log opt '{name}' for {_WORDS[driver]}")
    for name in ("labels-regex", "env-regex"):
        _check_pattern(name, given.get(name, ""))
    size, files = _DEFAULTS[driver]
    found = LogOptions(_bytes(given.get("max-size", size)), _files(given.get("max-file", files)))
    if booleans.parse(given.get("compress", "false")) and (found.max_files < 2 or not found.max_bytes):
        raise MalformedError("compress cannot be true when max-file is less than 2 or max-size is not set")
    return found


def _check_buffer(given: Mapping[str, str]) -> None:
    mode = given.get("mode", "")
    if mode not in ("", "blocking", "non-blocking"):
        raise MalformedError(f"logger: logging mode not supported: {mode}")
    if "max-buffer-size" not in given:
        return
    if mode != "non-blocking":
        raise MalformedError("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
    try:
        sizes.parse(given["max-buffer-size"])
    except MalformedError as error:
        raise MalformedError(f"error parsing option max-buffer-size: {error}") from None


def _check_pattern(name: str, text: str) -> None:
    try:
        re.compile(text)
    except re.error as error:
        raise MalformedError(f"log opt {name}: '{text}' is not a regular expression: {error}") from error


def _bytes(text: str) -> int:
    """Parse max-size. -1 means no limit: it is the documented default, although dockerd refuses it."""
    if text == "-1":
        return 0
    size = sizes.parse(text, sizes.DECIMAL)
    if not size:
        raise MalformedError("max-size must be a positive number")
    return size


def _files(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal()):
        raise MalformedError(f'strconv.Atoi: parsing "{text}": invalid syntax')
    if int(text) < 1:
        raise MalformedError("max-file cannot be less than 1")
    return int(text)
