import ipaddress
import os
import re
import secrets
import subprocess
from pathlib import Path

import pytest

from vm.config import VmNetwork
from vm.errors import VmError
from vm.network import (
    POINT_TO_POINT,
    add_tap,
    host_routes,
    point_to_point,
    remove_tap,
    stale_taps,
    tap_owner,
)
from vm.owner import Owner, current

TABLE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0
nn0\t0000D10A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


def test_routes_are_read_without_the_default_one():
    assert host_routes(TABLE) == [ipaddress.ip_network("10.209.0.0/24")]


def test_a_free_subnet_overlaps_no_route():
    taken = [ipaddress.ip_network("10.211.0.0/30"), ipaddress.ip_network("10.211.0.4/31")]
    network = point_to_point(taken)
    assert (network.host_address, network.address, network.gateway) == (
        "10.211.0.9/30",
        "10.211.0.10/30",
        "10.211.0.9",
    )


def test_no_free_subnet_is_an_error():
    with pytest.raises(VmError, match=re.escape(str(POINT_TO_POINT))):
        point_to_point([POINT_TO_POINT])


@pytest.fixture
def name():
    name = f"nvt{secrets.token_hex(3)}"
    yield name
    remove_tap(name)


@pytest.mark.root
@pytest.mark.network
def test_a_tap_is_up_addressed_and_owned(name):
    add_tap(name, VmNetwork(address="10.211.255.2/30", host_address="10.211.255.1/30"), current())
    shown = subprocess.run(["ip", "addr", "show", name], capture_output=True, text=True, check=True).stdout
    assert "UP" in shown
    assert "10.211.255.1/30" in shown
    assert tap_owner(name) == current()
    remove_tap(name)
    assert not Path(f"/sys/class/net/{name}").exists()


@pytest.mark.root
@pytest.mark.network
def test_a_bridge_that_is_not_there_is_named_and_no_tap_stays(name):
    with pytest.raises(VmError, match=f"{name} .*nvnone: No such device"):
        add_tap(name, VmNetwork(address="10.211.255.2/30", bridge="nvnone"), current())
    assert not Path(f"/sys/class/net/{name}").exists()


@pytest.mark.root
@pytest.mark.network
def test_only_taps_of_dead_owners_are_stale(name):
    add_tap(name, VmNetwork(address="10.211.255.2/30"), current())
    assert name not in stale_taps()
    Path(f"/sys/class/net/{name}/ifalias").write_text("ninetynine vm of 4194304:1")
    assert tap_owner(name) == Owner(4194304, 1)
    assert name in stale_taps()
    Path(f"/sys/class/net/{name}/ifalias").write_text("somebody else's")
    assert name not in stale_taps()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may make taps")
def test_without_rights_the_error_says_so(name):
    with pytest.raises(VmError, match=name):
        add_tap(name, VmNetwork(address="10.211.255.2/30"), current())
