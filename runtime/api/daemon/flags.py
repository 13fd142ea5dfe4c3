"""The flags of `nnd`, named as dockerd's; each is also a key of the configuration file."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from runtime.api.http import versions
from runtime.docker_syntax import booleans, sizes, ulimits
from runtime.engine.errors import BadParameterError, refusing

DEFAULT_ROOT = "/var/lib/ninetynine"
DEFAULT_HOST = "unix:///run/ninetynine/nnd.sock"
DEFAULT_FILE = "/etc/ninetynine/daemon.json"
PLAIN = "--plain-tcp-gives-root-to-anyone"
LEVELS = {"debug": "DEBUG", "info": "INFO", "warn": "WARNING", "error": "ERROR", "fatal": "CRITICAL"}


def switch(text: str) -> bool:
    """Parse the value of `--flag=false`. Raises BadParameterError."""
    with refusing():
        return booleans.parse(text)


def number(text: str) -> int:
    """Parse a number. Raises BadParameterError."""
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise BadParameterError(f'invalid number "{text}"')
    return int(text)


def size(text: str | int) -> int:
    """Parse a size, `64m`, to bytes. Raises BadParameterError."""
    with refusing():
        return sizes.parse(str(text))


def pair(text: str) -> tuple[str, str]:
    """Parse `name=value`. Raises BadParameterError."""
    name, _, value = text.partition("=")
    if not name:
        raise BadParameterError(f"invalid option {text!r}: write name=value")
    return name, value


def network_option(text: str) -> tuple[str, tuple[str, str]]:
    """Parse `driver=name=value`. Raises BadParameterError."""
    driver, rest = pair(text)
    return driver, pair(rest)


def ulimit(text: str) -> tuple[str, dict[str, Any]]:
    """Parse `name=soft[:hard]` to the file's form. Raises BadParameterError with docker's message."""
    with refusing():
        name, soft, hard = ulimits.parse(text)
    return name, {"Name": name, "Soft": soft, "Hard": hard}


def address_pool(text: str) -> dict[str, Any]:
    """Parse `base=10.0.0.0/8,size=24`. Raises BadParameterError with docker's message."""
    found: dict[str, Any] = {"base": "", "size": 0}
    for field in text.lower().split(","):
        key, sign, value = field.partition("=")
        if not sign:
            raise BadParameterError(f"invalid field '{field}' must be a key=value pair")
        if key not in found:
            raise BadParameterError(f"unexpected key '{key}' in '{field}'")
        found[key] = number(value) if key == "size" else value
    return found


class Flag(NamedTuple):
    """One flag. key: its name in the file. read: parses a value; many: list or dict if it may be repeated."""

    names: tuple[str, ...]
    key: str
    help: str
    metavar: str = ""
    read: Callable[[str], Any] = str
    many: type[list[Any]] | type[dict[Any, Any]] | None = None


def _flag(names: str, text: str, metavar: str = "", key: str = "", **more: Any) -> Flag:
    found = tuple(names.split())
    return Flag(found, key or found[-1].lstrip("-"), text, metavar, **more)


def _switch(names: str, text: str) -> Flag:
    return _flag(names, text, read=switch)


