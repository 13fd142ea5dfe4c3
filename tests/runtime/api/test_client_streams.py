"""Standard streams through the real clients: attached before and after the start, by one or several."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.runtime.clients import Client

pytestmark = pytest.mark.root

MIB = 1 << 20
MOST = 32 * MIB


def terminate(process: subprocess.Popen[bytes]) -> int:
    """Send SIGTERM until the client is gone: docker's, since 28, wants it three times. Return its status."""
    for _ in range(3):
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)
    return process.wait(60)


def passed(client: Client, count: int, *words: str) -> tuple[int, bool]:
    """Send `count` MiB through a container's cat; return the status, and whether all of it came back."""
    block, sent, came, size = os.urandom(MIB), hashlib.sha256(), hashlib.sha256(), 0

    def feed() -> None:
        assert process.stdin is not None
        with process.stdin:
            for _ in range(count):
                process.stdin.write(block)
                sent.update(block)

    with client.start("run", "-i", "--rm", "--network", "none", *words, "busybox", "cat") as process:
        assert process.stdout is not None
        feeding = threading.Thread(target=feed)
        feeding.start()
        while data := os.read(process.stdout.fileno(), MIB):
            came.update(data)
            size += len(data)
        feeding.join()
        status = process.wait(60)
    return status, size == count * MIB and came.digest() == sent.digest()


