"""A daemon on its own host whose firewall is flushed or restarted meanwhile."""

from __future__ import annotations

import contextlib
import json

import pytest

from tests.runtime.daemon_process import Daemon, running_daemon
from tests.runtime.own_host import HOST4, World, connect, own_host, run
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

SERVE = ("busybox", "sh", "-c", "while :; do nc -l -p 80 -e echo hello; done")


def says_hello(port: str, world: World) -> bool:
    with contextlib.suppress(OSError), connect(HOST4, int(port), world.netns_fd, 1) as client:
        return client.recv(9) == b"hello\n"
    return False


def port_of(daemon: Daemon, name: str) -> str:
    return daemon.docker("port", name).splitlines()[0].rpartition(":")[2]


def test_containers_are_reached_again_after_a_flush() -> None:
    with own_host() as world, running_daemon("--live-restore") as daemon:
        daemon.docker("run", "-d", "--name", "pub", "-p", "80", *SERVE)
        port = port_of(daemon, "pub")
        eventually(lambda: says_hello(port, world))
        run("nft", "flush", "ruleset")
        eventually(lambda: says_hello(port, world))
        run("nft", "flush", "ruleset")
        daemon.docker("run", "-d", "--name", "second", "-p", "80", *SERVE)
        daemon.docker("restart", "-t", "0", "pub")
        eventually(lambda: says_hello(port_of(daemon, "second"), world))
        eventually(lambda: says_hello(port_of(daemon, "pub"), world))
        daemon.terminate()
        run("nft", "flush", "ruleset")
        daemon.start()
        eventually(lambda: says_hello(port_of(daemon, "second"), world))
        daemon.docker("rm", "-f", "pub", "second")
        run("nft", "flush", "ruleset")  # its end is no error, see Daemon.stop()


def test_what_docker_shows_of_the_host_is_true() -> None:
    with own_host(), running_daemon() as daemon:
        told = json.loads(daemon.docker("info", "--format", "{{json .}}"))
        assert told["IPv4Forwarding"] is True
        assert "IPv4 forwarding is disabled" not in daemon.docker_run("info").stderr.decode()
        options = json.loads(daemon.docker("network", "inspect", "--format", "{{json .Options}}", "bridge"))
        daemon.docker("run", "--rm", "busybox", "true")
        assert options["com.docker.network.bridge.name"] in run("ip", "-o", "link")
