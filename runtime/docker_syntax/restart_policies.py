"""Restart policies: `no`, `always`, `unless-stopped`, `on-failure:3`."""

from runtime.docker_syntax import MalformedError

NAMES = ("no", "always", "unless-stopped", "on-failure")


def parse(text: str) -> tuple[str, int]:
    """Return name and maximum retries, 0 for no limit. Raises MalformedError in docker's words."""
    name, _, count = text.partition(":")
    digits = count.removeprefix("-")
    if count and not (digits.isascii() and digits.isdecimal()):
        raise MalformedError("invalid restart policy format: maximum retry count must be an integer")
    found = name, int(count or 0)
    check(*found)
    return found


def check(name: str, count: int) -> None:
    """Raise MalformedError, in dockerd's words, for an invalid policy; "" is `no`."""
    if name and name not in NAMES:
        raise MalformedError(
            f"invalid restart policy: unknown policy '{name}'; use one of 'no', 'always', 'on-failure', or "
            "'unless-stopped'"
        )
    if count and name != "on-failure":
        raise MalformedError("invalid restart policy: maximum retry count can only be used with 'on-failure'")
    if count < 0:
        raise MalformedError("invalid restart policy: maximum retry count cannot be negative")
