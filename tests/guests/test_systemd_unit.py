"""nnd as a unit of systemd, installed as docs/daemon.md says, through all that happens to units."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator

import pytest

from tests.guests.systemd_guest import Guest, until

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(600, func_only=True),
]

SETTINGS = "/etc/ninetynine/daemon.json"
WEB = "docker run -d --name web --restart always -p 8080:80 bb:1 httpd -f -p 80 -h /www"
FORWARDED = "docker run --rm bb:1 ping -c 1 -W 5 {host}"


@pytest.fixture
def web(unit: Guest) -> Iterator[str]:
    """The address of a container's page, as the host sees it."""
    unit.sh(WEB)
    yield f"http://{unit.vm.address}:8080/"
    unit.sh("docker rm -f web")


@pytest.fixture
def live_restore(unit: Guest) -> Iterator[None]:
    settings(unit, '{"live-restore": true}')
    yield
    settings(unit, "{}")


def settings(guest: Guest, document: str) -> None:
    guest.sh(f"mkdir -p /etc/ninetynine; echo '{document}' > {SETTINGS}; systemctl reload nnd")


def served(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.read() == b"served\n"
    except OSError:
        return False


def pid(guest: Guest) -> str:
    return guest.sh("docker inspect -f '{{.State.Pid}}' web")


def test_the_first_client_starts_it(unit: Guest) -> None:
    unit.sh("systemctl stop nnd.service")
    assert unit.run("systemctl is-active nnd.service")[1] == "inactive\n"
    assert unit.sh("docker version --format '{{.Server.Os}}'") == "linux"
    assert unit.sh("systemctl is-active nnd.service nnd.socket").split() == ["active", "active"]


def test_the_client_beside_it_is_ours(unit: Guest) -> None:
    assert unit.sh("/usr/local/bin/nn run --rm bb:1 echo inside") == "inside"


def test_containers_are_in_its_part_of_the_control_groups(unit: Guest, web: str) -> None:
    assert unit.sh(f"cat /proc/{pid(unit)}/cgroup").startswith("0::/system.slice/nnd.service/")
    assert unit.sh("cat /proc/$(systemctl show -P MainPID nnd)/cgroup") == "0::/system.slice/nnd.service/main"
    assert "httpd" in unit.sh("systemctl status --no-pager nnd.service")


def test_a_port_answers_the_host(web: str) -> None:
    until(lambda: served(web))


def test_containers_have_their_limits_there(unit: Guest) -> None:
    script = "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/pids.max"
    said = unit.sh(f"docker run --rm -m 64m --cpus 0.5 --pids-limit 50 bb:1 sh -c '{script}'")
    assert said.split() == ["67108864", "50000", "100000", "50"]


def test_the_socket_answers_after_a_restart(unit: Guest) -> None:
    """B3: asyncio removed the file of a socket that is systemd's, since Python 3.13."""
    unit.sh("systemctl restart nnd.service")
    unit.sh("docker ps")
    assert unit.sh("systemctl is-active nnd.service nnd.socket").split() == ["active", "active"]


def test_a_restart_stops_containers_and_starts_those_that_are_to_run(unit: Guest, web: str) -> None:
    before = pid(unit)
    unit.sh("systemctl restart nnd.service")
    assert pid(unit) not in ("0", before)
    until(lambda: served(web))


def test_a_reload_reads_the_settings_again(unit: Guest) -> None:
    settings(unit, '{"labels": ["place=guest"]}')
    until(lambda: "place=guest" in unit.sh("docker info --format '{{.Labels}}'"))
    settings(unit, "{}")


@pytest.mark.usefixtures("live_restore")
def test_with_live_restore_a_container_outlives_a_restart_and_a_kill(unit: Guest, web: str) -> None:
    before = pid(unit)
    unit.sh("systemctl restart nnd.service")
    assert pid(unit) == before
    unit.sh("systemctl kill -s KILL --kill-whom=main nnd.service")
    until(lambda: unit.run("docker ps")[0] == 0)
    assert pid(unit) == before
    assert unit.sh("docker exec web echo inside") == "inside"
    until(lambda: served(web))


def test_after_a_kill_it_is_started_again(unit: Guest, web: str) -> None:
    unit.sh("systemctl kill -s KILL --kill-whom=main nnd.service")
    until(lambda: unit.run("docker ps")[0] == 0)
    until(lambda: served(web))


def test_flushed_rules_are_made_again(unit: Guest, web: str) -> None:
    """B2: Debian's nftables.conf begins with `flush ruleset`: our table went, and every port and way out."""
    until(lambda: served(web))
    unit.sh("systemctl restart nftables")
    unit.sh("docker run --rm -d -p 8081:80 --name more bb:1 httpd -f -p 80 -h /www")
    until(lambda: served(f"http://{unit.vm.address}:8081/"))
    until(lambda: served(web))
    assert unit.vm.config.network is not None
    unit.sh(FORWARDED.format(host=unit.vm.config.network.gateway))
    unit.sh("docker rm -f more")


@pytest.mark.usefixtures("live_restore")
def test_flushed_rules_are_made_again_at_a_start(unit: Guest, web: str) -> None:
    unit.sh("nft flush ruleset; systemctl restart nnd.service")
    until(lambda: served(web))


def test_it_stops_in_order_after_a_flush(unit: Guest, web: str) -> None:
    unit.sh("nft flush ruleset; systemctl stop nnd.service")
    assert unit.run("systemctl is-failed nnd.service")[1] == "inactive\n"
    unit.sh("systemctl start nnd.service")


def test_its_end_leaves_nothing(unit: Guest) -> None:
    unit.sh("systemctl stop nnd.service")
    before = unit.census()
    unit.sh(f"{WEB} && docker stop -t 1 web && docker rm web && systemctl stop nnd.service")
    assert unit.changed_since(before) == {}


def test_after_a_reboot_containers_are_up_as_before(unit: Guest, web: str) -> None:
    unit.vm.reboot(300)
    assert unit.sh("systemctl is-system-running --wait") == "running"
    until(lambda: served(web))
    assert unit.sh("journalctl -b -p warning -u nnd --no-pager -o cat") in ("", "-- No entries --")
