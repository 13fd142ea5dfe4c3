"""The daemon and registries, driven by docker's own command: who may, what a crash keeps, who is refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.image.registry.credentials import Credential
from tests.runtime.daemon_process import Daemon, running_daemon
from tests.runtime.image.registry.credential_helper import HELPER
from tests.runtime.registries import (
    Fake,
    TokenServer,
    compress,
    digest_of,
    distribution,
    has_distribution,
    make_image,
    send,
    tar_of,
)

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]

ME = Credential("me", "se:cret")
HASHED = "$2b$04$4ORvClL7XzFhr5rJE3W.suXVfJsEE/JH9Oy0FqXQvGC46w3Ik6Aha"
"""Its password, by bcrypt."""
NN = str(Path(sys.executable).with_name("nn"))


@pytest.fixture
def config(daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client's config.json, which keeps credentials in a program of its own."""
    program = tmp_path / "docker-credential-test"
    program.write_text(HELPER)
    program.chmod(0o755)
    path = tmp_path / "docker/config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"credsStore": "test"}))
    for name, value in (("PATH", f"{tmp_path}:{os.environ['PATH']}"), ("DOCKER_CONFIG", str(path.parent))):
        monkeypatch.setenv(name, value)
        monkeypatch.setitem(daemon.environment, name, value)
    return path


