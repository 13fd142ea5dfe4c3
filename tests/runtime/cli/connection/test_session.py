"""`nn run`, `attach`, `exec` against a server that plays the daemon: what goes and what comes."""

from __future__ import annotations

import fcntl
import json
import os
import queue
import signal
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import CommandLine
from runtime.docker_syntax.frames import RESIZE, SIGNAL, STDERR, STDIN, STDOUT, frame
from tests.runtime.cli.nn_process import LINE, call, environment
from tests.runtime.cli.played_daemon import END_0, PlayedDaemon, end, read_frame
from tests.runtime.terminals import Terminal
from tests.runtime.tiny_server import Request


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[PlayedDaemon]:
    made = PlayedDaemon(tmp_path / "s")
    yield made
    made.server.close()


def test_output_goes_where_it_belongs_and_the_status_is_the_programs(daemon: PlayedDaemon, tmp_path: Path):
    daemon.run(
        lambda request: request.sock.sendall(frame(STDOUT, b"out\n") + frame(STDERR, b"err\n") + end(7))
    )
    done = call("run", "--rm", "img", "true", config=tmp_path, host=daemon.host)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    asked = json.loads(daemon.server.requests[0].body)
    assert asked["Create"]["Cmd"] == ["true"]
    assert asked["Create"]["HostConfig"] == {"AutoRemove": True}
    assert daemon.server.requests[0].headers["upgrade"] == "nn-run"


def test_a_whole_run_is_one_request(daemon: PlayedDaemon, tmp_path: Path):
    daemon.run(lambda request: request.sock.sendall(END_0))
    assert call("run", "img", config=tmp_path, host=daemon.host).returncode == 0
    assert len(daemon.server.requests) == 1


def test_input_is_passed_on_and_ended(daemon: PlayedDaemon, tmp_path: Path):
    def echo(request: Request) -> None:
        while True:
            kind, data = read_frame(request)
            assert kind == STDIN
            if not data:
                break
            request.sock.sendall(frame(STDOUT, data))
        request.sock.sendall(END_0)

    daemon.run(echo)
    sent = os.urandom(3 << 20)
    done = call("run", "-i", "img", "cat", config=tmp_path, host=daemon.host, stdin=sent)
    assert done.returncode == 0
    assert done.stdout == sent


def test_a_program_that_does_not_read_holds_nothing_up(daemon: PlayedDaemon, tmp_path: Path):
    """Input that nobody takes fills the socket; output has to come through all the same."""

    def deaf(request: Request) -> None:
        time.sleep(0.2)
        request.sock.sendall(frame(STDOUT, bytes(1 << 20)) + end(3))

    daemon.run(deaf)
    done = call("run", "-i", "img", config=tmp_path, host=daemon.host, stdin=bytes(8 << 20))
    assert (len(done.stdout), done.returncode) == (1 << 20, 3)


