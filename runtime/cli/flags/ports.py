"""`-p` and `--expose` → the API's forms."""

from runtime.cli.errors import CliError, misuse
from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.ports import parse

_PUBLISH = "write [[IP:]HOST:]PORT[/udp], from 1 to 65535; both may be ranges, as in 8000-8010:80-90"
Bindings = dict[str, list[dict[str, str]]]


def exposed(texts: list[str]) -> dict[str, dict[str, str]]:
    """`80`, `53/udp`, `8000-8002` → {"80/tcp": {}, …}."""
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        first, last, protocol = _read("--expose", text, text)
        found |= {f"{number}/{protocol}": {} for number in range(first, last + 1)}
    return found


def published(texts: list[str]) -> Bindings:
    """`8080:80`, `127.0.0.1::80`, `[::1]:80:80/udp`, `80`, ranges → PortBindings."""
    found: Bindings = {}
    for text in texts:
        places, _, protocol = text.partition("/")
        address, host, inside = _split(text, places)
        first, last, protocol = _read("--publish", text, f"{inside}/{protocol}")
        numbers = range(first, last + 1)
        hosts = _hosts(text, host, len(numbers))
        for number, port in zip(numbers, hosts, strict=True):
            found.setdefault(f"{number}/{protocol}", []).append({"HostIp": address, "HostPort": port})
    return found


def _split(text: str, places: str) -> tuple[str, str, str]:
    """`ip:host:port` → its parts, "" for missing ones."""
    if places.startswith("["):
        address, bracket, rest = places[1:].partition("]:")
        if not bracket:
            raise misuse("--publish", text, _PUBLISH)
        host, _, inside = rest.rpartition(":")
        return address, host, inside
    parts = places.rsplit(":", 2)
    if len(parts) == 3 and ":" in parts[0]:
        raise misuse("--publish", text, "write an IPv6 address in brackets, as in [::1]:8080:80")
    address, host, inside = ["", "", *parts][-3:]
    return address, host, inside


def _hosts(text: str, host: str, count: int) -> list[str]:
    """Return the host's port for each of `count` ports; a range for one port means its first free port."""
    if not host:
        return [""] * count
    first, last, _ = _read("--publish", text, host)
    if count == 1:
        return [str(first) if first == last else host]
    if last - first + 1 != count:
        raise misuse("--publish", text, "both ranges must have the same length")
    return [str(number) for number in range(first, last + 1)]


def _read(flag: str, text: str, part: str) -> tuple[int, int, str]:
    """Parse ports. The message for --expose is docker's."""
    try:
        first, last, protocol = parse(part)
    except MalformedError:
        first = 0
    if first:
        return first, last, protocol
    if flag == "--expose":
        raise CliError(f"invalid range format for --expose: {text}; write PORT[-PORT][/udp]")
    raise misuse(flag, text, _PUBLISH)
