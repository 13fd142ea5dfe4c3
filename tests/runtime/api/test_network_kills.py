"""Several clients change networks while the daemon is killed: its answers match what exists."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.daemon_process import Daemon, running_daemon

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.slow]

NETWORKS = {f"net{number}": f"10.24{number}.0.0/24" for number in range(3)}
CONTAINERS = [f"box{number}" for number in range(5)]
CLIENTS, KILLS = 3, 5


class Connection(http.client.HTTPConnection):
    """HTTP on a unix socket."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__("localhost", timeout=60)
        self.path = str(daemon.socket)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


def ask(daemon: Daemon, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = Connection(daemon)
    try:
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        connection.close()


def make(daemon: Daemon, name: str) -> tuple[int, Any]:
    return ask(
        daemon,
        "POST",
        "/networks/create",
        {"Name": name, "IPAM": {"Config": [{"Subnet": NETWORKS[name]}]}},
    )


def change(daemon: Daemon, draw: random.Random) -> tuple[int, Any]:
    """One change of one container or network, which may well be refused."""
    box, net = draw.choice(CONTAINERS), draw.choice(list(NETWORKS))
    kind = draw.choice(["create", "start", "connect", "disconnect", "kill", "remove", "network"])
    if kind == "create":
        host = {"NetworkMode": net, "PortBindings": draw.choice([{}, {"80/tcp": [{}], "53/udp": [{}]}])}
        body = {"Image": "busybox", "Cmd": ["sleep", "600"], "HostConfig": host}
        return ask(daemon, "POST", f"/containers/create?name={box}", body)
    if kind in ("connect", "disconnect"):
        return ask(daemon, "POST", f"/networks/{net}/{kind}", {"Container": box})
    if kind == "remove":
        return ask(daemon, "DELETE", f"/containers/{box}?force=1")
    if kind == "network":
        removed = ask(daemon, "DELETE", f"/networks/{net}")
        return make(daemon, net) if removed[0] == 204 else removed
    return ask(daemon, "POST", f"/containers/{box}/{kind}")


def addresses(pid: int) -> list[str]:
    """What a container has, whatever it is told to have."""
    line = ["nsenter", "-t", str(pid), "-n", "ip", "-j", "-4", "addr"]
    links = json.loads(subprocess.run(line, capture_output=True, text=True, check=True).stdout)
    return sorted(one["local"] for link in links if link["ifname"] != "lo" for one in link["addr_info"])


def told(daemon: Daemon) -> Iterator[tuple[int, list[str]]]:
    """Process and addresses of each container that runs, as the daemon has them."""
    for row in ask(daemon, "GET", "/containers/json")[1]:
        found = ask(daemon, "GET", f"/containers/{row['Id']}/json")[1]
        endpoints = found["NetworkSettings"]["Networks"].values()
        yield found["State"]["Pid"], sorted(one["IPAddress"] for one in endpoints)


def test_what_is_shown_of_networks_is_what_there_is() -> None:
    statuses: Counter[int] = Counter()
    over = threading.Event()
    with running_daemon(checked=False) as daemon:

        def work(seed: int) -> None:
            draw = random.Random(seed)
            while not over.is_set():
                try:
                    statuses[change(daemon, draw)[0]] += 1
                except (OSError, http.client.HTTPException):
                    time.sleep(0.02)  # it was killed just now

        for name in NETWORKS:
            make(daemon, name)
        workers = [threading.Thread(target=work, args=(seed,)) for seed in range(CLIENTS)]
        for worker in workers:
            worker.start()
        for _ in range(KILLS):
            time.sleep(0.5)
            daemon.terminate(signal.SIGKILL)
            daemon.start()
        time.sleep(1)
        over.set()
        for worker in workers:
            worker.join()
        assert not {status for status in statuses if status >= 500}, statuses
        assert statuses[200] > 0, statuses
        assert statuses[204] > 0, statuses
        given: Counter[str] = Counter()
        for pid, wanted in told(daemon):
            assert addresses(pid) == wanted
            given.update(wanted)
        assert all(count == 1 for count in given.values()), given
        on = [
            one["IPv4Address"].partition("/")[0]
            for row in ask(daemon, "GET", "/networks")[1]
            for one in ask(daemon, "GET", f"/networks/{row['Id']}")[1]["Containers"].values()
        ]
        assert sorted(on) == sorted(given)