def resident(pid: int) -> int:
    """Return the most memory a process ever held, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM"))


def resident_when_warm(client: Client) -> int:
    """The same from now on, once what it loads for the first of these is loaded."""
    passed(client, 1, "--log-driver", "none")
    Path(f"/proc/{client.daemon.pid}/clear_refs").write_text("5")
    return resident(client.daemon.pid)


@pytest.mark.slow
def test_much_goes_through_in_bounded_memory(client: Client):
    before = resident_when_warm(client)
    assert passed(client, 256, "--log-driver", "none") == (0, True)
    assert resident(client.daemon.pid) - before < MOST


def test_a_client_that_does_not_read_holds_the_program_back_and_costs_no_memory(client: Client):
    before = resident_when_warm(client)
    words = ("run", "-d", "--name", "box", "--network", "none", "--log-driver", "none", "--stop-timeout", "0")
    script = "read a; dd if=/dev/zero bs=1M count=96 2>/dev/null; echo done >&2"
    client(*words, "-i", "busybox", "sh", "-c", script)
    with client.start("attach", "box") as slow:
        assert slow.stdin is not None and slow.stdout is not None
        slow.stdin.write(b"go\n")
        slow.stdin.flush()
        assert slow.stdout.read(1) == b"\0"
        with client.start("attach", "--no-stdin", "box") as other:
            wait_until_held_back(int(client("inspect", "-f", "{{.State.Pid}}", "box")))
            assert client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
            assert resident(client.daemon.pid) - before < MOST
            rest = threading.Thread(target=lambda: skim(slow))
            rest.start()
            skim(other)
            rest.join()
            assert other.stderr is not None and other.stderr.read() == b"done\n"
    assert client("wait", "box") == "0\n"


def wait_until_held_back(pid: int) -> None:
    """Wait until the programs that a shell has started write nothing more."""

    def written() -> str:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return "".join(Path(f"/proc/{child}/io").read_text() for child in children)

    before, now = "?", written()
    while now != before:
        time.sleep(0.3)
        before, now = now, written()


def skim(process: subprocess.Popen[bytes]) -> None:
    assert process.stdout is not None
    while os.read(process.stdout.fileno(), MIB):
        pass


def test_attached_before_the_start_nothing_is_missed(client: Client):
    client(
        "create",
        "--name",
        "box",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "echo out; echo err >&2; exit 3",
    )
    for _ in range(2):
        done = client.run("start", "-a", "box")
        assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


def test_several_are_attached_and_each_gets_all(client: Client):
    client.detached("--name", "box", "-i", "busybox", "sh", "-c", "while read a; do echo got $a; done")
    with contextlib.ExitStack() as held:
        processes = [held.enter_context(attached(client, "box")) for _ in range(3)]
        for number, process in enumerate(processes):
            type_line(process, b"%d" % number)
            for other in processes:
                assert answer(other) == b"got %d\n" % number
    assert client("logs", "box") == "got first\ngot first\ngot first\ngot 0\ngot 1\ngot 2\n"


def test_a_client_that_goes_leaves_the_program_and_its_input(client: Client):
    client.detached("--name", "box", "-i", "busybox", "sh", "-c", "while read a; do echo got $a; done")
    for _ in range(2):
        with attached(client, "box") as process:
            type_line(process, b"again")
    with attached(client, "box"):
        client("kill", "box")
    assert client("logs", "box").count("got ") >= 3


@contextlib.contextmanager
def attached(client: Client, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """A client that is surely attached, and killed at last: with the end of its input it would wait."""
    with client.start("attach", name) as process:
        try:
            type_line(process, b"first")
            assert process.stdout is not None and process.stdout.readline() == b"got first\n"
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[bytes]) -> bytes:
    """The next line, but for what greets those who attach."""
    assert process.stdout is not None
    while (line := process.stdout.readline()) == b"got first\n":
        pass
    return line


def type_line(process: subprocess.Popen[bytes], text: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(text + b"\n")
    process.stdin.flush()


def test_a_run_with_input_ends_it_with_the_client_s(client: Client):
    done = client.run(
        "run", "-i", "--rm", "--network", "none", "busybox", "sh", "-c", "cat; exit 4", stdin=b"in"
    )
    assert (done.stdout, done.returncode) == (b"in", 4)


UNREAD = ("sh", "-c", "head -c 10 >/dev/null; head -c 1000000 /dev/zero; exit 5")
"""A program that ends while most of its input is still on the way."""


def test_input_that_nobody_read_costs_no_output_and_no_status(client: Client):
    box, much = client.detached("busybox", "sleep", "600"), os.urandom(20 * MIB)
    for words in (("exec", "-i", box), ("run", "-i", "--rm", "--network", "none", "busybox")) * 4:
        done = client.run(*words, *UNREAD, stdin=much)
        assert (done.returncode, len(done.stdout), done.stderr) == (5, 1_000_000, b"")
    client("rm", "-f", box)


def test_a_run_of_input_alone_hands_on_all_and_goes(client: Client):
    """The program reads only after the client has gone."""
    script = "while ! test -e /go; do sleep 0.02; done; wc -c"
    words = ("run", "-i", "-a", "stdin", "--name", "box", "--network", "none", "busybox", "sh", "-c", script)
    box = client(*words, stdin=b"x" * 200_000).strip()
    client("exec", "box", "touch", "/go")
    assert (client("wait", box), client("logs", box)) == ("0\n", "200000\n")


def test_without_input_a_program_reads_none(client: Client):
    assert (
        client("run", "--rm", "--network", "none", "busybox", "sh", "-c", "read a || echo none", stdin=b"x\n")
        == "none\n"
    )


def test_a_run_passes_no_signals_on_when_asked_not_to(client: Client):
    script = "trap 'echo got' TERM; while :; do echo up; sleep 0.05; done"
    words = ("run", "--sig-proxy=false", "--name", "box", "--network", "none", "busybox", "sh", "-c", script)
    with client.start(*words, stdin=subprocess.DEVNULL) as process:
        assert process.stdout is not None and process.stdout.readline() == b"up\n"
        assert terminate(process) != 0
    assert client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
    assert "got" not in client("logs", "box")


@pytest.mark.parametrize("words", [(), ("--sig-proxy=false",)])
def test_signals_go_to_the_program_unless_asked_not_to(client: Client, words: tuple[str, ...]):
    script = "trap 'echo got; exit 42' TERM; while :; do echo up; sleep 0.05; done"
    client.detached("--name", "box", "busybox", "sh", "-c", script)
    with client.start("attach", *words, "box") as process:
        assert process.stdout is not None
        while not process.stdout.readline().startswith(b"up"):
            pass
        if words:
            status = terminate(process)
        else:
            process.terminate()
            status = process.wait(60)
        running = client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
        if words:
            assert (status != 42, running) == (True, True)
        else:
            assert (process.stdout.read().split()[-1], status, running) == (b"got", 42, False)


@pytest.mark.parametrize("client", ["nn"], indirect=True)
def test_a_websocket_is_attached_too(client: Client):
    client.detached("--name", "box", "-i", "busybox", "sh", "-c", "while read a; do echo got $a; done")

    async def talk() -> bytes:
        url = "http://nnd/v1.45/containers/box/attach/ws?stream=1&stdin=1&stdout=1"
        connector = aiohttp.UnixConnector(str(client.daemon.socket))
        async with aiohttp.ClientSession(connector=connector) as session, session.ws_connect(url) as socket:
            await socket.send_bytes(b"one\n")
            first = await socket.receive_bytes(timeout=60)
            await socket.send_str("two\n")
            return first + await socket.receive_bytes(timeout=60)

    assert asyncio.run(talk()) == b"got one\ngot two\n"
