"""Resource limits, as in `nofile=1024:2048`."""

from runtime.docker_syntax import MalformedError

NAMES = frozenset(
    ("core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss",
     "rtprio", "rttime", "sigpending", "stack")
)  # fmt: skip
"""Docker's names: the kernel's in lower case, without RLIMIT_."""


def parse(text: str) -> tuple[str, int, int]:
    """Return name, soft and hard limit (by default the soft one); -1 means no limit.

    Raises MalformedError.
    """
    name, sign, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    if not sign:
        raise MalformedError(f"invalid ulimit argument: {text}")
    found = name, _number(soft), _number(hard if colon else soft)
    check(*found)
    return found


def _number(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):
        raise MalformedError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def check(name: str, soft: int, hard: int) -> None:
    """Raise MalformedError for an invalid limit."""
    if name not in NAMES:
        raise MalformedError(f"invalid ulimit type: {name}")
    if min(soft, hard) < -1:
        raise MalformedError(f"invalid ulimit: {name}={soft}:{hard}; -1 is no limit")
    if hard != -1 and (soft == -1 or soft > hard):
        raise MalformedError(
            f"ulimit soft limit must be less than or equal to hard limit: soft: {soft}, hard: {hard}"
        )
