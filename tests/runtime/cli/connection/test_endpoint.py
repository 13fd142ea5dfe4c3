"""Which daemon is asked, and the ways there: unix, TCP, TLS with certificates, ssh."""

from __future__ import annotations

import json
import shutil
import ssl
import stat
from pathlib import Path

import pytest

from runtime.cli.connection.client import find
from runtime.cli.connection.endpoint import DEFAULT_HOST
from runtime.cli.errors import CliError
from runtime.docker_syntax.frames import END, STDIN, STDOUT, frame
from tests.runtime.certificates import make_certificates
from tests.runtime.cli.nn_process import LINE, call
from tests.runtime.tiny_server import Request, on_tcp, on_unix


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[bytes, bytes]:
    """A process environment of our own, with an empty configuration directory."""
    made = {b"NN_CONFIG": str(tmp_path / "config").encode(), b"HOME": str(tmp_path).encode()}
    monkeypatch.setattr("posix.environ", made)
    return made


def stored(config: Path, name: str, host: str) -> None:
    done = call("context", "create", name, "--docker", f"host={host}", config=config)
    assert done.returncode == 0, done.stderr


def test_flags_go_before_variables_and_these_before_the_context_in_use(
    environ: dict[bytes, bytes], tmp_path: Path
):
    config = tmp_path / "config"
    assert find().host == DEFAULT_HOST
    stored(config, "far", "ssh://far")
    stored(config, "near", "unix:///near")
    (config / "current").write_text("far\n")
    assert find().host == "ssh://far"
    environ[b"DOCKER_CONTEXT"] = b"near"
    assert find().host == "unix:///near"
    environ[b"DOCKER_HOST"] = b"unix:///dockers"
    assert find().host == "unix:///dockers"
    environ[b"NN_HOST"] = b"unix:///ours"
    assert find().host == "unix:///ours"
    assert find(context="far").host == "ssh://far"
    assert find(host="tcp://flag").host == "tcp://flag"
    with pytest.raises(CliError, match=r"-H.*-c"):
        find(host="tcp://flag", context="far")


def test_dockers_tls_variables(environ: dict[bytes, bytes]):
    environ |= {b"DOCKER_HOST": b"tcp://x:2376", b"DOCKER_TLS_VERIFY": b"1", b"DOCKER_CERT_PATH": b"/certs"}
    found = find()
    assert (found.tls, found.verify, found.ca, found.key) == (True, True, "/certs/ca.pem", "/certs/key.pem")


@pytest.mark.parametrize(
    "host", ["nonsense", "unix://relative", "ftp://x", "tcp://", "tcp://x:port", "ssh://-oX"]
)
def test_what_is_not_an_address_is_refused_with_the_forms(tmp_path: Path, host: str):
    done = call("ps", config=tmp_path, host=host)
    assert done.returncode == 125
    assert b"unix:///PATH, tcp://HOST[:PORT] or ssh://" in done.stderr


# ---- contexts ----------------------------------------------------------------------------------------------


def test_contexts_are_created_listed_used_changed_and_removed(tmp_path: Path):
    stored(tmp_path, "far", "ssh://admin@far:22")
    listed = call("context", "ls", "--json", config=tmp_path)
    assert [one["Name"] for one in json.loads(listed.stdout)] == ["default", "far"]
    assert call("context", "use", "far", config=tmp_path).stdout == b"far\n"
    assert call("context", "show", config=tmp_path).stdout == b"far\n"
    assert b"far *" in call("context", "ls", config=tmp_path).stdout
    assert call("context", "update", "far", "--docker", "host=unix:///x", config=tmp_path).returncode == 0
    shown = call("context", "inspect", "-f", "{{.Endpoints.docker.Host}}", config=tmp_path)
    assert shown.stdout == b"unix:///x\n"
    refused = call("context", "rm", "far", config=tmp_path)
    assert (refused.returncode, b"is in use" in refused.stderr) == (1, True)
    assert call("context", "rm", "-f", "far", config=tmp_path).returncode == 0
    assert call("context", "show", config=tmp_path).stdout == b"default\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("create", "../x"), b"'../x'"),
        (("create", "default"), b"already exists"),
        (("create", "x", "--docker", "port=1"), b"host=ADDRESS"),
        (("create", "x", "--docker", "host=nope"), b"unix:///PATH"),
        (("create", "x", "--docker", "host=tcp://x,ca=/no/such"), b"/no/such"),
        (("use", "nowhere"), b"nowhere; `nn context ls`"),
        (("rm", "nowhere"), b"nowhere; `nn context ls`"),
        (("rm", "default"), b"cannot be removed"),
    ],
)
def test_contexts_that_cannot_be(tmp_path: Path, words: tuple[str, ...], said: bytes):
    done = call("context", *words, config=tmp_path)
    assert (done.returncode, said in done.stderr) == (1, True), done.stderr


def test_a_context_that_is_gone_is_reported_and_can_be_left(tmp_path: Path):
    (tmp_path / "current").write_text("gone")
    assert b"gone; `nn context ls`" in call("ps", config=tmp_path).stderr
    assert call("context", "use", "default", config=tmp_path).returncode == 0


