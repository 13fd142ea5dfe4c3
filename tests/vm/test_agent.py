"""The real agent in C, built with the address sanitizer, on a local socket instead of a guest's port."""

import contextlib
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vm.client import AgentClient
from vm.errors import GuestError, GuestTimeoutError
from vm.framing import Frame, Type, encode
from vm.initramfs import AGENT, compile_agent
from vm.machine import VmChannel

HERE = Path(__file__).parent / "agent"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
STRICT = ["-g", "-O1", *WARNINGS, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def binary(tmp_path_factory):
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    path = tmp_path_factory.mktemp("agent") / "agent"
    sources = [HERE / "on_socket.c", AGENT / "programs.c"]
    subprocess.run(["gcc", *STRICT, f"-I{AGENT}", "-o", path, *sources], check=True)
    return path


@pytest.fixture
def agent(binary):
    """(process, client) of one running agent, which must not have died of a sanitizer's finding."""
    process, sock = start(binary)
    client = AgentClient(sock, None, "agent")
    yield process, client
    client.close()
    assert process.poll() in (None, 0)
    process.kill()
    process.wait()


def start(binary):
    ours, theirs = socket.socketpair()
    with theirs:
        command = ["env", "--ignore-signal=HUP", binary, str(theirs.fileno())]  # as below nohup
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    return process, ours


@pytest.fixture
def client(agent):
    return agent[1]


def shell(client, script, **options):
    return run(client, "/bin/sh", "-c", script, **options)


def run(client, *argv, stdin=b"", timeout_s=60.0):
    exit_, out, err = client.communicate(client.spawn(argv), stdin, timeout_s)
    return exit_.code, out, err


def test_the_shipped_agent_builds_without_a_warning(tmp_path):
    if shutil.which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed")
    sources = sorted(AGENT.glob("*.c"))
    subprocess.run(["musl-gcc", "-static", "-Os", *WARNINGS, "-o", tmp_path / "a", *sources], check=True)
    compile_agent(tmp_path / "b")
    assert (tmp_path / "b").read_bytes()[:4] == b"\x7fELF"


def test_code_output_and_input(client):
    assert shell(client, "cat; echo oops >&2; exit 3", stdin=b"given") == (
        3,
        b"given",
        b"oops\n",
    )
    assert shell(client, "kill -9 $$")[0] == 137


def test_no_path_no_arguments_no_program(client):
    with pytest.raises(GuestError, match="No such file or directory"):
        run(client, "/nonesuch")
    with pytest.raises(GuestError, match="Permission denied"):
        run(client, "/etc/passwd")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=3_000_000))
def test_any_bytes_come_back_unchanged(client, data):
    assert run(client, "cat", stdin=data)[1] == data


def test_fifty_megabytes_of_two_streams(client):
    code, out, err = run(
        client, "/bin/sh", "-c", "head -c 25000000 /dev/zero & head -c 25000000 /dev/zero >&2; wait"
    )
    assert (code, len(out), len(err)) == (0, 25_000_000, 25_000_000)


def test_a_flood_that_nobody_reads_stops_at_the_window(client):
    flood = client.spawn(["yes"])
    run(client, "sleep", "0.3")
    assert 0 < len(flood.output[0]) <= 262144
    client.discard(flood, 60)


def test_a_deaf_program_stops_its_writer_and_nobody_else(client):
    deaf = VmChannel(client, client.spawn(["sleep", "100"]))

    def write():
        with contextlib.suppress(GuestError):  # or the dying program's input is thrown away to its end
            deaf.write(bytes(2_000_000))

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    assert run(client, "echo", "free")[1] == b"free\n"
    assert writer.is_alive()
    deaf.close()
    writer.join(60)
    assert not writer.is_alive()


def test_input_for_a_program_that_closed_it_is_swallowed(client):
    assert shell(client, "exec <&-; sleep 0.2; echo done", stdin=bytes(1_000_000))[1] == b"done\n"


def test_output_before_the_end_is_kept_and_a_child_left_behind_is_not_waited_for(client):
    begin = time.monotonic()
    script = "sleep 60 & head -c 300000 /dev/zero; echo end"
    assert shell(client, script, timeout_s=120)[1][-4:] == b"end\n"
    assert time.monotonic() - begin < 60


def test_signals_reach_the_group(client):
    worker = VmChannel(
        client,
        client.spawn(
            ["/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.05; done"]
        ),
    )
    worker.read_until(b"up\n", 60)
    worker.kill(signal.SIGTERM)
    assert worker.read_until(b"bye\n", 60) == b"bye\n"
    assert worker.wait(60) == 5


def test_a_timeout_kills(client):
    with pytest.raises(GuestTimeoutError):
        run(client, "sleep", "100", timeout_s=0.2)
    assert run(client, "true")[0] == 0


def test_sixty_four_at_once_and_not_one_more(client):
    streams = [client.spawn(["cat"]) for _ in range(64)]
    with pytest.raises(GuestError, match="Resource temporarily unavailable"):
        run(client, "true")
    for stream in streams:
        client.end_input(stream)
    assert [client.wait_exit(s, 60).code for s in streams] == [0] * 64
    assert run(client, "true")[0] == 0


def test_descriptors_are_not_inherited_and_signals_are_reset(client):
    said = shell(client, "ls /proc/self/fd; grep -E 'Sig(Blk|Ign)' /proc/self/status")[1]
    assert said.split()[:4] == [b"0", b"1", b"2", b"3"]  # 3 is ls's own
    assert said.split()[4:] == [b"SigBlk:", b"0" * 16, b"SigIgn:", b"0" * 16]


def test_a_broken_stream_ends_the_agent(binary):
    process, sock = start(binary)
    sock.sendall(b"\0" * 64)
    assert process.wait(60) == 3
    sock.close()


HARMLESS = [t for t in Type if t not in (Type.SPAWN, Type.POWER_OFF)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(HARMLESS), st.integers(0, 3), st.binary(max_size=60)), max_size=20))
def test_no_frame_at_any_time_breaks_it(client, frames):
    stream = client.spawn(["cat"])
    client.link._agent.sendall(
        b"".join(encode(Frame(kind, channel + stream.channel, body)) for kind, channel, body in frames)
    )
    client.discard(stream, 60)
    assert run(client, "echo", "alive")[1] == b"alive\n"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_no_spawn_body_breaks_it(client, body):
    client.link._agent.sendall(encode(Frame(Type.SPAWN, 2**31, b"\xff\xff" + body)))
    assert run(client, "echo", "alive")[1] == b"alive\n"
