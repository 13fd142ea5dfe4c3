"""The values of docker's flags, from text to ours. Pure functions; all raise argparse.ArgumentTypeError."""

from __future__ import annotations

import argparse
import ipaddress
from collections.abc import Iterable, Mapping
from typing import Literal

from runtime.engine.config import bind, tmpfs
from runtime.network.model import Port
from runtime.oci.spec import Mount, Rlimit
from runtime.spawn import capabilities

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def fail(message: str) -> argparse.ArgumentTypeError:
    """Return the error that argparse puts the flag's name before."""
    return argparse.ArgumentTypeError(message)


def size(text: str) -> int:
    """`512m`, `1.5g`, `4096` → bytes; `-1` is no limit."""
    lower = text.lower().removesuffix("ib").removesuffix("b") if text[:1].isdecimal() else text
    number, unit = (lower[:-1], lower[-1]) if lower[-1:].isalpha() else (lower, "")
    if text == "-1":
        return -1
    try:
        bytes_ = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise fail(f"{text!r} is no size; write bytes or a number with k, m or g, as in 512m") from None
    if bytes_ < 0:
        raise fail(f"{text!r} is negative; a size is not")
    return bytes_


def cpus(text: str) -> float:
    """`1.5` → cores."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e5:
        raise fail(f"{text!r} is no number of CPUs; write a number above 0, as in 1.5")
    return value


def positive(text: str) -> int:
    """A whole number, or -1 for no limit."""
    if not (text.isdecimal() or text == "-1"):
        raise fail(f"{text!r} is no whole number; write one, or -1 for no limit")
    return int(text)


def port(text: str) -> Port:
    """`8080:80`, `127.0.0.1:8080:80`, either with `/udp`."""
    places, _, protocol = text.partition("/")
    parts = places.rsplit(":", 2)
    if len(parts) < 2 or not (parts[-1].isdecimal() and parts[-2].isdecimal()):
        raise fail(f"{text!r} is no published port; write HOST:CONTAINER, as in 8080:80")
    if protocol not in ("", "tcp", "udp"):
        raise fail(f"{text!r} has the protocol {protocol!r}; tcp and udp can be published")
    host_ip = parts[0] if len(parts) == 3 else None
    if host_ip is not None:
        try:
            ipaddress.IPv4Address(host_ip)
        except ValueError:
            raise fail(f"{text!r} has no IPv4 address before the port; write 127.0.0.1:8080:80") from None
        host_ip = None if host_ip == "0.0.0.0" else host_ip
    numbers = (int(parts[-2]), int(parts[-1]))
    if not all(0 < number < 65536 for number in numbers):
        raise fail(f"{text!r} is out of range; ports go from 1 to 65535")
    kind: Literal["tcp", "udp"] = "udp" if protocol == "udp" else "tcp"
    return Port(host=numbers[0], container=numbers[1], protocol=kind, host_ip=host_ip)


def volume(text: str) -> Mount:
    """`/host/path:/path` with `:ro` or other mount options."""
    parts = text.split(":")
    if len(parts) not in (2, 3) or not parts[1].startswith("/"):
        raise fail(f"{text!r} is no volume; write /HOST/PATH:/PATH or /HOST/PATH:/PATH:ro")
    if not parts[0].startswith("/"):
        raise fail(f"{text!r} names a volume, which nn does not keep; give an absolute path on the host")
    options = set(parts[2].split(",")) if len(parts) == 3 else set()
    extra = tuple(sorted(options - {"ro", "rw", "z", "Z", "rbind"}))
    return bind(parts[0], parts[1], read_only="ro" in options, options=extra)


def temporary(text: str) -> Mount:
    """`/run` or `/run:size=64m,mode=755` → a tmpfs."""
    target, _, rest = text.partition(":")
    if not target.startswith("/"):
        raise fail(f"{text!r} is no place for a tmpfs; write /PATH or /PATH:size=64m")
    given = dict(option.partition("=")[::2] for option in rest.split(",") if option)
    limit = size(given["size"]) if "size" in given else None
    try:
        return tmpfs(target, size_bytes=limit, mode=int(given.get("mode", "1777"), 8))
    except ValueError:
        raise fail(f"{text!r} has a mode that is no octal number; write it as in mode=755") from None


def ulimit(text: str) -> Rlimit:
    """`nofile=1024:2048` or `nofile=1024`."""
    import resource

    name, _, values = text.partition("=")
    kind = f"RLIMIT_{name.upper()}"
    soft, _, hard = values.partition(":")
    if not hasattr(resource, kind):
        raise fail(f"{text!r} names no limit of this system; see ulimit -a")
    if not soft.removeprefix("-").isdecimal() or (hard and not hard.removeprefix("-").isdecimal()):
        raise fail(f"{text!r} is no limit; write NAME=SOFT or NAME=SOFT:HARD")
    return Rlimit(type=kind, soft=int(soft), hard=int(hard or soft))


def capability(text: str) -> str:
    """`NET_ADMIN`, `cap_net_admin`, `ALL`."""
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in capabilities.NAMES:
        raise fail(f"{text!r} is no capability; see capabilities(7)")
    return name


def kept_capabilities(add: Iterable[str], drop: Iterable[str]) -> tuple[str, ...]:
    """Docker's rule: `--cap-drop ALL` empties the defaults, `--cap-add ALL` fills them, then one by one."""
    adding, dropping = set(add), set(drop)
    kept = set(capabilities.NAMES if "ALL" in adding else capabilities.DEFAULT)
    kept = set() if "ALL" in dropping else kept - dropping
    if "ALL" in dropping and "ALL" in adding:
        kept = set(capabilities.NAMES)
    kept |= adding - {"ALL"}
    return tuple(name for name in capabilities.NAMES if name in kept)


def environment(text: str, host: Mapping[str, str]) -> str | None:
    """`NAME=value` as it is; `NAME` with the host's value, None when the host has none."""
    if not text or text.startswith("="):
        raise fail(f"{text!r} is no variable; write NAME=VALUE or NAME")
    if "=" in text:
        return text
    return f"{text}={host[text]}" if text in host else None