def nn(daemon: Daemon, *arguments: str, stdin: str = "", status: int = 0) -> str:
    done = subprocess.run(
        [NN, "--host", daemon.host, *arguments],
        input=stdin, capture_output=True, text=True, env=daemon.environment, timeout=120,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def unfinished(daemon: Daemon) -> list[Path]:
    """What is being worked on; some of it may go while we look, which os.walk forgives."""
    found = os.walk(daemon.root / "images/tmp")
    return [Path(where, name) for where, directories, names in found for name in (*directories, *names)]


def soon(true: Callable[[], bool]) -> bool:
    for _ in range(1200):
        if true():
            return True
        time.sleep(0.05)
    return False


# ---- who may -----------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.skipif(not has_distribution(), reason="docker-registry is not installed")
def test_a_password_from_a_credential_helper(daemon: Daemon, config: Path, tmp_path: Path) -> None:
    """docker-registry behind a password; docker logs in, then nn uses what it has kept."""
    users = tmp_path / "htpasswd"
    users.write_text(f"me:{HASHED}\n")
    cancel = f"auth: {{htpasswd: {{realm: here, path: {users}}}}}\n"
    with distribution(tmp_path / "registry", cancel) as host:
        name = f"{host}/team/app:1"
        daemon.docker("tag", "busybox", name)
        assert "no basic auth credentials" in daemon.docker("push", name, status=1)
        assert "unauthorized" in daemon.docker("login", host, "-u", "me", "-p", "wrong", status=1)
        said = daemon.docker("login", host, "-u", "me", "--password-stdin", stdin=ME.password)
        assert "Login Succeeded" in said
        assert ME.password not in config.read_text()
        assert "Pushed" in daemon.docker("push", name)
        daemon.docker("rmi", name)
        assert "Downloaded newer image" in nn(daemon, "pull", name)
        assert "Layer already exists" in nn(daemon, "push", name)
        daemon.docker("logout", host)
        daemon.docker("rmi", name)
        assert "pull access denied" in nn(daemon, "pull", name, status=1)
        assert "Login Succeeded" in nn(
            daemon, "login", host, "-u", "me", "--password-stdin", stdin=ME.password
        )
        assert "Downloaded newer image" in daemon.docker("pull", name)
        daemon.docker("rmi", name)


def test_a_token_from_a_login(daemon: Daemon, fake: Fake, config: Path) -> None:
    tokens = TokenServer(fake, ME)
    fake.add(make_image([tar_of({"a": b"a"})]))
    config.write_text(json.dumps({"credHelpers": {fake.host: "test"}}))
    assert "pull access denied" in daemon.docker("pull", fake.name(), status=1)
    daemon.docker("login", fake.host, "-u", "me", "--password-stdin", stdin=ME.password)
    kept = json.loads((config.parent.parent / "docker-credential-test.json").read_text())
    assert (kept[fake.host]["Username"], kept[fake.host]["Secret"]) == ("<token>", "identity")
    daemon.docker("pull", fake.name())
    assert tokens.asked[-1][1]["scope"] == ["repository:app:pull"]
    daemon.docker("rmi", fake.name())


# ---- breaks ------------------------------------------------------------------------------------------------


class Stuck:
    """A layer that stops in the middle of its bytes, until it is let go on."""

    def __init__(self, fake: Fake, data: bytes) -> None:
        self.begun, self.free = threading.Event(), threading.Event()
        self.fake, self.data = fake, data
        fake.on("GET", f"/v2/app/blobs/{digest_of(data)}", self)

    def __call__(self, handler: Any) -> None:
        if self.free.is_set():
            return self.fake.blob(handler, self.data)
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(self.data)))
        handler.end_headers()
        handler.wfile.write(self.data[: len(self.data) // 2])
        handler.wfile.flush()
        self.begun.set()
        self.free.wait(200)
        handler.close_connection = True
        return None


def two_layers(fake: Fake, size: int = 300_000) -> tuple[bytes, bytes]:
    tars = [tar_of({"whole": os.urandom(300_000)}), tar_of({"broken": os.urandom(size)})]
    fake.add(make_image(tars, "none"))
    return compress(tars[0], "none"), compress(tars[1], "none")


def test_a_pull_that_its_client_leaves_leaves_nothing(daemon: Daemon, fake: Fake) -> None:
    _, broken = two_layers(fake)
    stuck = Stuck(fake, broken)
    client = daemon.docker_start("pull", fake.name())
    assert stuck.begun.wait(60)
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=60)
    try:
        assert soon(lambda: not unfinished(daemon)), unfinished(daemon)
    finally:
        stuck.free.set()
    assert fake.host not in daemon.docker("images")
    assert "Downloaded newer image" in daemon.docker("pull", fake.name())
    daemon.docker("rmi", fake.name())


def test_a_daemon_killed_in_a_pull_goes_on_with_what_it_had(fake: Fake) -> None:
    whole, broken = two_layers(fake, 20 << 20)
    stuck = Stuck(fake, broken)
    with running_daemon() as daemon:
        client = daemon.docker_start("pull", fake.name())
        assert stuck.begun.wait(60)
        assert soon((daemon.root / "images/layers" / digest_of(whole)[7:] / "layer.json").exists)

        def has_come() -> bool:
            parts = [one for one in unfinished(daemon) if one.name == f"{digest_of(broken)[7:]}.part"]
            return any(one.stat().st_size > len(broken) // 4 for one in parts)

        assert soon(has_come)
        daemon.terminate(signal.SIGKILL)
        client.communicate(timeout=60)
        assert client.returncode != 0
        stuck.free.set()
        daemon.start()
        assert not unfinished(daemon)
        assert fake.host not in daemon.docker("images")
        fake.seen.clear()
        said = daemon.docker("pull", fake.name())
        assert "Already exists" in said
        assert not fake.asked("GET", digest_of(whole))
        (asked,) = fake.asked("GET", digest_of(broken))
        assert int(asked["Range"].removeprefix("bytes=").removesuffix("-")) > len(broken) // 4


# ---- refused -----------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """10 GB of zeros and more in 10 MB of gzip."""
    piece = zlib.compressobj(9, wbits=-15)
    start = piece.compress(bytes(1 << 20)) + piece.flush(zlib.Z_FULL_FLUSH)
    info = tarfile.TarInfo("bomb")
    info.size = 10 << 30
    header = info.tobuf(tarfile.GNU_FORMAT)
    first = zlib.compressobj(9, wbits=-15)
    begin = first.compress(header) + first.flush(zlib.Z_FULL_FLUSH)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + begin + start * (10 << 10)


def test_who_is_hostile_is_refused_and_the_daemon_goes_on(daemon: Daemon, fake: Fake) -> None:
    image = make_image([tar_of({"a": b"a" * 3000})])
    manifest, media_type, blobs = image
    layer = json.loads(manifest)["layers"][0]
    data = bomb()
    assert len(data) < 11_000_000
    bombed = json.loads(manifest) | {"layers": [layer | {"digest": digest_of(data), "size": len(data)}]}
    fake.add((json.dumps(bombed).encode(), media_type, blobs | {digest_of(data): data}), tag="bomb")
    many = json.loads(manifest) | {"layers": [layer] * 10_000}
    fake.add((json.dumps(many).encode(), media_type, blobs), tag="many")
    fake.add(image, tag="away")
    fake.add(image, "wrong", "1")
    path = f"/v2/app/blobs/{layer['digest']}"
    fake.on("GET", path, lambda one: send(one, 307, b"", {"Location": "file:///etc/passwd"}))
    other = bytes(layer["size"])
    fake.on("GET", path.replace("/app/", "/wrong/"), lambda one: send(one, 200, other))
    before = set((daemon.root / "images").rglob("*"))
    for name, words in (
        (fake.name("bomb"), f"layer verification failed for digest {digest_of(data)}"),
        (fake.name("many"), "10000"),
        (fake.name("away"), "file:///etc/passwd"),
        (f"{fake.host}/wrong:1", f"layer verification failed for digest {layer['digest']}"),
        (f"{fake.host}/../../etc:1", "invalid reference format"),
    ):
        assert words in daemon.docker("pull", name, status=1)
    assert set((daemon.root / "images").rglob("*")) == before
    assert daemon.docker("run", "--rm", "--network", "none", "busybox", "echo", "alive") == "alive\n"
