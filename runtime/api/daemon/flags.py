"""The flags of `nnd`: each is a key of its configuration file too, with the names that dockerd's have."""

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
    """Read `--flag=false`. Raises BadParameterError."""
    with refusing():
        return booleans.parse(text)


def number(text: str) -> int:
    """Read a number. Raises BadParameterError."""
    if not re.fullmatch(r"-?\d{1,18}", text):
        raise BadParameterError(f'invalid number "{text}"')
    return int(text)


def size(text: str | int) -> int:
    """Read bytes, `64m`. Raises BadParameterError."""
    with refusing():
        return sizes.parse(str(text))


def pair(text: str) -> tuple[str, str]:
    """Read `name=value`. Raises BadParameterError."""
    name, _, value = text.partition("=")
    if not name:
        raise BadParameterError(f"invalid option {text!r}: write name=value")
    return name, value


def network_option(text: str) -> tuple[str, tuple[str, str]]:
    """Read `driver=name=value`. Raises BadParameterError."""
    driver, rest = pair(text)
    return driver, pair(rest)


def ulimit(text: str) -> tuple[str, dict[str, Any]]:
    """Read `name=soft[:hard]` as the file has it. Raises BadParameterError in docker's words."""
    with refusing():
        name, soft, hard = ulimits.parse(text)
    return name, {"Name": name, "Soft": soft, "Hard": hard}


def address_pool(text: str) -> dict[str, Any]:
    """Read `base=10.0.0.0/8,size=24`. Raises BadParameterError in docker's words."""
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
    """One flag. key: in the file. read: the text of one; many: list or dict, may be repeated."""

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
    _flag("-G --group", "who may use the unix sockets beside root", "NAME"),
    _switch("--tls", "encrypt TCP; whoever reaches the port is still root here"),
    _switch("--tlsverify", "encrypt TCP and take only clients with a certificate"),
    _flag("--tlscacert", "who signs the clients' certificates", "FILE"),
    _flag("--tlscert", "the daemon's certificate", "FILE"),
    _flag("--tlskey", "the daemon's key", "FILE"),
    _switch(PLAIN, "listen beyond this host without --tlsverify"),
    _flag(
        "--insecure-registry",
        "a registry without TLS, or with a certificate nobody knows, or a network of "
        "such, 10.0.0.0/8; may be repeated",
        "HOST[:PORT]",
        "insecure-registries",
        many=list,
    ),
    _flag(
        "--registry-mirror",
        "a registry that is asked for docker.io's images before docker.io is; may be repeated",
        "URL",
        "registry-mirrors",
        many=list,
    ),
    _switch("--experimental", "tell clients so: some ask for squashed builds only then"),
    _switch("--live-restore", "containers go on while the daemon does not run"),
    _flag(
        "--shutdown-timeout",
        "how long it waits for containers when it ends; -1: for ever (15)",
        "SECONDS",
        read=number,
    ),
    _flag("-p --pidfile", "where to write its process id", "FILE"),
    _flag("-l --log-level", f"what to log on standard error: {', '.join(LEVELS)} (info)", "LEVEL"),
    _switch("-D --debug", "the same as --log-level debug"),
    _flag("--label", "a label of the daemon; may be repeated", "NAME=VALUE", "labels", many=list),
    # ---- networks
    _flag("--bip", "the address of the network bridge, with the length of its subnet's prefix", "CIDR"),
    _flag("--fixed-cidr", "which part of its subnet containers on the network bridge get", "CIDR"),
    _switch("--ipv6", "give the network bridge IPv6, too"),
    _flag("--fixed-cidr-v6", "its subnet of IPv6", "CIDR"),
    _flag("--mtu", "the MTU of the network bridge (1500)", "BYTES", read=number),
    _switch("--icc", "containers on the network bridge reach each other (true)"),
    _switch("--ip-masq", "what leaves the network bridge has the host's address (true)"),
    _flag("--ip", "where ports of the network bridge are published by default (0.0.0.0)", "ADDRESS"),
    _flag(
        "--default-address-pool",
        "what networks without a subnet are cut from; may be repeated",
        "base=CIDR,size=BITS",
        "default-address-pools",
        read=address_pool,
        many=list,
    ),
    _flag(
        "--default-network-opt",
        "an option that networks of a driver have by default; may be repeated",
        "DRIVER=NAME=VALUE",
        "default-network-opts",
        read=network_option,
        many=dict,
    ),
    _flag(
        "--host-gateway-ip",
        "what host-gateway of --add-host stands for (the network bridge's address)",
        "ADDRESS",
    ),
    # ---- containers that do not say it themselves
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
    _flag("--cgroup-parent", "the control group in which theirs are", "PATH"),
    _flag(
        "--exec-opt",
        "native.cgroupdriver=cgroupfs, which is what there is",
        "NAME=VALUE",
        "exec-opts",
        many=list,
    ),
    _switch("--init", "run an init that forwards signals and reaps"),
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
    """Return the command line's parser; what is not given is no attribute of what it returns."""
    made = argparse.ArgumentParser(
        prog="nnd",
        description="The daemon: containers for docker's clients, and for nn.",
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument(
        "--config-file", metavar="FILE",
        help=f"what is not said here: a JSON document with the flags' names as keys ({DEFAULT_FILE})",
    )  # fmt: skip
    made.add_argument("--validate", action="store_true", help="only say whether flags and file can be")
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
    """Return what the command line says, as the file would. Raises BadParameterError."""
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
