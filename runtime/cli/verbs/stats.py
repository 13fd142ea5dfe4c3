"""`nn stats`: containers' resource use, once or live."""

from __future__ import annotations

import sys
import threading
import time

from runtime.cli.connection.client import Client
from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags.parser import FORMAT, JSON, NO_TRUNC, Verb
from runtime.cli.output import tables, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runtime.cli.flags.parser import CommandLine, Flag

_HEADINGS = {
    "ID": "CONTAINER ID",
    "CPUPerc": "CPU %",
    "MemUsage": "MEM USAGE / LIMIT",
    "MemPerc": "MEM %",
    "NetIO": "NET I/O",
    "BlockIO": "BLOCK I/O",
    "PIDs": "PIDS",
}
_COLUMNS = ("ID", "Name", "CPUPerc", "MemUsage", "MemPerc", "NetIO", "BlockIO", "PIDs")


def stats(client: Client, args: CommandLine) -> int:
    """Show containers' resource use; without --no-stream every second until interrupted."""
    tables.choose_format(args, "statsFormat")
    every = args.on("all")
    names = args.words or _running(client, every)
    if args.on("no-stream") or args.on("json"):
        found = _once(client, names)
        if args.on("json"):
            return tables.documents(found)
        rows = [row(one, args, name) for one, name in zip(found, names, strict=True)]
        return tables.show(args, rows, _COLUMNS, _HEADINGS)
    return _live(client, args, every)


def _running(client: Client, every: bool) -> list[str]:
    return [one["Id"] for one in client.get("/containers/json", {"all": every})]


def _once(client: Client, names: list[str]) -> list[dict[str, Any]]:
    """Request all in parallel: the daemon takes a second for each, to compare two samples."""
    from concurrent.futures import ThreadPoolExecutor

    def ask(name: str) -> dict[str, Any]:
        found: dict[str, Any] = Client(client.endpoint).get(
            f"/containers/{quote(name)}/stats", {"stream": "0"}
        )
        return found

    with ThreadPoolExecutor(max(1, min(len(names), 50))) as pool:
        return list(pool.map(ask, names))


def _live(client: Client, args: CommandLine, every: bool) -> int:
    watch = StatsStreams(client, args.words)
    clear = "\x1b[H\x1b[J" if sys.stdout.isatty() else ""
    while True:
        if not args.words:
            watch.follow(_running(client, every))
        if watch.fault and args.words:
            raise watch.fault
        sys.stdout.write(clear)
        rows = [row(one, args, name) for name, one in watch.latest()]
        tables.show(args, rows, _COLUMNS, _HEADINGS)
        sys.stdout.flush()
        if args.words and not watch.busy:
            return 0
        time.sleep(1)


class StatsStreams:
    """Streams of several containers, each read by a thread that keeps the newest document."""

    def __init__(self, client: Client, names: list[str]) -> None:
        self._client = client
        self._found: dict[str, dict[str, Any]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self.fault: CliError | None = None
        self.follow(names)
        deadline = time.monotonic() + 3
        while len(self._found) < len(names) and not self.fault and time.monotonic() < deadline:
            time.sleep(0.05)

    def follow(self, names: list[str]) -> None:
        """Read these streams, and stop reading all others."""
        for name in names:
            if name not in self._threads:
                self._threads[name] = threading.Thread(target=self._read, args=(name,), daemon=True)
                self._threads[name].start()
        for name in self._threads.keys() - names:
            self._threads.pop(name)
            self._found.pop(name, None)

    def _read(self, name: str) -> None:
        try:
            for one in Client(self._client.endpoint).lines("GET", f"/containers/{quote(name)}/stats"):
                if name not in self._threads:
                    return
                self._found[name] = one
        except CliError as error:
            if not (isinstance(error, DaemonError) and error.code == 404 and name in self._found):
                self.fault = error
        self._found.pop(name, None)

    @property
    def busy(self) -> bool:
        """Whether any stream is still open."""
        return any(thread.is_alive() for thread in list(self._threads.values()))

    def latest(self) -> list[tuple[str, dict[str, Any]]]:
        """Return names and the newest document of each, in the order they were given."""
        return [(name, self._found[name]) for name in list(self._threads) if name in self._found]


def row(found: Mapping[str, Any], args: CommandLine, asked: str) -> dict[str, Any]:
    """One document of the API → fields by docker's names. asked: the name it was requested by."""
    identity = found.get("id") or ""
    used, limit = memory(found.get("memory_stats") or {})
    networks = (found.get("networks") or {}).values()
    received = sum(one["rx_bytes"] for one in networks)
    sent = sum(one["tx_bytes"] for one in networks)
    read, written = _blocks(found.get("blkio_stats") or {})
    return {
        "Container": asked if args.words else units.short_id(asked),
        "ID": identity if args.on("no-trunc") else units.short_id(identity),
        "Name": (found.get("name") or "").lstrip("/"),
        "CPUPerc": f"{cpu(found):.2f}%",
        "MemUsage": f"{units.memory(used)} / {units.memory(limit)}",
        "MemPerc": f"{100 * used / limit if limit else 0:.2f}%",
        "NetIO": f"{units.size(received, 3)} / {units.size(sent, 3)}",
        "BlockIO": f"{units.size(read, 3)} / {units.size(written, 3)}",
        "PIDs": str((found.get("pids_stats") or {}).get("current") or 0),
    }


def cpu(found: Mapping[str, Any]) -> float:
    """CPU time between the document's two samples, in percent of one core."""
    now, before = found.get("cpu_stats") or {}, found.get("precpu_stats") or {}
    used = now["cpu_usage"]["total_usage"] - (before.get("cpu_usage") or {}).get("total_usage", 0)
    passed = now.get("system_cpu_usage", 0) - before.get("system_cpu_usage", 0)
    cores = now.get("online_cpus") or len(now["cpu_usage"].get("percpu_usage") or ()) or 1
    return 100 * used / passed * cores if used > 0 and passed > 0 else 0.0


def memory(found: Mapping[str, Any]) -> tuple[int, int]:
    """Memory in use without file cache that can be dropped, and the limit (bytes)."""
    details = found.get("stats") or {}
    usage = found.get("usage") or 0
    for name in ("total_inactive_file", "inactive_file"):  # cgroup v1, v2
        if 0 < details.get(name, 0) < usage:
            return usage - details[name], found.get("limit") or 0
    return usage, found.get("limit") or 0


def _blocks(found: Mapping[str, Any]) -> tuple[int, int]:
    entries = found.get("io_service_bytes_recursive") or ()
    sums = {"read": 0, "write": 0}
    for one in entries:
        name = one["op"].lower()
        if name in sums:
            sums[name] += one["value"]
    return sums["read"], sums["write"]


_FLAGS: tuple[Flag, ...] = (
    ("all", "a", "bool", "", "show stopped ones, too"),
    FORMAT,
    JSON,
    ("no-stream", "", "bool", "", "show once and end"),
    NO_TRUNC,
)
STATS = Verb(stats, "[CONTAINER...]", _FLAGS, example="nn stats --no-stream web db")
