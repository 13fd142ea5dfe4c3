"""Reserve host ports with bound sockets: nobody else can take them, and a conflict shows at once."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from runtime.network.errors import NetworkError
from runtime.network.model import Port
from runtime.spawn.errnos import errno_text

_BACKLOG = 128
_TRIES = 16
_ANY = {4: "0.0.0.0", 6: "::"}
_WORDS = {
    errno.EADDRINUSE: "port is already allocated",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EACCES: "permission denied",
}


class ReservedPort(NamedTuple):
    """A published port's socket on one address. port: as bound. family: 4 or 6."""

    port: Port
    family: int
    socket: socket.socket

    @property
    def host_ip(self) -> str:
        """The host's address, "" for all of the family."""
        return "" if self.port.host_ip in _ANY.values() else self.port.host_ip or ""


def reserve(ports: Iterable[Port], families: tuple[int, ...] = (4, 6)) -> list[ReservedPort]:
    """Bind all ports or none; return their sockets, one for each address. Raises NetworkError.

    families: those that a port without an address is bound in.
    """
    held: list[ReservedPort] = []
    try:
        for port in ports:
            held += _reserve_one(port, families)
    except BaseException:
        release(held)
        raise
    return held


def release(held: Iterable[ReservedPort]) -> None:
    """Close the sockets."""
    for reserved in held:
        reserved.socket.close()


def _reserve_one(port: Port, families: tuple[int, ...]) -> list[ReservedPort]:
    if not (0 <= port.host < 65536 and 0 < port.container < 65536 and port.host_end < 65536):
        raise NetworkError(f"publish port {port.host}:{port.container}: ports are 1 to 65535")
    failure: NetworkError | None = None
    for number in _candidates(port):
        try:
            return _bind_all(port, number, families)
        except NetworkError as error:
            failure = error
    assert failure is not None
    raise failure


def _candidates(port: Port) -> Iterator[int]:
    """Yield the host ports to try; 0 lets the kernel choose."""
    if port.host == 0:
        yield from [0] * _TRIES
    else:
        yield from range(port.host, max(port.host, port.host_end) + 1)


def _bind_all(port: Port, number: int, families: tuple[int, ...]) -> list[ReservedPort]:
    held: list[ReservedPort] = []
    try:
        for family, host_ip in _addresses(port, families):
            made = _bind(port.protocol, family, host_ip, number)
            if made is None:
                continue
            number = made.getsockname()[1]
            bound = msgspec.structs.replace(port, host=number, host_end=0, host_ip=host_ip or _ANY[family])
            held.append(ReservedPort(bound, family, made))
    except BaseException:
        release(held)
        raise
    return held


def _addresses(port: Port, families: tuple[int, ...]) -> list[tuple[int, str]]:
    if port.host_ip is None:
        return [(family, "") for family in families]
    family = 6 if ":" in port.host_ip else 4
    return [(family, "" if port.host_ip in _ANY.values() else port.host_ip)]


def _bind(protocol: str, family: int, host_ip: str, number: int) -> socket.socket | None:
    """Return a bound socket, listening for TCP; None where the host has no IPv6 and none was asked for."""
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    try:
        made = socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, kind)
    except OSError:
        if family == 6 and not host_ip:
            return None
        raise
    try:
        if family == 6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not blocked by TIME_WAIT
        made.bind((host_ip or _ANY[family], number))
        if protocol == "tcp":
            made.listen(_BACKLOG)
        made.setblocking(False)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRNOTAVAIL and family == 6 and not host_ip:
            return None
        raise _refused(host_ip or _ANY[family], number, error) from error
    return made


def _refused(address: str, number: int, error: OSError) -> NetworkError:
    """Describe a refusal in docker's words, which its clients look for."""
    where = f"[{address}]:{number}" if ":" in address else f"{address}:{number}"
    words = _WORDS.get(error.errno or 0, errno_text(error))
    return NetworkError(f"Bind for {where} failed: {words}")
