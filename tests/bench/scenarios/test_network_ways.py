"""By which way an arm's packets reach the remote peer: as whom the peer sees the instance, by mode."""

import os

import pytest

from bench.backends.base import InstanceSpec, NotAvailable
from bench.backends.registry import BACKENDS
from bench.scenarios.worker import SHELL, Worker
from bench.wire import Wire

pytestmark = [
    pytest.mark.root,
    pytest.mark.network,
    pytest.mark.skipif(os.geteuid() != 0, reason="makes links and network namespaces: needs root"),
]

PORT = 5399
TELLER = f"""
import socket
server = socket.create_server(("0.0.0.0", {PORT}))
while True:
    connection, address = server.accept()
    connection.sendall(address[0].encode())
    connection.close()
"""
ARMS = ("host", "runtime", "nnd", pytest.param("crun", marks=pytest.mark.peers))


@pytest.fixture(scope="module")
def wire(bench_image):
    with Wire(bench_image.rootfs) as opened:
        opened.start(("/usr/bin/python3", "-c", TELLER)).wait_for(PORT)
        yield opened


@pytest.mark.parametrize("name", ARMS)
def test_a_bridges_instances_are_seen_by_their_own_address_and_others_as_the_host(
    name, wire, state, bench_image
):
    backend = BACKENDS[name](state)
    found = backend.probe()
    if isinstance(found, NotAvailable):
        pytest.skip(found.reason)
    backend.prepare(bench_image)
    try:
        for mode in ("host", "bridge", "nat"):
            instance = backend.start(InstanceSpec(network=mode))
            worker = Worker(instance.open(SHELL))
            seen = worker.run(("busybox", "nc", wire.peer_address, str(PORT))).text
            own = mode == "bridge" and name != "host"
            assert seen.strip() == (instance.address if own else wire.host_address), mode
    finally:
        backend.cleanup()
