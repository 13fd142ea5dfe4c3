"""What a host with systemd has beside us, and must still have after us."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.guests.systemd_guest import BUSYBOX, ENVIRONMENT, Guest, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(600, func_only=True),
]

LOCAL = "nn --local run --network none -m 64m --cpus 0.5 --pids-limit 50 bb:1"
DAEMON = "systemd-run -q --unit plain -p Type=notify -p KillMode=process -E PATH nnd --root /var/lib/plain"
HOST = "unix:///run/plain.sock"
LIMITS = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max"


@pytest.fixture(scope="module")
def images(guest: Guest) -> Guest:
    """The guest with bb:1 for `nn --local`."""
    guest.sh(f"nn --local import {BUSYBOX} bb:1")
    return guest


@pytest.fixture
def quota(guest: Guest) -> Iterator[str]:
    """Where the limit of a slice will be that has nothing but this limit; no controller of it is on yet."""
    guest.sh("systemd-run -q --unit neighbour --slice limited.slice sleep infinity")
    guest.sh("echo -cpu -cpuset -io > /sys/fs/cgroup/cgroup.subtree_control")
    yield "/sys/fs/cgroup/limited.slice/cpu.max"
    guest.sh("systemctl stop neighbour limited.slice")


def limit(guest: Guest) -> None:
    guest.sh("systemctl set-property --runtime limited.slice CPUQuota=20%")


def test_limits_of_others_survive_the_end_of_a_local_container(images: Guest, quota: str) -> None:
    """B1: our end took back the controllers that we had switched on, and with them limits in every slice."""
    ours = images.vm.open(
        ["sh", "-c", f"{LOCAL.replace('run', 'run -i')} sh -c 'echo up; read x'"], ENVIRONMENT
    )
    ours.read_until(b"up", 60)
    limit(images)
    before = images.sh(f"cat {quota}")
    ours.end_input()
    ours.wait(60)
    assert before == "20000 100000"
    assert images.sh(f"cat {quota}") == before


def test_limits_of_others_survive_the_end_of_the_daemon(guest: Guest, quota: str) -> None:
    """B1 for a daemon that is a unit without a part of the control groups of its own."""
    guest.sh(f"{DAEMON} -H {HOST}")
    guest.sh(f"export DOCKER_HOST={HOST}; docker import {BUSYBOX} bb:1; docker run --rm --cpus 0.5 bb:1 true")
    limit(guest)
    guest.sh("systemctl stop plain")
    assert guest.sh(f"cat {quota}") == "20000 100000"


def test_a_local_container_sees_its_limits(images: Guest) -> None:
    """B5: without the control group inside, a JVM, Go or Node reckon with the whole host."""
    assert images.sh(f"{LOCAL} sh -c '{LIMITS}'").split() == ["67108864", "50000", "100000", "50"]


def test_a_link_that_comes_later_is_forwarded(unit: Guest) -> None:
    """B6: forwarding was switched on when a bridge was made, for the links with routes of that moment."""
    unit.sh("docker run -d --name stays bb:1 sleep 1000")
    unit.sh("ip link add late type dummy && ip addr add 10.77.0.1/24 dev late && ip link set late up")
    try:
        until(lambda: unit.sh("cat /proc/sys/net/ipv4/conf/late/forwarding") == "1")
    finally:
        unit.sh("docker rm -f stays; ip link del late")


def test_systemd_and_ours_share_the_machine(unit: Guest) -> None:
    """Whatever is started anew beside us, links, addresses and controllers of a container stay."""
    unit.sh("docker run -d --name stays -m 64m bb:1 sleep 1000")
    look = "docker exec stays sh -c 'ip -o addr show eth0; cat /sys/fs/cgroup/memory.max'"
    before = unit.sh(look)
    unit.sh("networkctl reload; systemctl restart systemd-networkd systemd-resolved systemd-udevd")
    unit.sh("udevadm trigger; udevadm settle; systemctl daemon-reload; systemctl daemon-reexec")
    assert unit.sh(look) == before
    assert unit.vm.config.network is not None
    unit.sh(f"docker exec stays ping -c 1 -W 5 {unit.vm.config.network.gateway}")
    unit.sh("docker rm -f stays")
