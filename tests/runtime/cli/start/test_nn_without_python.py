"""The start of `nn` in C against the Python client: the same words, requests, output and statuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.docker_syntax.frames import END, SIGNAL, STDERR, STDOUT, frame
from tests.runtime.cli.nn_process import LINE, compile_nn, environment
from tests.runtime.cli.played_daemon import END_0, PlayedDaemon, end, read_frame
from tests.runtime.tiny_server import Request

Done = tuple[int, bytes, bytes]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, without a Python to leave anything to."""
    target = tmp_path_factory.mktemp("alone") / "nn"
    compile_nn(target, "/nonexistent/python")
    return target


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It, as it is installed."""
    target = tmp_path_factory.mktemp("whole") / "nn"
    compile_nn(target, LINE[0])
    return target


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("front")


@pytest.fixture(scope="module")
def daemon(place: Path) -> Iterator[PlayedDaemon]:
    made = PlayedDaemon(place / "s")
    yield made
    made.server.close()


def run(program: Path | None, daemon: PlayedDaemon, *words: str, **more: str) -> Done:
    """Call it, or the Python client for None."""
    line = [program, *words] if program else [*LINE, *words]
    env = environment(Path("/nonexistent"), daemon.host, **more)
    done = subprocess.run(line, capture_output=True, timeout=120, env=env, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout, done.stderr


def asked(daemon: PlayedDaemon) -> object:
    """The last request's body, without what says nothing."""
    return without_nothing(json.loads(daemon.server.requests[-1].body))


def without_nothing(value: object) -> object:
    if isinstance(value, dict):
        return {name: without_nothing(one) for name, one in value.items() if one not in ("", False)}
    return value


# ---- what it does by itself ------------------------------------------------------------------------------


def test_output_goes_where_it_belongs_and_the_status_is_the_programs(alone: Path, daemon: PlayedDaemon):
    big = os.urandom(1 << 20)

    def program(request: Request) -> None:
        request.sock.sendall(frame(STDOUT, b"out") + frame(STDERR, b"err") + frame(STDOUT, b""))
        for byte in frame(STDERR, b"slow"):
            request.sock.sendall(bytes((byte,)))
        request.sock.sendall(frame(STDOUT, big) + frame(9, b"unknown") + end(7))

    daemon.run(program)
    for client in (alone, None):
        assert run(client, daemon, "run", "--rm", "img", "true") == (7, b"out" + big, b"errslow")


@pytest.mark.parametrize(
    ("last", "done"),
    [
        (END_0, (0, b"", b"")),
        (frame(END, b'{"StatusCode":137,"Error":""}'), (137, b"", b"")),
        (end(125, 'it "failed"\\ badly'), (125, b"", b'nn: it "failed"\\ badly\n')),
        (end(0, "lost"), (125, b"", b"nn: lost\n")),
    ],
)
def test_the_end_is_reported(alone: Path, daemon: PlayedDaemon, last: bytes, done: Done):
    daemon.run(lambda request: request.sock.sendall(last))
    for client in (alone, None):
        assert run(client, daemon, "run", "--rm", "img") == done


def test_a_connection_that_ends_is_an_error_and_the_program_is_not_run_again(
    whole: Path, daemon: PlayedDaemon
):
    for play in (daemon.run, lambda play: daemon.play.update({"POST /nn/run": play})):
        play(lambda request: request.sock.shutdown(2))
        before = len(daemon.server.requests)
        status, _, said = run(whole, daemon, "run", "--rm", "img")
        assert (status, said.startswith(b"nn: ")) == (1, True)
        assert b"connection ended before" in said
        assert len(daemon.server.requests) == before + 1


