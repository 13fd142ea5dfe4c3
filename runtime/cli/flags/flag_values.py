"""Values of flags (sizes, times, labels, limits, …) → the API's forms. CliError (125) names the flag."""

from runtime.cli.connection.endpoint import docker_text
from runtime.cli.errors import misuse
from runtime.docker_syntax import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.flags.parser import CommandLine


def size(flag: str, text: str) -> int:
    """`512m`, `1.5GiB`, `4096` → bytes; `-1` (no limit) only for swap."""
    from runtime.docker_syntax import sizes

    try:
        return -1 if (flag, text) == ("--memory-swap", "-1") else sizes.parse(text)
    except MalformedError:
        raise misuse(flag, text, "write bytes, or a number with k, m or g, as in 512m") from None


def cores(flag: str, text: str) -> int:
    """`1.5` → billionths of a core. Like docker, it refuses finer values."""
    from decimal import Decimal

    try:
        value = Decimal(text)
        fits = 0 <= value < 10**6 and value == value.quantize(Decimal("1e-9"))
    except ArithmeticError:  # also of what is not a number
        fits = False
    if not fits:
        raise misuse(flag, text, "write a number of cores, with nine decimals at most, as in 1.5")
    return int(value * 10**9)


def duration(flag: str, text: str) -> int:
    """`1m30s`, `500ms` → nanoseconds."""
    from runtime.docker_syntax import durations

    try:
        found = durations.parse(text)
    except MalformedError:
        found = -1
    if found < 0:
        raise misuse(flag, text, "write a time with units, as in 1m30s or 500ms")
    return found


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
    """`name=value` or `name` (an empty value) → a dict; lines of files first."""
    lines = [line for file in files for line in read_lines("--label-file", file)]
    found = {}
    for text in (*lines, *texts):
        name, _, value = text.partition("=")
        if not name or " " in name.lstrip(" \t") or "\t" in name.lstrip(" \t"):
            raise misuse("--label", text, "write NAME=VALUE, without white space in NAME")
        found[name] = value
    return found


def read_lines(flag: str, path: str) -> list[str]:
    """Return a file's lines, without comments and empty lines."""
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise misuse(flag, path, str(getattr(error, "strerror", None) or error)) from error
    return [line.lstrip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def ulimit(flag: str, text: str) -> dict[str, object]:
    """`nofile=1024:2048` or `nofile=1024` → the API's form."""
    from runtime.docker_syntax import ulimits

    try:
        return dict(zip(("Name", "Soft", "Hard"), ulimits.parse(text), strict=True))
    except MalformedError as error:
        raise misuse(flag, text, f"{error}; write NAME=SOFT or NAME=SOFT:HARD") from None


def restart_policy(text: str) -> dict[str, object]:
    """`on-failure:3`, `always` → the API's form."""
    from runtime.docker_syntax import restart_policies

    try:
        name, count = restart_policies.parse(text)
    except MalformedError as error:
        raise misuse("--restart", text, f"{error}; a number is only for on-failure:N") from None
    return {"Name": name, "MaximumRetryCount": count}


def extra_host(text: str) -> str:
    """`NAME:IP` or `NAME=IP` → the API's `NAME:IP`."""
    from runtime.docker_syntax import extra_hosts

    try:
        return ":".join(extra_hosts.parse(text))
    except MalformedError as error:
        raise misuse("--add-host", text, f"{error}; write NAME:IP") from None


def choose_detach_keys(args: "CommandLine", *, terminal: bool) -> None:
    """Check --detach-keys. At a terminal, without that flag, use those of docker's config.json for it."""
    _check_keys("--detach-keys", args.text("detach-keys"))
    if terminal and not args.given("detach-keys") and (keys := docker_text("detachKeys")):
        _check_keys("detachKeys in docker's config.json", keys)
        args.add("detach-keys", keys)


def _check_keys(source: str, keys: str) -> None:
    from runtime.docker_syntax import detach_keys

    try:
        detach_keys.parse(keys)
    except MalformedError:
        raise misuse(source, keys, "write keys as in ctrl-p,ctrl-q") from None
