"""The daemon's process: start, end, kill, restart, and access to its socket."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.api.daemon.configuration import configuration
from runtime.api.daemon.flags import parser
from runtime.api.nnd import options_of
from tests.runtime.certificates import make_certificates
from tests.runtime.daemon_process import Daemon, add_busybox, running_daemon, settled

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]


@pytest.fixture(scope="module")
def mortal() -> Iterator[Daemon]:
    with running_daemon(checked=False) as daemon:
        yield daemon


@pytest.fixture
def own(mortal: Daemon) -> Iterator[Daemon]:
    """A daemon of this file alone, that a test may kill if it starts it again."""
    yield mortal
    mortal.remove_containers()


def nnd(*flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.api.nnd", *flags], capture_output=True, text=True, timeout=120
    )


def test_a_second_daemon_on_the_same_root_is_refused_and_the_first_is_named(own: Daemon):
    said = nnd("--root", str(own.root), "--host", f"unix://{own.socket}2")
    assert said.returncode == 1
    assert re.search(rf"\b{own.pid}\b", said.stderr)
    assert said.stdout == ""
    other = tempfile.mkdtemp(prefix="nnd-test-")
    try:
        said = nnd("--root", other, "--host", own.host)
        assert said.returncode == 1
        assert str(own.socket) in said.stderr
    finally:
        shutil.rmtree(other)
    assert own.docker("ps", "-q") == ""


def test_a_signal_stops_it_with_its_containers_and_answers_who_waits(own: Daemon):
    command = ("run", "--stop-timeout", "1", "busybox", "sleep", "60")
    client = own.docker_start(*command, stdin=subprocess.DEVNULL)
    while own.docker("ps", "-q") == "":
        pass
    id_ = own.docker("ps", "-q").strip()
    others = [own.docker_start(*line, stdin=subprocess.DEVNULL) for line in (["events"], ["logs", "-f", id_])]
    with socket.socket(socket.AF_UNIX) as waiting, socket.socket(socket.AF_UNIX) as half:
        half.connect(str(own.socket))
        half.sendall(b"POST /images/load HTTP/1.1\r\nHost: d\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        waiting.connect(str(own.socket))
        waiting.sendall(f"POST /containers/{id_}/wait HTTP/1.1\r\nHost: d\r\n\r\n".encode())
        assert b"200 OK" in waiting.recv(4096)
        assert own.terminate(signal.SIGTERM) == 0
        assert b'"StatusCode":137' in waiting.recv(4096)
    for one in (client, *others):
        one.communicate(timeout=60)
    assert client.returncode == 137
    assert "Traceback" not in own.log.read_text()
    assert not own.socket.exists()
    own.start()
    assert own.docker("ps", "-a", "--format", "{{.State}}") == "exited\n"


def test_after_kill_9_containers_run_on_and_are_taken_up_again(own: Daemon):
    script = "n=0; while :; do echo $n; n=$((n+1)); sleep 0.05; done"
    id_ = own.docker("run", "-d", "--name", "on", "busybox", "sh", "-c", script).strip()
    pid = own.docker("inspect", "-f", "{{.State.Pid}}", "on").strip()
    own.terminate(signal.SIGKILL)
    assert Path(f"/proc/{pid}").exists()
    own.start()
    assert own.docker("ps", "-q", "--no-trunc").strip() == id_
    assert own.docker("inspect", "-f", "{{.State.Pid}}", "on").strip() == pid
    assert own.docker("exec", "on", "echo", "here") == "here\n"
    own.docker("kill", "on")
    assert own.docker("wait", "on") == "137\n"
    numbers = [int(line) for line in own.docker("logs", "on").split()]
    assert numbers == list(range(len(numbers))), "no line of the log may be lost or doubled"
    own.docker("rm", "on")


def test_with_live_restore_containers_outlive_a_stop_and_experimental_is_shown_to_clients():
    with running_daemon("--live-restore", "--experimental", checked=False) as daemon:
        assert daemon.docker("version", "--format", "{{.Server.Experimental}}") == "true\n"
        made = daemon.docker(
            "build", "-q", "--squash", "-", stdin="FROM busybox\nRUN > /a\nRUN > /b\n"
        ).strip()
        assert daemon.docker("inspect", "-f", "{{len .RootFS.Layers}}", made) == "2\n"
        daemon.docker("run", "-d", "--name", "on", "busybox", "sleep", "60")
        assert daemon.terminate() == 0
        daemon.start()
        assert daemon.docker("inspect", "-f", "{{.State.Running}}", "on") == "true\n"
        daemon.docker("rm", "-f", "on")
        assert daemon.terminate() == 0  # nothing runs, so nothing is left, the spawner neither


def test_a_killed_daemon_and_spawner_leave_nothing_that_the_next_does_not_free(own: Daemon):
    own.docker("run", "-d", "--name", "lost", "busybox", "sleep", "60")
    spawner = own.spawner_pid
    os.kill(spawner, signal.SIGKILL)
    own.terminate(signal.SIGKILL)
    own.start()
    assert own.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "lost") == "exited 137\n"
    own.docker("rm", "lost")


def test_tls_lets_in_who_has_a_certificate_and_input_may_end_first(tmp_path: Path):
    certificates = make_certificates(tmp_path)
    flags = ["--host=tcp://127.0.0.1:0", "--tlsverify"]
    for flag, name in (("tlscacert", "ca"), ("tlscert", "server-cert"), ("tlskey", "server-key")):
        flags.append(f"--{flag}={certificates / name}.pem")
    with running_daemon(*flags, checked=False) as daemon:
        port = daemon.ready.partition("tcp://127.0.0.1:")[2].split()[0]
        mine = ["-H", f"tcp://localhost:{port}", "--tlsverify", f"--tlscacert={certificates / 'ca.pem'}"]
        ours = [f"--tlscert={certificates}/client-cert.pem", f"--tlskey={certificates}/client-key.pem"]
        strange = [f"--tlscert={certificates}/strange-cert.pem", f"--tlskey={certificates}/strange-key.pem"]
        assert daemon.docker(*mine, *ours, "run", "--rm", "-i", "busybox", "cat", stdin="in") == "in"
        data = b"x" * (4 << 20)
        done = daemon.docker_run(*mine, *ours, "run", "--rm", "-i", "busybox", "cat", stdin=data)
        assert done.stdout == data
        assert daemon.docker_run(*mine, *strange, "ps").returncode != 0
        assert daemon.docker_run("-H", f"tcp://localhost:{port}", "ps").returncode != 0


def test_systemd_is_notified_and_a_process_id_is_written(tmp_path: Path):
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(base / "notify"))
        systemd.settimeout(60)
        os.environ["NOTIFY_SOCKET"] = str(base / "notify")
        daemon = Daemon(base, "--pidfile", str(base / "pid"), checked=False)
        try:
            add_busybox(daemon.root)
            daemon.start()
            assert systemd.recv(100) == b"READY=1"
            assert (base / "pid").read_text() == f"{daemon.pid}\n"
            assert daemon.terminate(signal.SIGINT) == 0
            daemon.stop()
            assert systemd.recv(100) == b"STOPPING=1"
            assert not (base / "pid").exists()
        finally:
            del os.environ["NOTIFY_SOCKET"]
            shutil.rmtree(base)


def test_wrong_use_is_reported_in_one_line():
    for flags, word in (
        (["--host", "tcp://0.0.0.0:1"], "--tlsverify"),
        (["--host", "nonsense"], "unix:///PATH"),
        (["--tlsverify", "--tlscert", "/none"], "--tlscert"),
        (["--registry-mirror", "hub.example"], "http://HOST"),
        (["--registry-mirror", "http://hub.example/path"], "http://HOST"),
    ):
        said = nnd(*flags)
        assert said.returncode == 2
        assert word in said.stderr
        assert "Traceback" not in said.stderr


def test_a_start_that_fails_leaves_no_spawner():
    base = Path(tempfile.mkdtemp(prefix="nnd-test-"))
    try:
        said = nnd("--root", str(base / "root"), "--host", f"unix://{base}/s", "--bip=127.0.0.1/8")
        assert said.returncode == 1
        assert "127.0.0.1" in said.stderr
        assert not settled(base / "root", set())
    finally:
        shutil.rmtree(base)


def test_without_root_it_says_so():
    program = "import os, sys; os.geteuid = lambda: 1000; from runtime.api.nnd import main; sys.exit(main())"
    said = subprocess.run(
        [sys.executable, "-c", program, "--root", "/nowhere"], capture_output=True, text=True
    )
    assert said.returncode == 1
    assert re.fullmatch("nnd: .*sudo\n", said.stderr)


def test_a_mirror_is_a_host_and_plain_where_it_says_http():
    flags = ["--registry-mirror", "http://127.0.0.1:5000", "--registry-mirror", "https://m.example/"]
    options = options_of(configuration(parser().parse_args(flags)))
    assert options.mirrors == ("127.0.0.1:5000", "m.example")
    assert options.insecure == ("127.0.0.1:5000",)


def test_containers_do_not_inherit_what_keeps_the_daemon_from_the_oom_killer():
    mine = Path("/proc/self/oom_score_adj")
    before = mine.read_text()
    mine.write_text("200")
    try:
        with running_daemon(checked=False) as daemon:
            assert Path(f"/proc/{daemon.pid}/oom_score_adj").read_text() == "200\n"
            assert daemon.docker("run", "--rm", "busybox", "cat", str(mine)) == "0\n"
    finally:
        mine.write_text(before)