def test_signals_are_the_programs(alone: Path, daemon: PlayedDaemon):
    got: list[tuple[int, bytes]] = []

    def program(request: Request) -> None:
        request.sock.sendall(frame(STDOUT, b"."))
        got.extend(read_frame(request) for _ in range(4))
        request.sock.sendall(end(3))

    daemon.run(program)
    env = environment(Path("/nonexistent"), daemon.host)
    line = [alone, "run", "--rm", "img"]
    numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, 34]
    with subprocess.Popen(line, stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None and process.stdout.read(1) == b"."
        for at, number in enumerate(numbers):
            process.send_signal(number)
            while len(got) == at and process.poll() is None and at < 3:
                pass
        assert process.wait(60) == 3
    assert got == [(SIGNAL, bytes((number,))) for number in numbers]


def test_a_reader_that_left_ends_it(alone: Path, daemon: PlayedDaemon):
    def program(request: Request) -> None:
        while True:
            request.sock.sendall(frame(STDOUT, b"y\n" * 4096))

    daemon.run(program)
    for client in ([str(alone)], LINE):
        process = subprocess.Popen(
            [*client, "run", "--rm", "img"],
            stdout=subprocess.PIPE,
            env=environment(Path("/nonexistent"), daemon.host),
        )
        assert process.stdout is not None and process.stdout.read(2) == b"y\n"
        process.stdout.close()
        assert process.wait(60) == 141


def test_closed_descriptors_are_not_taken_for_the_socket(alone: Path, daemon: PlayedDaemon):
    daemon.run(lambda request: request.sock.sendall(frame(STDOUT, b"lost") + frame(STDERR, b"seen") + end(4)))
    line = f"exec '{alone}' run --rm img <&- >&-"
    done = subprocess.run(
        line, shell=True, env=environment(Path("/nonexistent"), daemon.host), stderr=subprocess.PIPE
    )
    assert (done.returncode, done.stderr) == (4, b"seen")


# ---- the same requests -----------------------------------------------------------------------------------

TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
WORD = TEXT.filter(lambda text: not text.startswith("-") and "=" not in text)
NUMBER = st.integers(0, 999_999_999).map(str)
NAME = st.from_regex(r"[A-Za-z_]{1,6}", fullmatch=True)


def flag(name: str, value: st.SearchStrategy[str], letter: str = "") -> st.SearchStrategy[list[str]]:
    forms = [
        value.map(lambda text: [f"--{name}", text]),
        value.map(lambda text: [f"--{name}={text}"]),
    ]
    return st.one_of(forms + [value.map(lambda text: [f"-{letter}", text])] * bool(letter))


FLAGS = st.one_of(
    *(st.just([f"--{name}"]) for name in ("init", "privileged", "read-only")),
    *(flag(name, TEXT, letter) for name, letter in (("hostname", "h"), ("user", "u"), ("workdir", "w"))),
    *(flag(name, TEXT) for name in ("name", "cpuset-cpus", "cap-add", "cap-drop")),
    flag("network", WORD),
    flag("cpu-shares", NUMBER, "c"),
    flag("pids-limit", NUMBER),
    flag("env", st.tuples(NAME, TEXT | st.just("")).map("=".join), "e"),
)


@pytest.mark.programs
@settings(max_examples=60, deadline=None)
@given(
    flags=st.lists(FLAGS, max_size=6, unique_by=lambda one: one[0].partition("=")[0]),
    more=st.lists(flag("env", st.tuples(NAME, TEXT).map("=".join), "e"), max_size=3),
    command=st.lists(TEXT | st.just("--rm") | st.just(""), max_size=4),
    image=WORD,
)
def test_both_ask_the_same(
    whole: Path,
    daemon: PlayedDaemon,
    flags: list[list[str]],
    more: list[list[str]],
    command: list[str],
    image: str,
):
    daemon.run(lambda request: request.sock.sendall(END_0))
    words = ["run", *(word for one in (*flags, ["--rm"], *more) for word in one), image, *command]
    assert run(whole, daemon, *words) == (0, b"", b"")
    ours = asked(daemon)
    assert run(None, daemon, *words) == (0, b"", b"")
    assert ours == asked(daemon)


@pytest.mark.parametrize(
    "words",
    [
        ("--init", "--rm", "--name=x", "-e", "A=b", "--network", "none", "img", "sh", "-c", 'echo "$A" \\'),
        ("--rm", "img"),
    ],
)
def test_the_everyday_needs_no_python(alone: Path, daemon: PlayedDaemon, words: tuple[str, ...]):
    daemon.run(lambda request: request.sock.sendall(END_0))
    assert run(alone, daemon, "run", *words) == (0, b"", b"")


def test_a_flag_names_the_daemon_before_the_environment_does(alone: Path, daemon: PlayedDaemon):
    daemon.run(lambda request: request.sock.sendall(END_0))
    for name in ("-H", "--host"):
        words = (name, daemon.host, "run", "--rm", "img")
        assert run(alone, daemon, *words, NN_HOST="unix:///nowhere", NN_CONTEXT="other") == (0, b"", b"")


# ---- what is Python's ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("ps",),
        (),
        ("run",),
        ("run", "--rm"),
        ("run", "img"),
        ("run", "-d", "--rm", "img"),
        ("run", "--rm", "-it", "img"),
        ("run", "--rm=false", "img"),
        ("run", "--rm", "--", "img"),
        ("run", "--rm", "-eA=b", "img"),
        ("run", "--rm", "-e", "A", "img"),
        ("run", "--rm", "-e", "=b", "img"),
        ("run", "--rm", "--name", "a", "--name", "b", "img"),
        ("run", "--rm", "--network", "name=a", "img"),
        ("run", "--rm", "--cpu-shares", "010", "img"),
        ("run", "--rm", "--cpu-shares=", "img"),
        ("run", "--rm", "--help"),
        ("run", "--rm", "-v", "/a:/b", "img"),
        ("run", "--rm", "img", "hellö"),
        ("run", "--rm", "img", "x" * 70_000),
        ("-H", "unix:///nowhere", "run", "--rm", "img"),
        ("-H", "tcp://127.0.0.1:1", "run", "--rm", "img"),
        ("-H", "run"),
        ("-c", "other", "run", "--rm", "img"),
    ],
)
def test_the_rest_is_pythons(alone: Path, daemon: PlayedDaemon, words: tuple[str, ...]):
    said = b"nn: start /nonexistent/python: No such file or directory; install ninetynine again\n"
    before = len(daemon.server.requests)
    assert run(alone, daemon, *words) == (125, b"", said)
    assert len(daemon.server.requests) == before


