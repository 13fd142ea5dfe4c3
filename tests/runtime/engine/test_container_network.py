"""The network modes as a program in the container sees them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.network]


def test_host_mode_is_the_hosts_own_namespace(run: Callable[..., tuple[int, str]]):
    _, seen = run("readlink /proc/self/ns/net", network="host")
    assert seen.strip() == str(Path("/proc/self/ns/net").readlink())


def test_none_mode_has_only_loopback(run: Callable[..., tuple[int, str]]):
    _, seen = run("ls /sys/class/net", network="none")
    assert seen.split() == ["lo"]


@pytest.mark.parametrize("mode", ["bridge", "nat"])
def test_a_container_on_a_bridge_has_an_address_and_a_way_out(mode: str, run: Callable[..., tuple[int, str]]):
    status, seen = run("ip route | grep -c '^default via 10.209'", network=mode)
    assert (status, seen.strip()) == (os.EX_OK, "1")
