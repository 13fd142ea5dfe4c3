"""The wire: a veth pair from the host to the *remote peer*, a network namespace with the servers.

    host ── nwh<k> 10.210.<k>.1 ═══════ 10.210.<k>.2 eth0 ── peer: iperf3, pingpong

Every arm's traffic crosses the same wire to the same servers: the host's directly, a container's or a VM's
after its bridge, routed or masqueraded. The wire may be shaped to a rate, by a token bucket at both ends. The
peer's only route is the wire, so it answers any subnet that the host forwards for. Forwarding is enabled for
the wire's own link only.

Servers run from the bench image, on the last CPU of the run. They die with the thread that opened the wire,
and the namespace and both ends with them. `sweep` removes what is left nevertheless.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

from bench.wire.links import WireError, WireLinks, sweep
from bench.wire.servers import Server, start
from runtime.network.errors import NetworkError
from runtime.network.kernel.netns import NetworkNamespace
from runtime.spawn.owner import Owner

__all__ = ["IPERF_PORTS", "PINGPONG_PORT", "Wire", "WireError", "sweep"]

IPERF_PORTS = (5201, 5202, 5203, 5204)
"""Several, because an iperf3 server takes one client at a time and is "busy" for a while after it."""

PINGPONG_PORT = 5301


class Wire:
    """A context manager; opening needs root and takes about 0.1 s. Raises WireError.

    rootfs: the bench image's root, which is not written to. cpus: those of the run; servers use the last one.
    """

    def __init__(self, rootfs: Path, cpus: Sequence[int] = ()) -> None:
        self._rootfs = rootfs
        self._cpus = tuple(cpus[-1:])
        self._namespace: NetworkNamespace | None = None
        self._links: WireLinks | None = None
        self._servers: list[Server] = []
        self._rate: int | None = None
        self._ports = itertools.cycle(IPERF_PORTS)

    def __enter__(self) -> Wire:
        sweep()
        try:
            self._namespace = NetworkNamespace()
            self._links = WireLinks(Owner.current(), self._namespace)
            self._start_servers()
        except NetworkError as error:
            self.close()
            raise WireError(f"open the wire: {error}") from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def peer_address(self) -> str:
        """The remote peer's IPv4 address."""
        return str(self._open().peer)

    @property
    def host_address(self) -> str:
        """The host's own address on the wire."""
        return str(self._open().host)

    @property
    def host_link(self) -> str:
        """The link name of the host's end."""
        return self._open().name

    @property
    def rate(self) -> int | None:
        """The rate in bits per second, None if the wire is not shaped."""
        return self._rate

    def shape(self, bits_per_s: int | None) -> None:
        """Set the rate of both directions, None for no limit. Does nothing if it is already set.

        Ethernet headers count, so TCP gets at most 0.956 of the rate with packets of 1500 bytes.
        """
        links = self._open()
        if bits_per_s != self._rate:
            links.shape(bits_per_s)
            self._rate = bits_per_s

    def sent_bytes(self) -> int:
        """Return the bytes, with headers, that the host has sent to the peer since the wire was opened."""
        return self._open().sent_bytes()

    def iperf_port(self) -> int:
        """Return the port of the iperf3 server that has been idle longest."""
        return next(self._ports)

    def restart_servers(self) -> None:
        """Restart the servers: after a client is killed, iperf3 is "busy" for minutes."""
        self._stop_servers()
        self._start_servers()

    def start(self, argv: Sequence[str]) -> Server:
        """Start another program of the image in the peer; it ends with the wire. Raises WireError."""
        links = self._open()
        assert self._namespace is not None
        server = start(argv, self._rootfs, self._namespace.fd, self._cpus or links.all_cpus())
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Stop the servers and remove the wire. Idempotent."""
        self._stop_servers()
        if self._links is not None:
            self._links.close()
            self._links = None
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None
        self._rate = None

    def _open(self) -> WireLinks:
        if self._links is None:
            raise WireError("the wire is not open; enter it with `with`")
        return self._links

    def _start_servers(self) -> None:
        self._ports = itertools.cycle(IPERF_PORTS)
        for port in IPERF_PORTS:
            self.start(("/usr/bin/iperf3", "-s", "-p", str(port))).wait_for(port)
        serving = ("/opt/ninetynine/pingpong", "serve", str(PINGPONG_PORT))
        self.start(serving).wait_for(PINGPONG_PORT)

    def _stop_servers(self) -> None:
        for server in self._servers:
            server.stop()
        self._servers.clear()