@pytest.mark.parametrize(
    "more",
    [
        {"NN_HOST": "tcp://127.0.0.1:1"},
        {"NN_HOST": "unix://relative"},
        {"NN_HOST": "unix:///nowhere"},
        {"NN_HOST": "unix:///" + "x" * 200},
        {"NN_HOST": "", "NN_CONTEXT": "other"},
        {"DOCKER_API_VERSION": "1.43"},
    ],
)
def test_other_ways_to_a_daemon_are_pythons(alone: Path, daemon: PlayedDaemon, more: dict[str, str]):
    assert run(alone, daemon, "run", "--rm", "img", **more)[0] == 125


@pytest.mark.parametrize("variable", ["NN_CONFIG", "XDG_CONFIG_HOME", "HOME"])
def test_a_context_in_use_is_pythons(alone: Path, daemon: PlayedDaemon, tmp_path: Path, variable: str):
    below = {"NN_CONFIG": "", "XDG_CONFIG_HOME": "ninetynine", "HOME": ".config/ninetynine"}[variable]
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    (tmp_path / below / "current").write_text("other\n")
    more = {"NN_CONFIG": "", "XDG_CONFIG_HOME": "", "NN_HOST": ""} | {variable: str(tmp_path)}
    assert b"start /nonexistent" in run(alone, daemon, "run", "--rm", "img", **more)[2]


def test_a_refusal_is_reported_by_python(whole: Path, daemon: PlayedDaemon):
    daemon.play["POST /nn/run"] = lambda request: request.reply('{"message":"no such network: n"}', 404)
    words = ("run", "--rm", "--network", "n", "img")
    assert run(whole, daemon, *words) == run(None, daemon, *words) == (125, b"", b"nn: no such network: n\n")


def test_a_missing_image_is_pulled(whole: Path, daemon: PlayedDaemon):
    pulled: list[str] = []

    def program(request: Request) -> None:
        if not pulled:
            request.reply('{"message":"No such image: img:latest"}', 404)
            return
        request.upgrade(Nn_Container="c" * 64)
        request.sock.sendall(frame(STDOUT, b"ran") + END_0)

    def pull(request: Request) -> None:
        pulled.append(request.target)
        request.reply('{"status":"done"}\n')

    daemon.play["POST /nn/run"] = program
    daemon.play["POST /images/create"] = pull
    status, out, said = run(whole, daemon, "run", "--rm", "img")
    assert (status, out, len(pulled)) == (0, b"ran", 1)
    assert b"Unable to find image 'img:latest' locally" in said
