"""A hub for suites that pull from Docker's: the images they name, made of busybox, behind the hub's own name.

Who is to find it has a network namespace where it serves, SSL_CERT_FILE, and a mount namespace where `hosts`
is /etc/hosts.
"""

from __future__ import annotations

import contextlib
import io
import json
import ssl
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.runtime.certificates import make_certificates
from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.registries import Fake, make_image, send

_NAME, _INDEX = "registry-1.docker.io", "index.docker.io"
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CREATED = "2024-05-06T07:08:09Z"
_USERS = {
    "passwd": "daemon:x:1:1::/usr/sbin:/bin/false\nbin:x:2:2::/bin:/bin/false\n"
    "nobody:x:65534:65534::/home:/bin/false\n",
    "group": "daemon:x:1:\nbin:x:2:\nwheel:x:10:root\naudio:x:29:\nstaff:x:50:\nnobody:x:65534:\n",
}
_ALPINE = {"passwd": "postgres:x:70:70::/var:/bin/sh\n", "group": "postgres:x:70:\n"}

_ADDUSER = """#!/bin/sh
for name; do :; done
echo "$name:x:1001:1001::/home/$name:/bin/sh" >> /etc/passwd
echo "$name:x:1001:" >> /etc/group
"""
"""Debian's busybox has none: the last argument is the name."""

_JSON = {"Content-Type": "application/json"}
_DENIED = (
    b'{"errors":[{"code":"DENIED","message":"requested access to the resource is denied",'
    b'"detail":[{"Type":"repository","Action":"pull"}]}]}'
)


@dataclass(frozen=True)
class StandIn:
    """A repository whose images are made of busybox. files, links: by their path."""

    name: str
    tags: Sequence[str] = ("latest",)
    command: Sequence[str] = ("/bin/sh",)
    files: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)


_ALWAYS = (
    StandIn("busybox", ("latest", "glibc"), ["sh"]),
    StandIn("alpine", ("3.10", "latest")),
    StandIn("hello-world", command=["/hello"], files={"hello": "#!/bin/sh\necho 'Hello from Docker!'\n"}),
)


class Hub:
    """Its files. authority: the certificate to trust; hosts: names its address, and others' by `beside`.

    more: images beside those that are always there, or in the place of some.
    """

    def __init__(self, directory: Path, beside: str = "", more: Sequence[StandIn] = ()) -> None:
        directory.mkdir()
        self._images = {(image.name, tag): image for image in (*_ALWAYS, *more) for tag in image.tags}
        self.authority, self.hosts = directory / "ca.pem", directory / "hosts"
        self._directory = directory
        self.hosts.write_text(f"127.0.0.1 localhost {_NAME} {_INDEX} {beside}\n")
        make_certificates(directory, _NAME, _INDEX)

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        """Answer on port 443 of the loopback."""
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(self._directory / "server-cert.pem", self._directory / "server-key.pem")
        registry = _Registry(tls, port=443)
        for (name, tag), image in self._images.items():
            repository = name if "/" in name else f"library/{name}"
            registry.add(_image(self._directory, image, tag), repository, tag)
        try:
            yield
        finally:
            registry.close()


class _Registry(Fake):
    def honest(self, handler: BaseHTTPRequestHandler, path: str) -> None:
        """Answer. Of a repository that is not there the hub says only that nobody may read it.

        To any that wants to write it says the same.
        """
        if path == "/token":
            return send(handler, 200, b'{"token": "anybody"}', _JSON)
        if path == "/v1/search":
            return send(handler, 200, _found(handler.path), _JSON)
        reads = handler.command in ("GET", "HEAD")
        if not reads:
            handler.rfile.read(int(handler.headers.get("Content-Length", "0")))
        if path == "/v2/" or (reads and path.startswith(tuple(f"/v2/{name}/" for name, _ in self.manifests))):
            return super().honest(handler, path)
        challenge = f'Bearer realm="https://{_NAME}/token",service="{_NAME}"'
        if "Authorization" in handler.headers:
            challenge += ',error="insufficient_scope"'
        return send(handler, 401, _DENIED, _JSON | {"WWW-Authenticate": challenge})


def _found(where: str) -> bytes:
    """As many repositories as are asked for; only the first is official."""
    query = parse_qs(urlsplit(where).query)
    term, count = query["q"][0], int(query["n"][0])
    rows = [{"name": f"user/{term}{number}", "is_official": False} for number in range(1, count)]
    rows.insert(0, {"name": term, "description": f"{term.title()} base image.", "is_official": True})
    return json.dumps({"results": rows}).encode()


def _image(directory: Path, image: StandIn, tag: str) -> tuple[bytes, str, dict[str, bytes]]:
    rootfs = build_rootfs(directory / f"{image.name.replace('/', '-')}-{tag}")
    (rootfs / "etc/release").write_text(f"{image.name} {tag}\n")
    (rootfs / "home").mkdir()
    (rootfs / "tmp").chmod(0o1777)
    for file, text in {"bin/adduser": _ADDUSER, **image.files}.items():
        (rootfs / file).parent.mkdir(parents=True, exist_ok=True)
        (rootfs / file).write_text(text)
        (rootfs / file).chmod(0o755)
    for file, target in image.links.items():
        (rootfs / file).parent.mkdir(parents=True, exist_ok=True)
        (rootfs / file).symlink_to(target)
    if image.name == "alpine":
        (rootfs / "var/opt").mkdir(parents=True, exist_ok=True)
    for users in (_USERS, _ALPINE) if image.name == "alpine" else (_USERS,):
        for file, lines in users.items():
            with (rootfs / "etc" / file).open("a") as opened:
                opened.write(lines)
    config = {"Cmd": list(image.command), "Env": [_PATH], **image.config}
    return make_image([_tar(rootfs)], docker=True, created=_CREATED, config=config)


def _tar(rootfs: Path) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(rootfs, ".")
    return target.getvalue()
