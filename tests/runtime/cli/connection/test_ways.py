"""The ways to a real daemon: TCP with certificates on both sides, and ssh through a real sshd."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.certificates import make_certificates
from tests.runtime.cli.nn_process import START
from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon, running_daemon
from tests.runtime.free_ports import free_port
from tests.runtime.terminals import Terminal
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")]

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")
QUIET = ("run", "--rm", "--network", "none")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def daemon(certificates: Path) -> Iterator[Daemon]:
    """A daemon on a unix socket and on TCP with mutual TLS."""
    pem = {"cacert": "ca.pem", "cert": "server-cert.pem", "key": "server-key.pem"}
    flags = [f"--tls{name}={certificates / file}" for name, file in pem.items()]
    with running_daemon("--host", "tcp://127.0.0.1:0", "--tlsverify", *flags) as made:
        yield made


@pytest.fixture(scope="module")
def port(daemon: Daemon) -> int:
    return int(daemon.ready.partition("tcp://127.0.0.1:")[2].split()[0])


@pytest.fixture
def nn(daemon: Daemon, tmp_path: Path) -> Client:
    """A client without a daemon of its own: flags and contexts say which."""
    made = Client("nn", daemon)
    kept = {key: value for key, value in made.environment.items() if key not in ("NN_HOST", "DOCKER_HOST")}
    made.environment = kept | {"NN_CONFIG": str(tmp_path / "config")}
    return made


def whole_way(nn: Client, *way: str) -> None:
    """What a way has to carry: an exit status, input with its end, an output of size, a terminal."""
    assert nn(*way, *QUIET, "busybox", "sh", "-c", "echo out; exit 5", status=5) == "out\n"
    data = os.urandom(3 << 20)
    out = nn(*way, *QUIET, "-i", "busybox", "sha256sum", stdin=data)
    assert out.split()[0] == hashlib.sha256(data).hexdigest()
    back = nn.run(*way, *QUIET, "-i", "busybox", "cat", stdin=data).stdout
    assert back == data
    terminal = Terminal(
        [*nn.line, *way, *QUIET, "-it", "busybox", "sh", "-c", "stty size; exit 3"], nn.environment
    )
    assert (terminal.end(), terminal.seen) == (3, b"24 80\r\n")


# ---- TLS -------------------------------------------------------------------------------------------------


def test_over_tls_by_flags_and_by_a_context(nn: Client, certificates: Path, port: int):
    host = f"tcp://127.0.0.1:{port}"
    files = {
        name: certificates / file for name, file in (("cert", "client-cert.pem"), ("key", "client-key.pem"))
    }
    flags = [
        f"--tlscacert={certificates}/ca.pem",
        *(f"--tls{name}={path}" for name, path in files.items()),
    ]
    whole_way(nn, "-H", host, "--tlsverify", *flags)
    pem = ",".join(f"{name}={path}" for name, path in (("ca", certificates / "ca.pem"), *files.items()))
    nn("context", "create", "far", "--docker", f"host={host},{pem}")
    nn("context", "use", "far")
    whole_way(nn)
    nn("run", "-d", "--name", "box", "--network", "none", "busybox", "sleep", "600")
    assert nn("exec", "-i", "box", "cat", stdin=b"through exec") == "through exec"
    unread = ("head -c 10 >/dev/null; head -c 1000000 /dev/zero; exit 5", os.urandom(20 << 20))
    for _ in range(4):
        done = nn.run("exec", "-i", "box", "sh", "-c", unread[0], stdin=unread[1])
        assert (done.returncode, len(done.stdout), done.stderr) == (5, 1_000_000, b"")
    assert nn("logs", "box") == ""
    nn("rm", "-f", "box")


def test_over_tls_without_a_certificate_is_refused(nn: Client, certificates: Path, port: int):
    said = nn.refused(
        "-H", f"tcp://127.0.0.1:{port}", "--tlsverify", f"--tlscacert={certificates}/ca.pem", "ps"
    )
    assert said.startswith("nn: ") and "Traceback" not in said


# ---- ssh -------------------------------------------------------------------------------------------------


@pytest.fixture
def far(tmp_path: Path, daemon: Daemon) -> Iterator[Path]:
    """An sshd on the loopback that lets our key in; yields a program to use in place of ssh."""
    if SSHD is None or shutil.which("ssh") is None:
        pytest.skip("needs an sshd: apt-get install openssh-server")
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    (tmp_path / "mine.pub").rename(tmp_path / "authorized")
    (tmp_path / "start.py").write_text(START)
    script(tmp_path / "bin/nn", f'exec {sys.executable} -SEI {tmp_path}/start.py "$@"')
    port = free_port()
    settings = {
        "Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "UsePAM": "no",
        "AuthorizedKeysFile": tmp_path / "authorized", "StrictModes": "no", "PidFile": "none",
        "SetEnv": f"PATH={tmp_path}/bin:/usr/bin:/bin NN_HOST={daemon.host}",
    }  # fmt: skip
    (tmp_path / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    options = f"-o UserKnownHostsFile={tmp_path}/known -o StrictHostKeyChecking=no -o LogLevel=ERROR"
    script(tmp_path / "ssh", f'exec ssh -F none -i {tmp_path}/mine {options} "$@"')
    with (
        separated(),
        subprocess.Popen([SSHD, "-D", "-e", "-f", tmp_path / "sshd_config"], stderr=-3) as server,
    ):
        try:
            eventually(lambda: listens(port))
            yield tmp_path / "ssh"
        finally:
            server.terminate()


@contextlib.contextmanager
def separated() -> Iterator[None]:
    """The directory that sshd wants for itself, which systems without one running may not have."""
    directory = Path("/run/sshd")
    ours = not directory.exists()
    directory.mkdir(mode=0o755, exist_ok=True)
    yield
    if ours:
        directory.rmdir()


def script(path: Path, line: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False


def test_over_ssh(nn: Client, far: Path, tmp_path: Path):
    text = (tmp_path / "sshd_config").read_text()
    port = text.partition("Port ")[2].split()[0]
    nn.environment = {**nn.environment, "NN_SSH": str(far)}
    whole_way(nn, "-H", f"ssh://root@127.0.0.1:{port}")
    nn("context", "create", "far", "--docker", f"host=ssh://root@127.0.0.1:{port}")
    assert "busybox" in nn("-c", "far", "images")
