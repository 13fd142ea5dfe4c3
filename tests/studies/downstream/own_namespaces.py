"""Where suites of others meet a daemon: network and mount namespaces of their own, with a hub.

So the host's settings and firewall stay as they are, and our daemon and Docker's find the same.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.runtime.daemon_process import Daemon
from tests.studies.downstream.hub import Hub, StandIn
from tests.studies.downstream.peer import running_dockerd


def run_inside(module: str, against: str, arguments: Sequence[str]) -> None:
    """Run a module of ours in new namespaces; there it calls world()."""
    # With a process namespace nothing of dockerd outlives it. Ours cleans up by itself, which is to be seen.
    beyond = ["--pid", "--fork", "--kill-child", "--mount-proc"] if against == "dockerd" else []
    command = [
        "unshare",
        "--net",
        "--mount",
        "--propagation",
        "private",
        *beyond,
        sys.executable,
        "-m",
        module,
    ]
    subprocess.run([*command, *arguments], check=True)


def shared(base: Path) -> Path:
    """Where the tests make their directories: a shared mount, as a host's file systems are under systemd."""
    directory = base / "tmp"
    directory.mkdir(exist_ok=True)
    return directory


@contextlib.contextmanager
def world(
    base: Path, against: str, images: Sequence[str], registry: str = "", hub_has: Sequence[StandIn] = ()
) -> Iterator[Mapping[str, str]]:
    """Set up the namespaces that this process is in: a hub, and a daemon that has pulled `images`.

    Yields the environment of a client. against: `nnd`, or `dockerd`. registry: HOST:PORT of one
    beside the hub, of the loopback and without TLS. hub_has: images beside those that it always has.
    """
    hub = Hub(base / "hub", registry.partition(":")[0], hub_has)
    place = str(shared(base))
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["mount", "--bind", str(hub.hosts), "/etc/hosts"],
        ["mount", "--bind", place, place],
        ["mount", "--make-shared", place],
    ):
        subprocess.run(command, check=True)
    os.environ["SSL_CERT_FILE"] = str(hub.authority)
    with hub.serve(), _daemon(base, against, registry) as host:
        environment = os.environ | {"DOCKER_HOST": host, "TMPDIR": place}
        for image in images:
            subprocess.run(["docker", "pull", "--quiet", image], env=environment, check=True)
        yield environment


@contextlib.contextmanager
def _daemon(base: Path, against: str, registry: str) -> Iterator[str]:
    if against == "dockerd":  # it looks names up, and takes any of the loopback without TLS
        with running_dockerd(base) as host:
            yield host
        return
    plain = ["--insecure-registry", registry] if registry else []
    daemon = Daemon(base, "--experimental", *plain)
    daemon.start()
    try:
        yield daemon.host
    finally:
        try:
            daemon.stop()
        except AssertionError as error:  # what it left, or where it departs from its own description
            print(f"nnd afterwards: {error}", flush=True)
