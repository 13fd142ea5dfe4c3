"""Sizes, times and other words of flags → numbers. Pure; CliError (125) names the flag and what to write."""

from runtime.cli.errors import misuse

_SIZES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_TIMES = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def size(flag: str, text: str) -> int:
    """`512m`, `1.5GiB`, `4096` → bytes; `-1` as it is."""
    if text == "-1":
        return -1
    lower = text.strip().lower()
    number = lower.rstrip("bkmgtpi ")
    unit = lower[len(number) :].strip().removesuffix("ib").removesuffix("b")
    try:
        value = float(number) * _SIZES[unit]
    except (ValueError, KeyError):
        value = -1.0
    if not 0 <= value < 1 << 63:
        raise misuse(flag, text, "write bytes, or a number with k, m or g, as in 512m")
    return int(value)


def cores(flag: str, text: str) -> int:
    """`1.5` → billionths of a core."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e6:
        raise misuse(flag, text, "write a number of cores, as in 1.5")
    return round(value * 10**9)


def duration(flag: str, text: str) -> int:
    """`1m30s`, `500ms`, `10` (seconds) → nanoseconds."""
    total, rest = 0.0, text.strip()
    if rest.isdecimal():
        rest += "s"
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        rest = rest[len(number) :]
        unit = rest[: len(rest) - len(rest.lstrip("nuµmsh"))]
        rest = rest[len(unit) :]
        try:
            total += float(number) * _TIMES[unit]
        except (ValueError, KeyError):
            raise misuse(flag, text, "write a time with units, as in 1m30s or 500ms") from None
    if not text.strip():
        raise misuse(flag, text, "write a time with units, as in 1m30s or 500ms")
    return round(total)


def pair(flag: str, text: str) -> tuple[str, str]:
    """`name=value` → both."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise misuse(flag, text, "write NAME=VALUE")
    return name, value


def mapping(flag: str, texts: list[str]) -> dict[str, str]:
    """Several `name=value` → a dict."""
    return dict(pair(flag, text) for text in texts)


def labels(texts: list[str], files: "list[str] | tuple[str, ...]" = ()) -> dict[str, str]:
    """`name=value` or `name` (an empty value), files' lines first."""
    lines = [line for file in files for line in read_lines("--label-file", file)]
    found = {}
    for text in (*lines, *texts):
        name, _, value = text.partition("=")
        if not name:
            raise misuse("--label", text, "write NAME=VALUE")
        found[name] = value
    return found


def read_lines(flag: str, path: str) -> list[str]:
    """Return a file's lines without comments and empty ones."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise misuse(flag, path, str(getattr(error, "strerror", None) or error)) from error
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def ulimit(flag: str, text: str) -> dict[str, object]:
    """`nofile=1024:2048` or `nofile=1024` → the API's form."""
    name, values = pair(flag, text)
    soft, _, hard = values.partition(":")
    try:
        return {"Name": name, "Soft": int(soft), "Hard": int(hard or soft)}
    except ValueError:
        raise misuse(flag, text, "write NAME=SOFT or NAME=SOFT:HARD") from None


def restart_policy(text: str) -> dict[str, object]:
    """`on-failure:3`, `always` → the API's form."""
    name, colon, count = text.partition(":")
    if count.startswith("-") and count[1:].isdecimal():
        raise misuse("--restart", text, "maximum retry count cannot be negative; write on-failure[:N]")
    if (colon and not count.isdecimal()) or name not in ("no", "on-failure", "always", "unless-stopped"):
        raise misuse("--restart", text, "write no, on-failure[:N], always or unless-stopped")
    policy: dict[str, object] = {"Name": name}
    if colon:
        policy["MaximumRetryCount"] = int(count)
    return policy
