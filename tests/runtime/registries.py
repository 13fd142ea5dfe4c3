"""Registries for tests: a small one in this process that a test can make lie, and real ones beside it."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import zstandard

from runtime.image.documents import DOCKER_MANIFEST
from runtime.image.documents import INDEX as OCI_INDEX
from runtime.image.documents import MANIFEST as OCI_MANIFEST
from tests.runtime.free_ports import free_port

LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
_DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest_of(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def tar_of(files):
    """A layer's tar of name → content, owned by whoever runs the tests."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.uid, info.gid = len(data), os.getuid(), os.getgid()
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def compress(tar, how="gzip"):
    if how == "zstd":
        return zstandard.ZstdCompressor().compress(tar)
    return gzip.compress(tar, 1, mtime=0) if how == "gzip" else tar


def make_image(tars, how="gzip", architecture="amd64", variant="", docker=False, **config):
    """Return (manifest bytes, its media type, digest → blob)."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(tar) for tar in tars]},
    }
    document |= ({"variant": variant} if variant else {}) | config
    data = json.dumps(document).encode()
    layers = [compress(tar, how) for tar in tars]
    blobs = {digest_of(one): one for one in (data, *layers)}
    layer_type = _DOCKER_LAYER if docker else LAYER.replace("gzip", how)
    manifest = {
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST if docker else OCI_MANIFEST,
        "config": {
            "mediaType": _DOCKER_CONFIG if docker else _CONFIG,
            "digest": digest_of(data),
            "size": len(data),
        },
        "layers": [
            {"mediaType": layer_type, "digest": digest_of(layer), "size": len(layer)} for layer in layers
        ],
    }
    return json.dumps(manifest, indent=3).encode(), manifest["mediaType"], blobs


class Fake:
    """A registry that is honest until a test puts a handler of its own before one of its answers."""

    def __init__(self, tls=None, port=0):
        self.blobs, self.manifests, self.seen, self.overrides = {}, {}, [], {}
        self.gate = None
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # a body after its headers would wait 40 ms for an acknowledgement

            def log_message(self, *_):
                pass

            def handle(self):
                with contextlib.suppress(OSError):
                    super().handle()

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return lambda: registry.answer(self)
                raise AttributeError(name)

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", port), Handler)
        if tls is not None:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.base = f"{'https' if tls else 'http'}://{self.host}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    # ---- content ---------------------------------------------------------------------------------------

    def add(self, image, repository="app", tag="1"):
        """Serve an image of make_image(); return its manifest's digest."""
        manifest, media_type, blobs = image
        self.blobs |= blobs
        self.manifests[repository, digest_of(manifest)] = manifest, media_type
        if tag:
            self.manifests[repository, tag] = manifest, media_type
        return digest_of(manifest)

    def add_index(self, platforms, repository="app", tag="1"):
        """Serve an index of (image, platform)s; return its digest."""
        entries = []
        for image, platform in platforms:
            digest = self.add(image, repository, "")
            entries.append(
                {"mediaType": image[1], "digest": digest, "size": len(image[0]), "platform": platform}
            )
        index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries}).encode()
        for name in (tag, digest_of(index)):
            self.manifests[repository, name] = index, OCI_INDEX
        return digest_of(index)

    def name(self, tag="1", repository="app"):
        return f"{self.host}/{repository}:{tag}"

    def on(self, method, path, handler):
        self.overrides[method, path] = handler

    def asked(self, method, part):
        """The headers of all requests of a method whose path contains `part`."""
        return [headers for verb, path, headers in self.seen if verb == method and part in path]

    # ---- answers ---------------------------------------------------------------------------------------

    def answer(self, handler):
        self.seen.append((handler.command, handler.path, dict(handler.headers)))
        path = handler.path.partition("?")[0]
        if self.gate is not None and self.gate(handler):
            return
        override = self.overrides.get((handler.command, path))
        if override is not None:
            override(handler)
        else:
            self.honest(handler, path)

    def honest(self, handler, path):
        if path == "/v2/":
            return send(handler, 200, b"{}")
        found = re.fullmatch(r"/v2/(.+)/(manifests|blobs|tags)/([^/]+)", path)
        if found and found[2] == "tags":
            tags = [tag for name, tag in self.manifests if name == found[1] and ":" not in tag]
            return send(handler, 200, json.dumps({"name": found[1], "tags": tags}).encode())
        if found and found[2] == "manifests" and (found[1], found[3]) in self.manifests:
            data, media_type = self.manifests[found[1], found[3]]
            return send(handler, 200, data, {"Content-Type": media_type})
        if found and found[2] == "blobs" and found[3] in self.blobs:
            return self.blob(handler, self.blobs[found[3]])
        return send(handler, 404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    def blob(self, handler, data):
        start = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        if not start:
            return send(handler, 200, data)
        at = int(start[1])
        extra = {"Content-Range": f"bytes {at}-{len(data) - 1}/{len(data)}"}
        return send(handler, 206, data[at:], extra)


def send(handler, status, data, headers=None):
    handler.send_response(status)
    for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
        handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(data)


def cut(data, at, *, length=None):
    """A handler that sends only the first `at` bytes; with a Content-Length only where one is given."""

    def answer(handler):
        handler.send_response(200)
        if length is not None:
            handler.send_header("Content-Length", str(length))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data[:at])
        handler.close_connection = True

    return answer


