"""The Backend protocol, held by every system that is available on this machine."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import msgspec
import pytest

from bench.backends.base import Backend, BackendError, Instance, InstanceSpec
from bench.model import NetworkMode

pytestmark = pytest.mark.root

FIRST = ("/opt/ninetynine/first",)
ONE = (0,)
"""A guest with one CPU boots in three quarters of the time of one with two, which the idle instance has."""


def test_record_of_an_idle_start_is_in_order(idle: Instance) -> None:
    record = idle.record
    assert record.requested_ns < record.ready_ns <= time.monotonic_ns()
    assert record.first_output_ns is None
    assert all(duration >= 0 for _, duration in record.phases)


@pytest.mark.parametrize("command, code", [("true", 0), ("false", 1), ("exit 3", 3), ("kill -9 $$", 137)])
def test_exit_code(idle: Instance, command: str, code: int) -> None:
    assert idle.exec(["sh", "-c", command]).exit_code == code


def test_output_and_errors_come_apart(idle: Instance) -> None:
    done = idle.exec(["sh", "-c", "echo out; echo err >&2"])
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert done.start_ns < done.end_ns


def test_a_mebibyte_goes_in_and_comes_back(idle: Instance) -> None:
    data = bytes(range(256)) * 4096
    assert idle.exec(["cat"], stdin=data).stdout == data


def test_programs_find_the_same_environment(idle: Instance) -> None:
    lines = idle.exec(["env"]).stdout.decode().splitlines()
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "HOME", "LANG", "TERM", "NINETYNINE_INSTANCE"} <= names
    assert names <= {"PATH", "HOME", "LANG", "TERM", "NINETYNINE_INSTANCE", "HOSTNAME", "PWD", "SHLVL", "_"}


@pytest.mark.parametrize(
    "tool", ["sysbench --version", "fio --version", "redis-server -v", "iperf3 -v", "nginx -v"]
)
def test_the_tools_run(idle: Instance, tool: str) -> None:
    assert idle.exec(tool.split()).exit_code == 0


def test_devices_and_proc_are_there(idle: Instance) -> None:
    assert idle.exec(
        ["sh", "-c", "echo > /dev/null && head -c 1 /dev/urandom > /dev/null && cat /proc/stat"]
    ).stdout


def test_exec_kills_what_takes_too_long(idle: Instance) -> None:
    with pytest.raises(BackendError, match="sleep"):
        idle.exec(["sleep", "20"], timeout_s=0.3)


def test_a_worker_keeps_its_state_between_lines(idle: Instance) -> None:
    worker = idle.open(["sh"])
    worker.write(b"n=1\n")
    for expected in (b"2", b"3"):
        worker.write(b"n=$((n+1)); echo $n; echo END\n")
        assert worker.read_until(b"END\n", 60) == expected + b"\nEND\n"
    worker.close()
    worker.close()


def test_a_worker_that_ended_says_so(idle: Instance) -> None:
    worker = idle.open(["sh", "-c", "echo gone"])
    with pytest.raises(BackendError, match="ended"):
        worker.read_until(b"never", 60)
    worker.close()


def test_a_silent_worker_times_out(idle: Instance) -> None:
    worker = idle.open(["sh"])
    with pytest.raises(BackendError):
        worker.read_until(b"never", 0.2)
    worker.close()


def test_memory_and_disk_have_a_method(idle: Instance) -> None:
    memory = idle.memory()
    assert memory.bytes > 0
    assert memory.method
    before = idle.disk()
    idle.exec(["sh", "-c", "dd if=/dev/urandom of=/root/grown bs=1M count=4 2>/dev/null; sync"])
    assert idle.disk().bytes - before.bytes >= 3 << 20
    idle.exec(["rm", "/root/grown"])


def test_a_container_sees_its_own_limit(backend: Backend) -> None:
    """What is measured has the mounts of what is used: programs size themselves by this file."""
    if backend.name not in ("runtime", "nnd", "docker"):
        pytest.skip("no engine of ours or Docker's")
    instance = backend.start(InstanceSpec(memory_max=64 << 20))
    files = "/sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes"
    try:
        seen = instance.exec(["sh", "-c", f"cat {files} 2>/dev/null; true"]).stdout
    finally:
        instance.stop()
    assert seen == b"%d\n" % (64 << 20)


def test_the_first_byte_is_stamped(backend: Backend) -> None:
    instance = backend.start(InstanceSpec(cpus=ONE, argv=FIRST, until_output=True))
    try:
        first = instance.record.first_output_ns
        assert first is not None
        assert instance.record.requested_ns < first <= time.monotonic_ns()
    finally:
        instance.stop()


def test_a_program_that_prints_nothing_is_an_error(backend: Backend) -> None:
    with pytest.raises(BackendError, match=r"oops|ended"):
        backend.start(InstanceSpec(cpus=ONE, argv=("sh", "-c", "echo oops >&2; exit 1"), until_output=True))


def test_a_program_that_is_not_there_is_an_error(backend: Backend) -> None:
    with pytest.raises(BackendError, match="/no/such/program"):
        backend.start(InstanceSpec(cpus=ONE, argv=("/no/such/program",), until_output=True))


@pytest.mark.network
def test_a_talkative_main_program_is_never_stuck_and_a_server_beside_it_is_reached(backend: Backend) -> None:
    argv = ("sh", "-c", "head -c 300000 /dev/zero; touch /root/done; sleep 600")
    spec = with_network(backend, InstanceSpec(cpus=ONE, argv=argv, until_output=True), "nat")
    instance = backend.start(spec)
    try:
        assert (
            instance.exec(
                [
                    "sh",
                    "-c",
                    "for i in $(seq 60); do test -e /root/done && exit; sleep 1; done; exit 9",
                ]
            ).exit_code
            == 0
        )
        assert_reached(instance, spec.network)
    finally:
        instance.exec(["rm", "-f", "/root/done"])
        instance.stop()


@pytest.mark.network
def test_a_volume_is_written_cpus_are_the_given_set_and_stop_ends_all(
    backend: Backend, tmp_path: Path
) -> None:
    spec = with_network(backend, InstanceSpec(volume=tmp_path, cpus=ONE), "bridge")
    instance = backend.start(spec)
    try:
        assert_reached(instance, spec.network)
        done = instance.exec(["sh", "-c", "echo kept > /volume/file && cat /volume/file"])
        assert done.stdout == b"kept\n", done.stderr
        assert instance.exec(["nproc"]).stdout == b"1\n"
        worker = instance.open(["sh"])
        worker.write(b"setsid sleep 1000 & echo END\n")
        worker.read_until(b"END\n", 60)
    finally:
        instance.stop()
        instance.stop()
    with pytest.raises(BackendError):
        worker.read_until(b"never", 1)
    worker.close()
    assert list(tmp_path.iterdir()) in ([tmp_path / "file"], []), "a VM's disk file is removed with it"


@pytest.mark.network
def test_a_server_on_the_hosts_network_is_reached(backend: Backend) -> None:
    if reason := backend.unsupported(InstanceSpec(network="host")):
        pytest.skip(reason)
    instance = backend.start(InstanceSpec(network="host"))
    try:
        assert_reached(instance, "host")
    finally:
        instance.stop()


def with_network(backend: Backend, spec: InstanceSpec, mode: NetworkMode) -> InstanceSpec:
    """`spec` in that network where the backend has it: for a test of its own a guest boots for seconds."""
    connected = msgspec.structs.replace(spec, network=mode)
    return spec if backend.unsupported(connected) else connected


def assert_reached(instance: Instance, network: NetworkMode) -> None:
    """A server inside answers the host."""
    if network == "none":
        return
    port = {"host": 18081, "bridge": 18082, "nat": 18083}[network]
    server = instance.open(("busybox", "nc", "-l", "-p", str(port), "-e", "/bin/echo", "hello"))
    assert instance.address is not None
    assert _read(instance.address, port) == b"hello\n"
    server.close()


@pytest.mark.network
def test_without_a_network_there_is_no_address(idle: Instance) -> None:
    assert idle.address is None


def _read(address: str, port: int) -> bytes:
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((address, port), timeout=60) as connection:
                return connection.recv(100)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