FLAGS = (
    _flag("--root --data-root", f"its state ({DEFAULT_ROOT})", "DIR"),
    _flag(
        "-H --host",
        f"where it listens: unix:///PATH, tcp://HOST:PORT, fd://; may be repeated ({DEFAULT_HOST})",
        "ADDRESS",
        "hosts",
        many=list,
    ),
    _flag("-G --group", "may use the unix sockets, as root may", "NAME"),
    _switch("--tls", "encrypt TCP; anyone who reaches the port is still root here"),
    _switch("--tlsverify", "encrypt TCP and accept only clients with a certificate"),
    _flag("--tlscacert", "the CA of the clients' certificates", "FILE"),
    _flag("--tlscert", "the daemon's certificate", "FILE"),
    _flag("--tlskey", "the daemon's key", "FILE"),
    _switch(PLAIN, "listen beyond this host without --tlsverify"),
    _flag(
        "--insecure-registry",
        "a registry without TLS or with an unknown certificate, or a network of such registries, "
        "10.0.0.0/8; may be repeated",
        "HOST[:PORT]",
        "insecure-registries",
        many=list,
    ),
    _flag(
        "--registry-mirror",
        "a registry to ask for docker.io's images before docker.io; may be repeated",
        "URL",
        "registry-mirrors",
        many=list,
    ),
    _switch("--experimental", "report experimental mode: some clients squash builds only then"),
    _switch("--live-restore", "containers keep running while the daemon does not"),
    _flag(
        "--shutdown-timeout",
        "how long to wait for containers at the end; -1: for ever (15)",
        "SECONDS",
        read=number,
    ),
    _flag("-p --pidfile", "where to write its process id", "FILE"),
    _flag("-l --log-level", f"what to log on standard error: {', '.join(LEVELS)} (info)", "LEVEL"),
    _switch("-D --debug", "the same as --log-level debug"),
    _flag("--label", "a label of the daemon; may be repeated", "NAME=VALUE", "labels", many=list),
    # ---- networks
    _flag("--bip", "the address of the network bridge, with its subnet's prefix length", "CIDR"),
    _flag("--fixed-cidr", "the part of its subnet for containers on the network bridge", "CIDR"),
    _switch("--ipv6", "enable IPv6 on the network bridge"),
    _flag("--fixed-cidr-v6", "its IPv6 subnet", "CIDR"),
    _flag("--mtu", "the MTU of the network bridge (1500)", "BYTES", read=number),
    _switch("--icc", "containers on the network bridge can reach each other (true)"),
    _switch("--ip-masq", "traffic that leaves the network bridge gets the host's address (true)"),
    _flag("--ip", "the default address for published ports of the network bridge (0.0.0.0)", "ADDRESS"),
    _flag(
        "--default-address-pool",
        "where networks without a subnet get theirs from; may be repeated",
        "base=CIDR,size=BITS",
        "default-address-pools",
        read=address_pool,
        many=list,
    ),
    _flag(
        "--default-network-opt",
        "a default option for networks of a driver; may be repeated",
        "DRIVER=NAME=VALUE",
        "default-network-opts",
        read=network_option,
        many=dict,
    ),
    _flag(
        "--host-gateway-ip",
        "the address for host-gateway in --add-host (the network bridge's address)",
        "ADDRESS",
    ),
    # ---- defaults for containers
    _flag("--dns", "a name server; may be repeated", "ADDRESS", many=list),
    _flag("--dns-opt", "an option of their resolv.conf; may be repeated", "OPTION", "dns-opts", many=list),
    _flag("--dns-search", "a domain to search; may be repeated", "DOMAIN", many=list),
    _flag("--default-ipc-mode", "private or shareable (private)", "MODE"),
    _flag("--default-cgroupns-mode", "private or host (private)", "MODE"),
    _flag("--default-shm-size", "the size of their /dev/shm (64m)", "BYTES", read=size),
    _flag(
        "--default-ulimit",
        "a limit; may be repeated",
        "NAME=SOFT[:HARD]",
        "default-ulimits",
        read=ulimit,
        many=dict,
    ),
    _flag("--cgroup-parent", "the parent of their cgroups", "PATH"),
    _flag(
        "--exec-opt",
        "native.cgroupdriver=cgroupfs, the only choice",
        "NAME=VALUE",
        "exec-opts",
        many=list,
    ),
    _switch("--init", "run an init that forwards signals and reaps processes"),
    _switch("--no-new-privileges", "let no program gain privileges"),
    _flag("--log-driver", "json-file, local or none (json-file)", "NAME"),
    _flag(
        "--log-opt",
        "an option of that driver; may be repeated",
        "NAME=VALUE",
        "log-opts",
        read=pair,
        many=dict,
    ),
)


def parser() -> argparse.ArgumentParser:
    """Return the command line's parser; a flag that is not given is not an attribute of its result."""
    made = argparse.ArgumentParser(
        prog="nnd",
        description="The daemon that runs containers for Docker's clients and nn.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument(
        "--config-file", metavar="FILE",
        help=f"a JSON document with the flags' names as keys, for flags not given here ({DEFAULT_FILE})",
    )  # fmt: skip
    made.add_argument("--validate", action="store_true", help="only check the flags and the file")
    for flag in FLAGS:
        options: dict[str, Any] = {"dest": flag.key, "help": flag.help}
        if flag.read is switch:
            options |= {"nargs": "?", "const": "true", "metavar": "true|false"}
        else:
            options["metavar"] = flag.metavar
        if flag.many is not None:
            options["action"] = "append"
        made.add_argument(*flag.names, **options)
    made.add_argument("-v", "--version", action="version", version=f"nnd {versions.program()}")
    return made


def values_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that were given, in the file's form. Raises BadParameterError."""
    said: dict[str, Any] = vars(given)
    return {flag.key: _value(flag, said[flag.key]) for flag in FLAGS if flag.key in said}


def _value(flag: Flag, said: Any) -> Any:
    try:
        if flag.many is None:
            return flag.read(said)
        if flag.read is network_option:
            found: dict[str, dict[str, str]] = {}
            for driver, (name, value) in map(network_option, said):
                found.setdefault(driver, {})[name] = value
            return found
        return flag.many(map(flag.read, said))
    except BadParameterError as error:
        raise BadParameterError(f"{flag.names[-1]}: {error}") from error
