"""The keys that let go of a terminal: how they are written and how they are found in what is typed."""

from __future__ import annotations

from runtime.engine.errors import BadParameterError

DEFAULT = "ctrl-p,ctrl-q"

_CONTROL = {f"ctrl-{chr(code + 0x40).lower()}": code for code in range(32)}


def parse_keys(text: str) -> bytes:
    """Return the bytes of `a,ctrl-b`: single characters, `ctrl-` with a letter or one of @[\\]^_, or DEL.

    "" is the default. Raises BadParameterError.
    """
    found = bytearray()
    for key in (text or DEFAULT).split(","):
        if key in _CONTROL:
            found.append(_CONTROL[key])
        elif key == "DEL":
            found.append(127)
        elif len(key) == 1 and key.isascii():
            found += key.encode()
        else:
            raise BadParameterError(f"Invalid detach keys ({text}) provided: give some like ctrl-p,ctrl-q")
    return bytes(found)


class KeyMatcher:
    """Finds the keys in input that comes in any pieces. What may be their beginning is held back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether the keys came directly after it."""
        if not self._held and self._keys[0] not in data:
            return data, False
        joined = self._keys[: self._held] + data
        at = joined.find(self._keys)
        if at >= 0:
            self._held = 0
            return joined[:at], True
        longest = min(len(self._keys) - 1, len(joined))
        self._held = next(n for n in range(longest, -1, -1) if joined.endswith(self._keys[:n]))
        return joined[: len(joined) - self._held], False

    def flush(self) -> bytes:
        """Return what is held back: no more comes."""
        held, self._held = self._keys[: self._held], 0
        return held
