from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from wires import free_port, traces

from runtime.network import NetworkError, NetworkManager, sweep
from runtime.network.links import Links
from runtime.network.nft import Nft
from runtime.spawn.owner import Owner

pytestmark = [pytest.mark.root, pytest.mark.network]

VICTIM = """
import sys, time
from runtime.network import NetworkManager, Port
m = NetworkManager(pool_size=2)
m.refill("bridge")
a = m.attach("nat", (Port(host=int(sys.argv[1]), container=80),))
print(m.bridge("bridge").name, m.bridge("nat").name, a.host_link, flush=True)
time.sleep(60)
"""


def tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def test_sweep_frees_the_dead_and_spares_the_living(manager: NetworkManager) -> None:
    mine = manager.attach("nat")
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(free_port())], stdout=subprocess.PIPE, text=True
    )
    assert victim.stdout is not None
    names = victim.stdout.readline().split()
    assert not set(names) & set(sweep())
    assert f"nn_{victim.pid}_" in tables()
    victim.kill()
    victim.wait()
    swept = sweep()
    assert set(names[:2]) < set(swept)
    assert not [name for name in names if Path(f"/sys/class/net/{name}").exists()]
    assert f"nn_{victim.pid}_" not in tables()
    assert Path(f"/sys/class/net/{mine.host_link}").exists()


def test_a_bridge_without_its_alias_is_known_by_its_hardware_address() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    links = Links()
    bridge = links.add_bridge(Owner(process.pid, 1, Owner.current().pid_namespace))
    subprocess.run(["ip", "link", "set", bridge.name, "alias", ""], check=True)
    assert bridge.name not in sweep()
    process.kill()
    process.wait()
    assert bridge.name in sweep()
    links.close()


def test_only_our_links_can_be_deleted() -> None:
    links = Links()
    with pytest.raises(NetworkError, match="not one of ours"):
        links.delete("eth0")
    links.close()


def test_a_wrong_command_comes_back_in_nfts_words() -> None:
    nft = Nft()
    with pytest.raises(NetworkError, match="syntax error"):
        nft.run("add nonsense")
    assert all("table" in item or "metainfo" in item for item in nft.query("list tables"))
    nft.close()
    nft.close()


def test_two_processes_take_two_subnets(manager: NetworkManager) -> None:
    other = NetworkManager(Owner(1, 1, Owner.current().pid_namespace))
    try:
        assert manager.bridge("bridge").subnet != other.bridge("bridge").subnet
    finally:
        other.close()
    assert manager.bridge("bridge").name in traces()[0]
