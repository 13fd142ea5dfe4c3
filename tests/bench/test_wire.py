import contextlib
import json
import os
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenarios import parsers
from bench.wire import IPERF_PORTS, Wire, WireError, sweep
from bench.wire.links import RANGE, bucket, free_subnets
from bench.wire.servers import listens
from runtime.spawn.owner import Owner
from tests.paths import REPOSITORY
from tests.waiting import eventually

GBIT = 1_000_000_000
LINKS = Path("/sys/class/net")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="makes links and namespaces: needs root")


@given(st.lists(st.integers(0, 255)), st.integers(17, 32))
def test_free_subnets_overlap_no_route(numbers, length):
    routes = [IPv4Network((f"10.210.{number}.0", length), strict=False) for number in numbers]
    routes.append(IPv4Network("0.0.0.0/0"))
    assert not any(free.overlaps(route) for free in free_subnets(routes) for route in routes[:-1])


def test_the_default_route_takes_no_subnet():
    assert next(free_subnets([IPv4Network("0.0.0.0/0")])) == next(RANGE.subnets(new_prefix=24))


@given(st.integers(10_000_000, 100 * GBIT))
def test_a_bucket_holds_the_largest_packet_and_less_than_a_slice(rate):
    per_s, burst, limit = bucket(rate)
    assert per_s * 8 <= rate
    assert 64 << 10 <= burst < limit
    assert burst <= max(128 << 10, per_s // 100)


def test_listens_reads_ports_of_both_families(tmp_path):
    header = "  sl  local_address rem_address   st\n"
    (tmp_path / "tcp").write_text(header + "   0: 00000000:1451 00000000:0000 01\n")
    (tmp_path / "tcp6").write_text(header + f"   0: {'0' * 32}:14B5 {'0' * 32}:0000 0A\n")
    assert listens(tmp_path / "tcp", 5301)
    assert not listens(tmp_path / "tcp", 5201)
    assert not listens(tmp_path / "absent" / "tcp", 5301)


def test_a_closed_wire_says_so():
    with pytest.raises(WireError, match=r"\bwire\b"):
        Wire(Path("/")).shape(GBIT)


def receive(wire, image, *options):
    client = ("iperf3", "-c", wire.peer_address, "-p", str(wire.iperf_port()), "-J", "-i", "0.1", *options)
    done = subprocess.run(("chroot", image.rootfs, *client), capture_output=True, text=True)
    return parsers.iperf3_received(done.stdout + done.stderr)


@pytest.fixture(scope="module")
def wire(bench_image):
    with Wire(bench_image.rootfs, sorted(os.sched_getaffinity(0))) as opened:
        yield opened


@pytest.mark.root
@pytest.mark.network
@needs_root
class TestOpenWire:
    @pytest.mark.parametrize("direction", [(), ("-R",)])
    def test_it_keeps_its_rate(self, wire, bench_image, direction):
        wire.shape(GBIT)
        best = max(receive(wire, bench_image, "-n", "20M", "-b", "100G", *direction) for _ in range(5))
        assert 0.9 * GBIT < best < 1.02 * GBIT

    def test_without_a_rate_it_is_faster(self, wire, bench_image):
        wire.shape(None)
        best = max(receive(wire, bench_image, "-n", "50M", "-b", "100G") for _ in range(5))
        assert best > 1.2 * GBIT

    def test_shaping_can_be_repeated_and_taken_away(self, wire):
        for rate in (GBIT, GBIT, 10 * GBIT, None, None):
            wire.shape(rate)
            assert wire.rate == rate

    def test_it_counts_what_was_sent(self, wire, bench_image):
        before = wire.sent_bytes()
        receive(wire, bench_image, "-n", "5M", "-b", "100G")
        assert wire.sent_bytes() - before > 5 << 20

    def test_only_its_own_link_forwards(self, wire):
        forwarding = Path("/proc/sys/net/ipv4/conf")
        assert (forwarding / wire.host_link / "forwarding").read_text() == "1\n"
        assert wire.host_link.startswith("nwh")

    def test_servers_run_on_the_last_cpu_and_write_nothing_into_the_image(self, wire, bench_image):
        last = max(os.sched_getaffinity(0))
        assert all(os.sched_getaffinity(server.pid) == {last} for server in wire._servers)
        assert list((bench_image.rootfs / "tmp").iterdir()) == []

    def test_servers_can_be_started_anew(self, wire, bench_image):
        old = {server.pid for server in wire._servers}
        wire.restart_servers()
        assert old.isdisjoint(server.pid for server in wire._servers)
        assert receive(wire, bench_image, "-n", "1M", "-b", "100G") > 0

    def test_ports_take_turns(self, wire):
        assert {wire.iperf_port() for _ in IPERF_PORTS} == set(IPERF_PORTS)

    def test_a_missing_program_is_an_error_that_names_the_step(self, wire):
        with pytest.raises(WireError, match=r"/no/such.*execve: ENOENT"):
            wire.start(("/no/such",))

    def test_a_server_that_ends_leaves_its_last_words(self, wire):
        with pytest.raises(WireError, match=r"\bport 9\b.*usage"):
            wire.start(("/opt/ninetynine/pingpong", "serve")).wait_for(9)


@pytest.mark.root
@pytest.mark.network
@needs_root
def test_closing_leaves_nothing(bench_image):
    with Wire(bench_image.rootfs) as wire:
        link, servers = wire.host_link, [server.pid for server in wire._servers]
    assert not (LINKS / link).exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in servers)


@pytest.mark.root
@pytest.mark.network
@needs_root
def test_a_wire_without_its_image_leaves_nothing(tmp_path):
    before = own_links()
    with pytest.raises(WireError, match="/usr/bin/iperf3"), Wire(tmp_path):
        pass
    assert own_links() <= before


def own_links():
    """The indexes of this process's wires: other processes open and close theirs meanwhile."""
    found = set()
    for link in LINKS.glob("nwh*"):
        with contextlib.suppress(OSError):  # another's, just gone
            if (link / "ifalias").read_text() == f"nw {Owner.current()}\n":
                found.add((link / "ifindex").read_text())
    return found


HOLDER = """
import json, sys, time
from pathlib import Path
from bench.wire import Wire
with Wire(Path(sys.argv[1])) as wire:
    print(json.dumps([wire.host_link, [server.pid for server in wire._servers]]), flush=True)
    time.sleep(60)
"""


@pytest.mark.root
@pytest.mark.network
@needs_root
def test_sweep_spares_the_living_and_a_killed_owner_leaves_nothing(bench_image):
    root = REPOSITORY
    argv = (sys.executable, "-c", HOLDER, str(bench_image.rootfs))
    with subprocess.Popen(argv, cwd=root, stdout=subprocess.PIPE, text=True) as holder:
        link, servers = json.loads(holder.stdout.readline())
        assert link not in sweep()
        assert (LINKS / link).exists()
        holder.kill()
    eventually(lambda: any(Path(f"/proc/{pid}").exists() for pid in servers), False)
    sweep()
    eventually((LINKS / link).exists, False)
