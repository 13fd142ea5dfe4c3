from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from runtime.network.errors import NetworkError
from runtime.network.host.sweeping import sweep
from runtime.network.kernel.nft import Nft
from runtime.network.modes import NetworkModes
from runtime.spawn.owner import Owner
from tests.runtime.free_ports import free_port
from tests.runtime.network.wires import traces

pytestmark = [pytest.mark.root, pytest.mark.network]

VICTIM = """
import sys, time
from runtime.network.model import Port
from runtime.network.modes import NetworkModes
m = NetworkModes(pool_size=2)
m.refill("bridge")
a = m.attach("nat", (Port(host=int(sys.argv[1]), container=80),))
print(m.spec("bridge").link, m.spec("nat").link, flush=True)
time.sleep(60)
"""


def links() -> dict[str, int]:
    """Index by name. A name that is free again goes to whoever asks next, another test's process too; an
    index comes once. What another process swept does not come out of our `sweep()` either."""
    return {name: index for index, name in socket.if_nameindex()}


def tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def test_sweep_frees_the_dead_and_spares_the_living(modes: NetworkModes) -> None:
    mine = modes.spec("nat").link
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(free_port())], stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    names = victim.stdout.readline().split()
    indexes = {links()[name] for name in names}
    assert not set(names) & set(sweep())
    assert f"nn_{victim.pid}_" in tables()
    victim.kill()
    victim.wait()
    sweep()
    assert not indexes & set(links().values())
    assert f"nn_{victim.pid}_" not in tables()
    assert mine in links()


def test_a_wrong_command_comes_back_in_nfts_words() -> None:
    nft = Nft()
    with pytest.raises(NetworkError, match="syntax error"):
        nft.run("add nonsense")
    assert all("table" in item or "metainfo" in item for item in nft.query("list tables"))
    nft.close()
    nft.close()


def test_two_processes_take_two_subnets(modes: NetworkModes) -> None:
    other = NetworkModes(Owner.of(os.getppid()))  # alive: any engine's start sweeps what a dead one has
    try:
        assert modes.spec("bridge").subnet != other.spec("bridge").subnet
    finally:
        other.close()
    assert modes.spec("bridge").link in traces()[0]
