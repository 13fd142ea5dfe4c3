"""Network: all arms use one wire to one remote peer, by host network, bridge or NAT; loopback is separate.

iperf3's figures are the receiver's, so bytes still in a queue when the sender is done do not count. `-b 100G`
is not a limit here. iperf3 3.16 and later checks only every 100 ms whether `-n` bytes are sent; with a rate
set it keeps sending until then, without one it would idle and count that as time. So a slice ends at the
first tenth of a second after its bytes, and its figure is the bytes over the time they took.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from bench.backends.base import InstanceSpec
from bench.model import Metric, NetworkMode, Role
from bench.scenarios import parsers
from bench.scenarios.base import Context, Reading, Scenario, ScenarioError, Workload
from bench.scenarios.meter import Meter
from bench.scenarios.tool import PIN, ScriptSlice, readings
from bench.scenarios.work import Work
from bench.scenarios.worker import Output, Worker

GBIT = 1_000_000_000
MEGABYTE = 1_000_000
MODES: tuple[NetworkMode, ...] = ("host", "bridge", "nat")
PINGPONG_PORT, LOOPBACK_PORT = 5301, 5299
ROUND_TRIPS = 1000

_WAY = {
    "host": "from the host's own network (the baseline's way and a container's with `--network host`)",
    "bridge": "through the instance's bridge, routed, its address seen by the peer",
    "nat": "through the instance's bridge, masqueraded as the host",
}


@runtime_checkable
class Peer(Protocol):
    """The part of the wire (bench.wire.Wire) that a slice needs."""

    @property
    def peer_address(self) -> str:
        """The remote peer's address."""

    def shape(self, bits_per_s: int | None) -> None:
        """Set the rate of the wire."""

    def sent_bytes(self) -> int:
        """Return the bytes sent to the peer so far."""

    def iperf_port(self) -> int:
        """Return the port of a free iperf3 server."""

    def restart_servers(self) -> None:
        """Restart the servers after a client was killed."""


class TransferKind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of iperf3 slice. `megabytes` is its `-n`, 0.1 to 0.2 s on the wire; `rate` None: not shaped.

    With `counts_cpu`, the host's CPU time is a second metric. That is done at 10 Gbit/s, because a slice at
    1 Gbit/s uses so little CPU time that other work on the host would hide it.
    """

    stem: str
    words: str
    rate: int | None
    megabytes: int
    options: tuple[str, ...] = ()
    role: Role = "stress"
    counts_cpu: bool = False
    cost_s: float
    every_nth_block: int


TRANSFERS = (
    TransferKind(
        stem="network.throughput",
        words="one TCP stream to the peer over the wire at 1 Gbit/s",
        rate=GBIT,
        megabytes=20,
        role="primary",
        cost_s=0.22,
        every_nth_block=1,
    ),
    TransferKind(
        stem="network.throughput_10g",
        words="one TCP stream to the peer over the wire at 10 Gbit/s",
        rate=10 * GBIT,
        megabytes=150,
        counts_cpu=True,
        cost_s=0.32,
        every_nth_block=1,
    ),
    TransferKind(
        stem="network.throughput_unshaped",
        words="one TCP stream to the peer over the wire without a rate, bound by the CPU",
        rate=None,
        megabytes=100,
        cost_s=0.16,
        every_nth_block=4,
    ),
    TransferKind(
        stem="network.throughput_reverse",
        words="one TCP stream from the peer over the wire at 1 Gbit/s",
        rate=GBIT,
        megabytes=10,
        options=("-R",),
        cost_s=0.12,
        every_nth_block=4,
    ),
    TransferKind(
        stem="network.throughput_streams",
        words="four TCP streams at once to the peer over the wire at 1 Gbit/s",
        rate=GBIT,
        megabytes=10,
        options=("-P", "4"),
        cost_s=0.13,
        every_nth_block=4,
    ),
    TransferKind(
        stem="network.throughput_streams_reverse",
        words="four TCP streams at once from the peer over the wire at 1 Gbit/s",
        rate=GBIT,
        megabytes=10,
        options=("-P", "4", "-R"),
        cost_s=0.13,
        every_nth_block=8,
    ),
)


class NetworkSlice(Workload, kw_only=True):
    """An iperf3 client in the instance and a server in the peer."""

    transfer: TransferKind
    scales_work: bool = True

    def run(self, context: Context) -> list[Reading]:
        """Transfer once. Raises ScenarioError, after restarting the peer's servers."""
        peer = peer_of(context)
        peer.shape(self.transfer.rate)
        work = Work(self.transfer.megabytes * MEGABYTE, context.extra)
        try:
            return work.nominal(self._transfer(peer, Worker.of(context), work.done), self.metrics)
        except ScenarioError:
            peer.restart_servers()
            raise

    def _transfer(self, peer: Peer, worker: Worker, size: int) -> list[Reading]:
        argv = self.argv(peer, size)
        if not self.transfer.counts_cpu:
            return readings(worker.run(argv), self._parse)
        meter = Meter(peer, size)
        # The background before and after: other work on the host may begin or end during the transfer.
        meter.background()
        output = worker.run(argv, meanwhile=meter.watch)
        meter.background()
        return [*readings(output, self._parse), meter.reading(self.metrics[1].name)]

    def argv(self, peer: Peer, size: int) -> tuple[str, ...]:
        """Return the command line of a client that sends (reversed: receives) `size` bytes."""
        return (
            *(*PIN, "iperf3", "-c", peer.peer_address, "-p", str(peer.iperf_port())),
            *("--connect-timeout", "3000"),
            *("-J", "-i", "0.1", "-n", str(size), "-b", "100G", *self.transfer.options),
        )

    def _parse(self, output: Output) -> dict[str, float]:
        return {self.metrics[0].name: parsers.iperf3_received(output.text)}