class TokenServer:
    """Guards a Fake by tokens for one credential; keeps what it was asked for."""

    def __init__(self, fake, known, life=300):
        self.fake, self.life, self.known = fake, life, known
        self.asked, self.good = [], {}
        self.realm = f"{fake.base}/token"
        fake.on("GET", "/token", self.give)
        fake.on("POST", "/token", self.give)
        fake.gate = self.gate

    def gate(self, handler):
        path = urlsplit(handler.path).path
        if path == "/token":
            return False
        scope = f"repository:{path.split('/')[2]}:pull" if path != "/v2/" else ""
        token = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        if token in self.good and time.monotonic() < self.good[token]:
            return False
        extra = f',scope="{scope}"' if scope else ""
        challenge = f'Bearer realm="{self.realm}",service="a registry"{extra}'
        send(handler, 401, b"{}", {"WWW-Authenticate": challenge})
        return True

    def give(self, handler):
        query = parse_qs(urlsplit(handler.path).query)
        if handler.command == "POST":
            body = handler.rfile.read(int(handler.headers["Content-Length"])).decode()
            query = parse_qs(body)
        self.asked.append((handler.command, query, handler.headers.get("Authorization")))
        pair = base64.b64encode(f"{self.known.username}:{self.known.password}".encode()).decode()
        if handler.command == "GET" and handler.headers.get("Authorization") != f"Basic {pair}":
            return send(handler, 401, json.dumps({"details": "incorrect username or password"}).encode())
        token = f"token-{len(self.asked)}"
        self.good[token] = time.monotonic() + self.life
        document = {"token": token, "expires_in": self.life}
        if "offline_token" in query:
            document["refresh_token"] = "identity"
        return send(handler, 200, json.dumps(document).encode())


# ---- real registries --------------------------------------------------------------------------------------


@contextlib.contextmanager
def ours(root: Path) -> Iterator[str]:
    """Our own server, as a process; yields its host:port."""
    command = [sys.executable, "-m", "runtime.image.server", "--root", str(root), "--listen", "127.0.0.1:0"]
    with _running(command, stdout=subprocess.PIPE) as process:
        line = process.stdout.readline().decode()
        yield line.strip().rpartition("/")[2]


@contextlib.contextmanager
def distribution(root: Path, more: str = "", http: str = "") -> Iterator[str]:
    """Debian's docker-registry, as a process; yields its host:port. more, http: further lines of its YAML."""
    port = free_port()
    config = root.with_suffix(".yml")
    config.write_text(
        f"version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n"
        f"storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'{http}}}\n{more}"
    )
    with _running(["docker-registry", "serve", str(config)], stderr=subprocess.DEVNULL) as process:
        _wait_for(port, process)
        yield f"127.0.0.1:{port}"


def has_distribution() -> bool:
    return shutil.which("docker-registry") is not None


@contextlib.contextmanager
def _running(command, **options):
    process = subprocess.Popen(command, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _wait_for(port, process):
    for _ in range(2000):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, "the registry has ended"
        select.select([], [], [], 0.01)
    raise AssertionError("the registry does not listen")


class Relay:
    """Passes TCP on to `host:port` and counts the bytes of both directions: what really travelled."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self.up = self.down = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                for source, sink, count in ((client, server, self._up), (server, client, self._down)):
                    threading.Thread(target=self._pass, args=(source, sink, count), daemon=True).start()

    def _up(self, size: int) -> None:
        self.up += size

    def _down(self, size: int) -> None:
        self.down += size

    def _pass(self, source: socket.socket, sink: socket.socket, count: Callable[[int], None]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                count(len(data))
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.up = self.down = 0

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
