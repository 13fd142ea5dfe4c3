"""Numbers as docker's tables show them."""

from __future__ import annotations

_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size(count: float, digits: int = 4) -> str:
    """Bytes in powers of 1000: `1.234MB`."""
    return _scaled(count, 1000, _DECIMAL, digits)


def memory(count: float) -> str:
    """Bytes in powers of 1024: `1.5MiB`."""
    return _scaled(count, 1024, _BINARY, 4)


def _scaled(count: float, base: int, units: tuple[str, ...], digits: int) -> str:
    place = 0
    while count >= base and place < len(units) - 1:
        count /= base
        place += 1
    return f"{count:.{digits}g}{units[place]}"


def shorten(text: str, most: int) -> str:
    """Cut a text to `most` characters, the last of them `…`."""
    return text if len(text) <= most else text[: most - 1] + "…"


def short_id(text: str) -> str:
    """Return the first 12 characters of an id, as tables show it."""
    return text.removeprefix("sha256:")[:12]
