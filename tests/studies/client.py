"""How long a user waits: `nn run`, and docker's own client, at nnd and at dockerd, interleaved in one run.

    python -m tests.studies.client [--rounds 40] [--rest-ms 0] [--parallel 100] [--nn PATH] [--json]   # root

Both daemons have roots of their own and the same busybox. Each round starts every contestant once, in random
order: *nn on nnd*, *docker on nnd*, *docker on dockerd* run `run --rm --network none IMAGE true` to the
client's exit; *python* is `python -SEI -c pass`, which nn cannot beat. Then, in turns, each daemon gets
`--parallel` containers created beforehand and started through the API at once; the time is from the first
request until the last answer. dockerd is left out when it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.backends.daemons.dockerd import OwnDaemon
from bench.backends.resources import owned
from runtime.cli.connection.client import Client
from runtime.cli.connection.endpoint import DaemonEndpoint
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_process import running_daemon

IMAGE = "busybox:latest"
RUN = ("run", "--rm", "--network", "none", IMAGE, "true")
Contestant = Callable[[], None]


# ---- the daemons -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def running_dockerd() -> Iterator[str | None]:
    """A dockerd of our own with the image; yields its address, None where there is none."""
    if not (shutil.which("dockerd") and shutil.which("docker")):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="nn-race-") as base:
        daemon = OwnDaemon(owned.directory(Path(base)))
        try:
            host = f"unix://{daemon.directory}/docker.sock"
            rootfs = build_rootfs(Path(base) / "rootfs")
            tar = subprocess.run(
                ["tar", "-C", str(rootfs), "-c", "."], capture_output=True, check=True
            ).stdout
            docker(host, "import", "-c", "ENV PATH=/bin", "-", IMAGE, stdin=tar)
            yield host
        finally:
            daemon.close()


def docker(host: str, *words: str, stdin: bytes = b"") -> None:
    environment = os.environ | {"DOCKER_HOST": host, "DOCKER_CONFIG": "/nonexistent"}
    subprocess.run(["docker", *words], env=environment, input=stdin, check=True, stdout=subprocess.DEVNULL)


# ---- one after the other -----------------------------------------------------------------------------------


def runner(line: list[str], environment: dict[str, str]) -> Contestant:
    """Run a command to its end by posix_spawn, so that the timing holds nothing of ours."""
    program = shutil.which(line[0]) or line[0]

    def run() -> None:
        pid = os.posix_spawn(program, line, environment)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status:
            raise SystemExit(f"{' '.join(line)} ended with {status}")

    return run


def contestants(nn: str, ours: str, theirs: str | None) -> dict[str, Contestant]:
    kept = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    found = {
        "python": runner([sys.executable, "-SEI", "-c", "pass"], kept),
        "nn on nnd": runner([nn, *RUN], kept | {"NN_HOST": ours}),
    }
    if shutil.which("docker"):
        found["docker on nnd"] = runner(["docker", *RUN], kept | {"DOCKER_HOST": ours})
    if theirs:
        found["docker on dockerd"] = runner(["docker", *RUN], kept | {"DOCKER_HOST": theirs})
    return found


def race(found: dict[str, Contestant], rounds: int, rest_s: float) -> dict[str, list[float]]:
    """Everybody once a round, in random order; ms. The first two rounds warm up.

    rest_s: idle time before each turn. Without it all pay for what dockerd still cleans up; with it for
    processors that have gone to sleep.
    """
    times: dict[str, list[float]] = {name: [] for name in found}
    for at in range(rounds + 2):
        for name in random.sample(list(found), len(found)):
            time.sleep(rest_s)
            begin = time.perf_counter()
            found[name]()
            if at >= 2:
                times[name].append((time.perf_counter() - begin) * 1e3)
    return times


# ---- many at once ------------------------------------------------------------------------------------------


def create_many(host: str, count: int) -> list[str]:
    client = Client(DaemonEndpoint(host))
    body = {"Image": IMAGE, "Cmd": ["sleep", "600"], "HostConfig": {"NetworkMode": "none"}}
    return [client.post("/containers/create", None, body)["Id"] for _ in range(count)]


def start_many(host: str, ids: list[str]) -> float:
    """Start all at once, each over a connection that stands already; ms until the last answer."""
    path = host.removeprefix("unix://")
    socks = []
    for _ in ids:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        socks.append(sock)
    begin = time.perf_counter()
    for sock, one in zip(socks, ids, strict=True):
        sock.sendall(
            f"POST /containers/{one}/start HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
        )
    heads = [sock.recv(4096) for sock in socks]
    passed = (time.perf_counter() - begin) * 1e3
    for sock in socks:
        sock.close()
    bad = [head for head in heads if b" 204 " not in head[:20]]
    if bad:
        raise SystemExit(f"{len(bad)} starts failed: {bad[0][-300:]!r}")
    return passed


def remove_many(host: str, ids: list[str]) -> None:
    def remove(part: list[str]) -> None:
        client = Client(DaemonEndpoint(host))
        for one in part:
            client.delete(f"/containers/{one}", {"force": True})

    threads = [threading.Thread(target=remove, args=(ids[at::4],)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def crowds(hosts: dict[str, str], count: int, turns: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in hosts}
    for _ in range(turns):
        for name in random.sample(list(hosts), len(hosts)):
            ids = create_many(hosts[name], count)
            try:
                times[name].append(start_many(hosts[name], ids))
            finally:
                remove_many(hosts[name], ids)
    return times


# ---- the report --------------------------------------------------------------------------------------------


def summary(times: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(times, n=20) if len(times) > 1 else times * 19
    return {"p50": statistics.median(times), "p5": cuts[0], "p95": cuts[-1]}


def paired(times: dict[str, list[float]], slow: str, fast: str) -> float | None:
    """Median over rounds of how many times faster `fast` is."""
    if slow not in times or fast not in times:
        return None
    return statistics.median(one / other for one, other in zip(times[slow], times[fast], strict=True))


def beyond(times: dict[str, list[float]], name: str, base: str) -> float:
    """Median over rounds of what `name` takes longer than `base`, ms."""
    return statistics.median(one - other for one, other in zip(times[name], times[base], strict=True))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rest-ms", type=float, default=0.0, help="idle time before each turn")
    parser.add_argument("--parallel", type=int, default=100)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--nn", default=str(Path(sys.executable).with_name("nn")))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("containers need root")
    with running_daemon(checked=False) as daemon, running_dockerd() as theirs:
        found = race(contestants(given.nn, daemon.host, theirs), given.rounds, given.rest_ms / 1e3)
        hosts = {"nnd": daemon.host} | ({"dockerd": theirs} if theirs else {})
        crowd = crowds(hosts, given.parallel, given.turns) if given.parallel else {}
    ratios = {
        "docker on nnd against dockerd": paired(found, "docker on dockerd", "docker on nnd"),
        "nn against docker on dockerd": paired(found, "docker on dockerd", "nn on nnd"),
        f"{given.parallel} starts": paired(crowd, "dockerd", "nnd"),
    }
    if given.json:
        print(json.dumps({"run_ms": found, "crowd_ms": crowd, "times_faster": ratios}))
        return 0
    for name, times in (
        *found.items(),
        *((f"{given.parallel} starts, {name}", one) for name, one in crowd.items()),
    ):
        print(f"{name:24}", *(f"{key} {value:8.2f} ms" for key, value in summary(times).items()), sep="  ")
    print(f"nn beyond the interpreter: {beyond(found, 'nn on nnd', 'python'):.2f} ms")
    for name, ratio in ratios.items():
        if ratio is not None:
            print(f"{name}: {ratio:.1f} times faster")
    return 0


if __name__ == "__main__":
    sys.exit(main())