def test_one_client_talks_to_several_daemons(tmp_path: Path):
    servers = []
    for name in ("one", "two"):
        document = json.dumps([{"Id": name * 12, "Names": [f"/{name}"], "Created": 1, "Image": "i"}])
        servers.append(on_unix(tmp_path / name, lambda request, document=document: request.reply(document)))
        stored(tmp_path / "config", name, f"unix://{tmp_path / name}")
    for name in ("one", "two"):
        done = call("-c", name, "ps", "--format", "{{.Names}}", config=tmp_path / "config")
        assert done.stdout == f"{name}\n".encode()
        done = call("-H", f"unix://{tmp_path / name}", "ps", "-q", config=tmp_path / "config")
        assert done.stdout == (name * 12)[:12].encode() + b"\n"
    for server in servers:
        server.close()


# ---- TCP and TLS -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def echo(request: Request) -> None:
    """Give a run's input back, once it has ended: what a half-closed connection must carry."""
    request.upgrade(Nn_Container="c")
    sent = b""
    while True:
        head = _exactly(request, 8)
        size = int.from_bytes(head[4:], "big")
        assert head[0] == STDIN
        if not size:
            break
        sent += _exactly(request, size)
    request.sock.sendall(frame(STDOUT, sent) + frame(END, b'{"StatusCode":0,"Error":""}'))


def _exactly(request: Request, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += request.sock.recv(size - len(data))
    return data


def server_context(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server-cert.pem", certificates / "server-key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_over_tcp(tmp_path: Path):
    server = on_tcp(echo)
    port = server.listener.getsockname()[1]
    done = call("run", "-i", "img", config=tmp_path, host=f"tcp://127.0.0.1:{port}", stdin=b"hello")
    server.close()
    assert (done.stdout, done.returncode) == (b"hello", 0)


def test_over_tls_with_a_certificate_of_ours(tmp_path: Path, certificates: Path):
    server = on_tcp(echo, server_context(certificates))
    port = server.listener.getsockname()[1]
    fields = f"host=tcp://localhost:{port},ca={certificates}/ca.pem"
    fields += f",cert={certificates}/client-cert.pem,key={certificates}/client-key.pem"
    assert call("context", "create", "safe", "--docker", fields, config=tmp_path).returncode == 0
    key = tmp_path / "contexts/safe/key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    sent = bytes(range(256)) * 4096
    done = call("-c", "safe", "run", "-i", "img", config=tmp_path, stdin=sent)
    assert (done.stdout == sent, done.returncode) == (True, 0), done.stderr
    flags = ("--tlsverify", "--tlscacert", certificates / "ca.pem")
    flags += ("--tlscert", certificates / "client-cert.pem", "--tlskey", certificates / "client-key.pem")
    done = call("-H", f"tcp://localhost:{port}", *flags, "run", "-i", "img", config=tmp_path, stdin=b"x")
    assert done.stdout == b"x"
    server.close()


@pytest.mark.parametrize(("ca", "name"), [("strange-ca", "client"), ("ca", "strange")])
def test_over_tls_strangers_are_refused(tmp_path: Path, certificates: Path, ca: str, name: str):
    server = on_tcp(echo, server_context(certificates))
    port = server.listener.getsockname()[1]
    flags = ("--tlsverify", "--tlscacert", certificates / f"{ca}.pem")
    flags += ("--tlscert", certificates / f"{name}-cert.pem", "--tlskey", certificates / f"{name}-key.pem")
    done = call("-H", f"tcp://localhost:{port}", *flags, "run", "-i", "img", config=tmp_path, stdin=b"x")
    server.close()
    assert done.returncode == 125
    assert done.stdout == b"" and done.stderr.startswith(b"nn: ")
    assert b"Traceback" not in done.stderr


# ---- ssh ---------------------------------------------------------------------------------------------------


def test_over_ssh_it_is_the_far_nn_that_connects(tmp_path: Path):
    """A program in place of ssh runs the far side's command here; sshd itself is not ours to test."""
    server = on_unix(tmp_path / "s", echo)
    far = tmp_path / "bin"
    far.mkdir()
    (far / "nn").write_text(
        f'#!/bin/sh\nNN_HOST=unix://{tmp_path}/s exec {" ".join(map(_quoted, LINE))} "$@"\n'
    )
    (far / "ssh").write_text(
        f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nwhile [ "$1" != -- ]; do shift; done\n'
        f'shift 2\nPATH={far}:$PATH exec sh -c "$1"\n'
    )
    for program in far.iterdir():
        program.chmod(0o755)
    sent = bytes(range(256)) * 1000
    done = call(
        "-H", "ssh://admin@far:2222", "run", "-i", "img", config=tmp_path, stdin=sent, NN_SSH=str(far / "ssh")
    )
    server.close()
    assert (done.stdout == sent, done.returncode) == (True, 0), done.stderr
    assert (tmp_path / "asked").read_text().startswith("-p 2222 -T -- admin@far ")


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def test_an_ssh_that_fails_is_reported(tmp_path: Path):
    done = call("-H", "ssh://far", "ps", config=tmp_path, NN_SSH="/no/such/ssh")
    assert (done.returncode, b"/no/such/ssh: No such file" in done.stderr) == (125, True)
    done = call("-H", "ssh://far", "ps", config=tmp_path, NN_SSH="false")
    assert (done.returncode, b"ssh" in done.stderr) == (125, True)
