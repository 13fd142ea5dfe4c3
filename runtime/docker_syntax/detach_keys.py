"""The keys that detach from a terminal: parse them, and find them in the input."""

from runtime.docker_syntax import MalformedError

DEFAULT = "ctrl-p,ctrl-q"

_NAMED = {"DEL": 127, **{f"ctrl-{chr(code + 0x40).lower()}": code for code in range(32)}}


def parse(text: str) -> bytes:
    """Return the bytes of `a,ctrl-b`: single characters, `ctrl-` with a letter or one of @[\\]^_, or DEL.

    "" is the default. Raises MalformedError.
    """
    found = bytearray()
    for key in (text or DEFAULT).split(","):
        if key not in _NAMED and not (len(key) == 1 and key.isascii()):
            raise MalformedError(f"Invalid detach keys ({text}) provided: give some like ctrl-p,ctrl-q")
        found.append(_NAMED[key] if key in _NAMED else ord(key))
    return bytes(found)


class KeyMatcher:
    """Finds the keys in input that arrives in pieces. A possible beginning of them is held back."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = 0

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """Return the bytes to pass on, and whether the keys followed them."""
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
        """Return the bytes held back, at the end of the input."""
        held, self._held = self._keys[: self._held], 0
        return held