def test_without_i_input_is_not_touched(daemon: PlayedDaemon, tmp_path: Path):
    daemon.run(lambda request: request.sock.sendall(END_0))
    with subprocess.Popen(
        ["sh", "-c", '"$@"; cat', "sh", *LINE, "run", "img"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(tmp_path, daemon.host),
    ) as process:
        assert process.communicate(b"left for cat")[0] == b"left for cat"


def wait_for_signal(request: Request) -> None:
    request.sock.sendall(frame(STDOUT, b"ready\n"))
    kind, number = read_frame(request)
    request.sock.sendall(frame(STDOUT, b"%d %d" % (kind, number[0])) + end(128 + number[0]))


RESTARTED = """
import _signal
def restarting(number, handler, catch=_signal.signal):
    old = catch(number, handler)
    _signal.siginterrupt(number, False)
    return old
_signal.signal = restarting
"""
"""Has the kernel go on with a recv after a signal, as if that had come just before it."""


@pytest.mark.parametrize(
    ("prelude", "flags"), [("", ()), ("", ("-i",)), (RESTARTED, ())], ids=["output", "input", "just before"]
)
def test_signals_are_passed_on(daemon: PlayedDaemon, tmp_path: Path, prelude: str, flags: tuple[str, ...]):
    daemon.run(wait_for_signal)
    *python, start = LINE
    with subprocess.Popen(
        [*python, prelude + start, "run", *flags, "img"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(tmp_path, daemon.host),
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(60) == 128 + signal.SIGTERM
        finally:
            process.kill()
        assert process.stdout.read() == b"%d %d" % (SIGNAL, signal.SIGTERM)


def test_without_sig_proxy_a_signal_is_for_nn(daemon: PlayedDaemon, tmp_path: Path):
    def ready(request: Request) -> None:
        request.sock.sendall(frame(STDOUT, b"ready\n"))
        request.received()

    daemon.run(ready)
    with subprocess.Popen(
        [*LINE, "run", "--sig-proxy=false", "img"],
        stdout=subprocess.PIPE,
        env=environment(tmp_path, daemon.host),
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('exec: "x": executable file not found in $PATH: unknown', 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ('exec: "/etc": permission denied', 126),
        ('exec: "/etc": is a directory', 126),
        ("driver failed programming external connectivity", 125),
    ],
)
def test_a_start_that_fails_has_dockers_status(
    daemon: PlayedDaemon, tmp_path: Path, message: str, status: int
):
    daemon.play["POST /nn/run"] = lambda request: request.reply(json.dumps({"message": message}), 400)
    done = call("run", "img", "x", config=tmp_path, host=daemon.host)
    assert (done.returncode, done.stderr.decode()) == (status, f"nn: {message}\n")


def test_a_daemon_that_goes_away_is_reported(daemon: PlayedDaemon, tmp_path: Path):
    daemon.run(lambda request: request.sock.sendall(frame(STDOUT, b"x")))
    done = call("run", "img", config=tmp_path, host=daemon.host)
    assert (done.stdout, done.returncode) == (b"x", 125)
    assert b"ended before the program did" in done.stderr


def test_a_missing_image_is_pulled_first(daemon: PlayedDaemon, tmp_path: Path):
    answers = iter([404, 101])

    def missing_once(request: Request) -> None:
        if next(answers) == 404:
            request.reply('{"message":"No such image: img:latest"}', 404)
        else:
            request.upgrade(Nn_Container="c")
            request.sock.sendall(END_0)

    def pull(request: Request) -> None:
        request.reply('{"status":"Pulling from library/img","id":"latest"}\r\n{"status":"Done","id":"a"}\r\n')

    daemon.play["POST /nn/run"] = missing_once
    daemon.play["POST /images/create"] = pull
    done = call("run", "img", config=tmp_path, host=daemon.host)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(b"Unable to find image 'img:latest' locally\nlatest: Pulling")
    assert [request.path for request in daemon.server.requests] == ["/nn/run", "/images/create", "/nn/run"]
    assert daemon.server.requests[1].target.endswith("?fromImage=img&tag=latest")


def test_never_pulls_when_asked_not_to(daemon: PlayedDaemon, tmp_path: Path):
    daemon.play["POST /nn/run"] = lambda request: request.reply(
        '{"message":"No such image: img:latest"}', 404
    )
    done = call("run", "--pull", "never", "img", config=tmp_path, host=daemon.host)
    assert (done.returncode, done.stderr) == (125, b"nn: No such image: img:latest\n")


def test_no_daemon_says_how_to_get_one(tmp_path: Path):
    done = call("run", "img", config=tmp_path, host=f"unix://{tmp_path}/none")
    assert done.returncode == 125
    assert b"start nnd" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_id_is_written_where_cidfile_says(daemon: PlayedDaemon, tmp_path: Path):
    daemon.run(lambda request: request.sock.sendall(END_0))
    call("run", "--cidfile", tmp_path / "id", "img", config=tmp_path, host=daemon.host)
    assert (tmp_path / "id").read_text() == "c" * 64
    again = call("run", "--cidfile", tmp_path / "id", "img", config=tmp_path, host=daemon.host)
    assert (again.returncode, b"the file exists" in again.stderr) == (125, True)


def test_a_closed_pipe_ends_quietly(daemon: PlayedDaemon, tmp_path: Path):
    def forever(request: Request) -> None:
        while True:
            request.sock.sendall(frame(STDOUT, b"y\n" * 9999))

    daemon.run(forever)
    with subprocess.Popen(
        [*LINE, "run", "img"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(tmp_path, daemon.host),
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"y\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


# ---- with a terminal -------------------------------------------------------------------------------------


def test_a_terminal_is_raw_has_a_size_and_is_put_back(daemon: PlayedDaemon, tmp_path: Path):
    def shell(request: Request) -> None:
        assert read_frame(request)[0] == RESIZE
        request.sock.sendall(frame(STDOUT, b"ready "))
        kind, data = read_frame(request)
        request.sock.sendall(frame(STDOUT, b"resized %d %d %d " % (kind, data[1], data[3])))
        kind, data = read_frame(request)
        request.sock.sendall(frame(STDOUT, b"typed %r " % data) + end(5))

    daemon.run(shell)
    terminal = Terminal([*LINE, "run", "-it", "img"], environment(tmp_path, daemon.host))
    terminal.until(b"ready ")
    mode = termios.tcgetattr(terminal.fd)[3]
    assert not mode & (termios.ECHO | termios.ICANON | termios.ISIG)
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    terminal.until(b"resized 6 33 77 ")
    os.write(terminal.fd, b"\x03")  # control-c is for the program
    terminal.until(rb"typed b'\x03' ")
    assert terminal.end() == 5


def test_the_keys_leave_it_running(daemon: PlayedDaemon, tmp_path: Path):
    left: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def shell(request: Request) -> None:
        request.sock.sendall(frame(STDOUT, b"ready "))
        left.put(request.received())

    daemon.run(shell)
    terminal = Terminal([*LINE, "run", "-it", "img"], environment(tmp_path, daemon.host))
    terminal.until(b"ready ")
    os.write(terminal.fd, b"a\x10b\x10\x11")
    assert terminal.end() == 0
    assert left.get(timeout=60).endswith(frame(STDIN, b"a\x10b"))


@pytest.mark.parametrize("verb", ["run -it img", "exec -it box sh"])
def test_dockers_config_chooses_the_keys(daemon: PlayedDaemon, tmp_path: Path, verb: str):
    def shell(request: Request) -> None:
        request.sock.sendall(frame(STDOUT, b"ready "))
        request.received()

    def start(request: Request) -> None:
        request.upgrade(Content_Type="application/vnd.docker.raw-stream")
        shell(request)

    daemon.run(shell)
    daemon.play |= {
        "POST /containers/box/exec": lambda request: request.reply('{"Id":"e1"}', 201),
        "POST /exec/e1/start": start,
    }
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text('{"detachKeys": "ctrl-a,a"}')
    terminal = Terminal([*LINE, *verb.split()], environment(tmp_path, daemon.host))
    terminal.until(b"ready ")
    os.write(terminal.fd, b"\x01a")
    assert terminal.end() == 0
    assert json.loads(daemon.server.requests[0].body)["DetachKeys"] == "ctrl-a,a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"detachKeys": "ctrl-"}', b"detachKeys in docker's config.json"),
        ("{", b"connect to the daemon"),
        ('{"detachKeys": 1}', b"connect to the daemon"),
    ],
)
def test_keys_of_dockers_config_are_checked(tmp_path: Path, text: str, said: bytes):
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker/config.json").write_text(text)
    terminal = Terminal([*LINE, "run", "-it", "img"], environment(tmp_path, f"unix://{tmp_path}/none"))
    terminal.until(said)
    assert terminal.end() == 125


def test_it_needs_a_terminal(tmp_path: Path):
    done = call("run", "-it", "img", config=tmp_path, host="unix:///none")
    assert (done.returncode, b"not a TTY" in done.stderr) == (1, True)


def test_keys_of_no_known_form_are_refused():
    options = CommandLine()
    options.add("detach-keys", "ctrl-")
    with pytest.raises(CliError, match="ctrl-"):
        flag_values.choose_detach_keys(options, terminal=False)


# ---- daemons that are not ours ---------------------------------------------------------------------------


def plain_daemon(daemon: PlayedDaemon, tty: bool = False) -> None:
    """create, attach, wait, start as dockerd answers them."""

    def attach(request: Request) -> None:
        kind = "raw" if tty else "multiplexed"
        request.upgrade(Content_Type=f"application/vnd.docker.{kind}-stream")
        got = request.received()
        request.sock.sendall(frame(STDOUT, b"got " + got) + frame(STDERR, b"e"))

    daemon.play |= {
        "POST /containers/create": lambda request: request.reply('{"Id":"abc","Warnings":["careful"]}', 201),
        "POST /containers/abc/attach": attach,
        "POST /containers/abc/wait": lambda request: request.reply('{"StatusCode":9}'),
        "POST /containers/abc/start": lambda request: request.reply("", 204),
    }


def test_a_run_on_dockers_daemon_takes_dockers_requests(daemon: PlayedDaemon, tmp_path: Path):
    plain_daemon(daemon)
    done = call("run", "-i", "--rm", "--name", "x", "img", config=tmp_path, host=daemon.host, stdin=b"in")
    assert (done.stdout, done.stderr, done.returncode) == (b"got in", b"WARNING: careful\ne", 9)
    assert [request.target for request in daemon.server.requests] == [
        "/nn/run",
        "/containers/create?name=x",
        "/containers/abc/wait?condition=removed",
        "/containers/abc/attach?stream=1&stdin=1&stdout=1&stderr=1",
        "/containers/abc/start",
    ]


def test_with_its_input_alone_it_prints_the_id_and_goes(daemon: PlayedDaemon, tmp_path: Path):
    got: list[bytes] = []
    read = threading.Event()

    def attach(request: Request) -> None:
        request.upgrade(Content_Type="application/vnd.docker.multiplexed-stream")
        while data := request.sock.recv(1024):
            got.append(data)
        read.set()
        daemon.over.wait(60)  # the program runs on

    plain_daemon(daemon)
    daemon.play["POST /containers/abc/attach"] = attach
    done = call("run", "-i", "-a", "stdin", "img", config=tmp_path, host=daemon.host, stdin=b"in")
    read.wait(60)
    daemon.over.set()
    assert (done.stdout, done.returncode, b"".join(got)) == (b"abc\n", 0, b"in")
    targets = [request.target for request in daemon.server.requests]
    assert "/containers/abc/attach?stream=1&stdin=1" in targets and "/nn/run" not in targets


def test_detached_and_attached_exclude_each_other(tmp_path: Path):
    done = call("run", "-d", "-a", "stdout", "img", config=tmp_path, host="unix:///none")
    assert (done.returncode, b"Conflicting options: -a and -d" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--dns 127.0.0.1 --dns ::1", [b"WARNING: Localhost DNS setting (--dns=127.0.0.1) may fail"]),
        ("--dns 1.1.1.1 --dns ::1", [b"WARNING: Localhost DNS setting (--dns=::1) may fail"]),
        ("--dns 1.1.1.1 --oom-kill-disable -m 9m", []),
        ("--oom-kill-disable", [b"WARNING: Disabling the OOM killer"]),
    ],
)
def test_it_warns_as_docker_does(tmp_path: Path, flags: str, said: list[bytes]):
    done = call("run", *flags.split(), "img", config=tmp_path, host="unix:///none")
    lines = [line for line in done.stderr.splitlines() if line.startswith(b"WARNING")]
    assert [line[: len(text)] for line, text in zip(lines, said, strict=True)] == said


def test_detached_it_prints_the_id(daemon: PlayedDaemon, tmp_path: Path):
    plain_daemon(daemon)
    done = call("run", "-d", "img", config=tmp_path, host=daemon.host)
    assert (done.stdout, done.returncode) == (b"abc\n", 0)
    body = json.loads(daemon.server.requests[0].body)
    assert not any(body.get(name) for name in ("AttachStdin", "AttachStdout", "AttachStderr"))


def test_exec_ends_with_the_programs_status(daemon: PlayedDaemon, tmp_path: Path):
    def start(request: Request) -> None:
        request.upgrade(Content_Type="application/vnd.docker.multiplexed-stream")
        request.sock.sendall(frame(STDOUT, b"hi ") + frame(STDOUT, request.received()))

    daemon.play |= {
        "POST /containers/box/exec": lambda request: request.reply('{"Id":"e1"}', 201),
        "POST /exec/e1/start": start,
        "GET /exec/e1/json": lambda request: request.reply('{"ExitCode":4,"Running":false}'),
    }
    done = call(
        "exec", "-i", "-u", "1", "-e", "A=1", "box", "cat", "-", config=tmp_path, host=daemon.host, stdin=b"x"
    )
    assert (done.stdout, done.returncode) == (b"hi x", 4)
    body = json.loads(daemon.server.requests[0].body)
    assert (body["Cmd"], body["User"], body["Env"], body["AttachStdin"]) == (["cat", "-"], "1", ["A=1"], True)


@pytest.mark.parametrize(
    ("state", "said"),
    [({"Running": False}, b"nn start -ai box"), ({"Running": True, "Paused": True}, b"nn unpause box")],
)
def test_attach_says_why_it_cannot(daemon: PlayedDaemon, tmp_path: Path, state: dict[str, bool], said: bytes):
    document = json.dumps({"Id": "abc", "State": state, "Config": {}})
    daemon.play["GET /containers/box/json"] = lambda request: request.reply(document)
    done = call("attach", "box", config=tmp_path, host=daemon.host)
    assert (done.returncode, said in done.stderr) == (1, True)


def test_logs_split_the_streams_and_follow(daemon: PlayedDaemon, tmp_path: Path):
    def logs(request: Request) -> None:
        kind = "application/vnd.docker.multiplexed-stream"
        request.sock.sendall(
            f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for data in (frame(STDOUT, b"one\n"), frame(STDERR, b"two\n")):
            request.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))
        request.sock.sendall(b"0\r\n\r\n")

    daemon.play["GET /containers/box/logs"] = logs
    done = call(
        "logs", "-f", "--tail", "5", "--since", "1700000000", "box", config=tmp_path, host=daemon.host
    )
    assert (done.stdout, done.stderr) == (b"one\n", b"two\n")
    assert daemon.server.requests[0].target.endswith("?stdout=1&stderr=1&follow=1&tail=5&since=1700000000")