class Latency(Workload, kw_only=True):
    """Round trips of one byte to the peer and back."""

    def run(self, context: Context) -> list[Reading]:
        """Measure one series of round trips over the unshaped wire. Raises ScenarioError."""
        peer = peer_of(context)
        peer.shape(None)
        asking = ("ask", peer.peer_address, str(PINGPONG_PORT), str(ROUND_TRIPS))
        argv = (*PIN, "/opt/ninetynine/pingpong", *asking)
        return readings(Worker.of(context).run(argv), self._parse)

    def _parse(self, output: Output) -> dict[str, float]:
        tree = parsers.json_object(output.text)
        fields = zip(self.metrics, ("p50_ns", "p99_ns"), strict=True)
        return {metric.name: parsers.number(tree, field) / 1e9 for metric, field in fields}


def loopback_script() -> str:
    """Return shell text: a server for one test, a client that retries until it is up, the client's JSON."""
    client = f"iperf3 -c 127.0.0.1 -p {LOOPBACK_PORT} -J -i 0.1 -n 40M -b 100G"
    return (
        f"iperf3 -s -1 -p {LOOPBACK_PORT} >/dev/null 2>&1 & server=$!\n"
        "for try in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do\n"
        f"  out=$({client} 2>&1) && break\n"
        "  sleep 0.02\n"
        "done\n"
        "kill $server 2>/dev/null; wait\n"
        "printf '%s\\n' \"$out\""
    )


def peer_of(context: Context) -> Peer:
    """Return the wire of a slice. Raises ScenarioError if there is none."""
    if not isinstance(context.wire, Peer):
        raise ScenarioError("the network family needs the wire to the remote peer, and there is none")
    return context.wire


def _slices(mode: NetworkMode) -> tuple[NetworkSlice | Latency, ...]:
    found: list[NetworkSlice | Latency] = []
    spec = InstanceSpec(network=mode)
    for transfer in TRANSFERS:
        name = f"{transfer.stem}.{mode}"
        metrics = [_throughput(name, transfer, mode)]
        if transfer.counts_cpu:
            metrics.append(_cpu_per_gib(mode, transfer))
        found.append(
            NetworkSlice(
                name=name,
                metrics=tuple(metrics),
                spec=spec,
                transfer=transfer,
                cost_s=transfer.cost_s,
                every_nth_block=transfer.every_nth_block,
            )
        )
    name = f"network.latency.{mode}"
    return (*found, Latency(name=name, metrics=_latency(mode), spec=spec, cost_s=0.07, every_nth_block=2))


def _throughput(name: str, transfer: TransferKind, mode: NetworkMode) -> Metric:
    return Metric(
        name=name,
        unit="bit/s",
        better="higher",
        role=transfer.role,
        definition=f"Bits per second the receiver took, by iperf3: {transfer.words}, {_WAY[mode]}.",
    )


def _cpu_per_gib(mode: NetworkMode, transfer: TransferKind) -> Metric:
    return Metric(
        name=f"network.cpu_per_gib.{mode}",
        unit="s/GiB",
        better="lower",
        role="primary",
        definition="CPU seconds of the whole host (both ends, kernel, QEMU) for each GiB on the wire, in the "
        f"middle of {transfer.words}, {_WAY[mode]}: all CPUs' time that was neither idle nor used by other "
        "processes, less what the host used in a moment before and after.",
    )


def _latency(mode: NetworkMode) -> tuple[Metric, Metric]:
    def metric(suffix: str, words: str) -> Metric:
        return Metric(
            name=f"network.latency.{mode}{suffix}",
            unit="s",
            better="lower",
            role="stress",
            definition=f"Seconds, {words} of {ROUND_TRIPS:,} round trips of one byte over one TCP connection "
            f"to the peer (bench/workloads/pingpong.c), over the wire without a rate, {_WAY[mode]}.",
        )

    return metric("", "the median"), metric(".p99", "the 99th percentile")


LOOPBACK = Metric(
    name="network.loopback",
    unit="bit/s",
    better="higher",
    role="info",
    definition="Bits per second of `iperf3` over 127.0.0.1, both ends inside the instance, one stream. Not a "
    "network: packets of 64 KiB and no device; never a baseline for one.",
)

SCENARIOS: tuple[Scenario, ...] = (
    *(each for mode in MODES for each in _slices(mode)),
    ScriptSlice(
        name=LOOPBACK.name,
        metrics=(LOOPBACK,),
        script=loopback_script(),
        parse=lambda output: {LOOPBACK.name: parsers.iperf3_received(output.text)},
        # On a bridge, because that instance exists for other slices anyway.
        spec=InstanceSpec(network="bridge"),
        cost_s=0.15,
        every_nth_block=8,
    ),
)
