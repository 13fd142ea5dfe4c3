"""Pushes to real registries, ours and Debian's docker-registry: what travels, and what is refused."""

import contextlib
import os
import re

import pytest

from runtime.image.registry.client import RegistryClient
from runtime.image.registry.credentials import Credential
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import RegistryError, RegistryNotFoundError
from runtime.image.store.image_store import ImageStore
from tests.runtime.registries import (
    Fake,
    Relay,
    compress,
    digest_of,
    distribution,
    has_distribution,
    make_image,
    ours,
    send,
    tar_of,
)

PEER = pytest.param(
    "distribution",
    marks=[
        pytest.mark.peers,
        pytest.mark.skipif(not has_distribution(), reason="docker-registry is not installed"),
    ],
)


@pytest.fixture(scope="module", params=["ours", PEER])
def host(request, tmp_path_factory):
    start = ours if request.param == "ours" else distribution
    with start(tmp_path_factory.mktemp("registry") / "data") as host:
        yield host


@pytest.fixture
def local(tmp_path):
    """Another store, from which is pushed."""
    return ImageStore(tmp_path / "local")


@pytest.fixture
def layers(tmp_path):
    """Two tars nobody has pushed before."""
    found = []
    for number in range(2):
        path = tmp_path / f"{number}.tar"
        path.write_bytes(tar_of({f"file{number}": os.urandom(200_000)}))
        found.append(path)
    return found


def content(image):
    return {path.name: path.read_bytes() for tree in image.layer_dirs for path in tree.iterdir()}


def unique(host, what="app"):
    return f"{host}/{what}{os.urandom(4).hex()}"


def test_there_and_back(host, client, local, store, layers):
    name = f"{unique(host)}:1"
    image = local.create(name, layers)
    (pushed,) = client.push(local, name)
    assert pushed.digest == image.digest
    assert (pushed.transfer.moved, pushed.transfer.present) == (3, 0)
    assert pushed.transfer.sent == image.size + len(local.manifest(image)) + len(
        local.content.read_blob(image.id)
    )
    repository = name.rpartition(":")[0]
    assert local.resolve(name).repo_digests == (f"{repository}@{image.digest}",)
    pulled = client.pull(store, name)
    assert pulled.image.digest == image.digest
    assert content(pulled.image) == content(image)


def test_a_second_push_moves_only_the_manifest(host, client, local, layers):
    name = f"{unique(host)}:1"
    image = local.create(name, layers)
    client.push(local, name)
    (again,) = client.push(local, name)
    assert (again.transfer.moved, again.transfer.present) == (0, 3)
    assert again.transfer.sent == len(local.manifest(image))
    anew = ImageStore(local.root.with_name("anew"))
    anew.create(name, layers)
    (same,) = client.push(anew, name)
    assert same.transfer.moved == 0
    assert same.digest == again.digest


def test_from_one_repository_to_another_nothing_travels(host, client, local, layers):
    first, second = f"{unique(host)}:1", f"{unique(host)}:1"
    local.create(first, layers)
    client.push(local, first)
    local.tag(first, second)
    said = []
    (pushed,) = client.push(local, second, progress=said.append)
    assert pushed.transfer.mounted == 3
    assert set(pushed.transfer.blobs.values()) == {0}
    source = first.partition("/")[2].rpartition(":")[0]
    assert f"Mounted from {source}" in {message.status for message in said}


@pytest.mark.parametrize("docker", [False, True])
def test_a_pulled_image_goes_on_under_its_digest(host, fake, client, store, docker):
    image = make_image([tar_of({"a": os.urandom(999)}), tar_of({"b": b"b"})], docker=docker)
    digest = fake.add(image)
    client.pull(store, fake.name())
    name = f"{unique(host)}:there"
    store.tag(fake.name(), name)
    (pushed,) = client.push(store, name)
    assert pushed.digest == digest
    with client.session(name.partition("/")[0]) as session:
        path = name.partition("/")[2].rpartition(":")[0]
        with session.ask(
            "GET", f"/v2/{path}/manifests/{digest}", scopes=(), headers={"Accept": image[1]}
        ) as got:
            assert got.document(1 << 20, "manifest") == image[0]


def test_a_layer_that_was_never_fetched_is_replaced(host, fake, client, store):
    base, top = tar_of({"base": os.urandom(5000)}), tar_of({"top": os.urandom(50)})
    fake.add(make_image([base], "zstd"), tag="zstd")
    fake.add(make_image([base, top], "gzip"), tag="gzip")
    client.pull(store, fake.name("zstd"))
    client.pull(store, fake.name("gzip"))
    name = f"{unique(host)}:1"
    store.tag(fake.name("gzip"), name)
    (pushed,) = client.push(store, name)
    assert pushed.transfer.blobs.keys() >= {digest_of(compress(base, "zstd")), digest_of(compress(top))}
    fresh = ImageStore(store.root.with_name("fresh"))
    pulled = client.pull(fresh, name)
    assert pulled.image.id == store.resolve(fake.name("gzip")).id
    assert fresh.verify(name)


def test_all_tags_of_a_repository(host, client, local, layers):
    repository = unique(host)
    for tag, tars in (("one", layers[:1]), ("two", layers)):
        local.create(f"{repository}:{tag}", tars)
    assert [one.tag for one in client.push(local, repository)] == ["one", "two"]
    assert sorted(client.tags(repository)) == ["one", "two"]
    found = client.inspect(f"{repository}:two")
    assert found.document.digest == local.resolve(f"{repository}:two").digest
    assert [str(one) for one in found.platforms] == ["linux/amd64"]


def test_docker_words_for_what_is_not_here(client, local):
    said = []
    local.create("127.0.0.1:1/app:2", [])
    with pytest.raises(RegistryNotFoundError, match=r"tag does not exist: 127\.0\.0\.1:1/app:1"):
        client.push(local, "127.0.0.1:1/app:1", progress=said.append)
    assert [message.status for message in said] == ["The push refers to repository [127.0.0.1:1/app]"]
    words = r"An image does not exist locally with the tag: 127\.0\.0\.1:1/none$"
    with pytest.raises(RegistryNotFoundError, match=words):
        client.push(local, "127.0.0.1:1/none:1")


class Breaking(Relay):
    """Breaks the connection once, after so many bytes upwards."""

    def __init__(self, target, after):
        self._left = after
        super().__init__(target)

    def _up(self, size):
        super()._up(size)
        self._left -= size
        if self._left < 0:
            self._left = 1 << 60
            raise OSError("broken on purpose")


@contextlib.contextmanager
def relayed(relay):
    try:
        yield relay.host
    finally:
        relay.close()


def test_a_broken_upload_goes_on(request, host, client, local, tmp_path):
    tar = tmp_path / "big.tar"
    tar.write_bytes(tar_of({"big": os.urandom(12 << 20)}))
    relay = Breaking(host, 10 << 20)
    with relayed(relay) as through:
        name = f"{unique(through)}:1"
        image = local.create(name, [tar])
        (pushed,) = client.push(local, name)
    assert pushed.digest == image.digest
    if "ours" in request.node.name:  # docker-registry forgets an upload that broke; it begins again there
        # 12 MiB, and 2 MiB for each attempt that is refused while the first is still being read. A restart
        # would take 22 MiB.
        assert relay.up < 18 << 20
    direct = name.replace(through, host)
    assert client.pull(ImageStore(tmp_path / "check"), direct).image.digest == image.digest


# ---- hostile -----------------------------------------------------------------------------------------------


def uploading(fake, location):
    """Let a Fake ask for uploads at `location`, and have no blob."""
    fake.gate = lambda handler: _upload(handler, location)


def _upload(handler, location):
    if handler.command == "HEAD":
        send(handler, 404, b"")
    elif handler.command == "POST":
        send(handler, 202, b"", {"Location": location})
    else:
        return False
    return True


@pytest.mark.parametrize("location", ["file:///tmp/x", "http://192.0.2.1/upload", "", "//[bad"])
def test_an_upload_to_where_we_do_not_go(fake, client, local, layers, location):
    uploading(fake, location)
    local.create(fake.name(), layers)
    with pytest.raises(RegistryError, match=re.escape(fake.host)):
        client.push(local, fake.name())


@pytest.mark.slow
def test_an_upload_elsewhere_shows_no_credentials(fake, client, local, layers):
    with contextlib.closing(Fake()) as elsewhere:
        elsewhere.gate = lambda handler: _drain(handler)

        def gate(handler):
            if "Authorization" not in handler.headers:
                send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
                return True
            return _upload(handler, f"{elsewhere.base}/upload")

        fake.gate = gate
        local.create(fake.name(), layers[:1])
        with pytest.raises(RegistryError):
            client.push(local, fake.name(), credential=Credential("me", "secret"))
        assert elsewhere.asked("PATCH", "/upload")
        assert not any("Authorization" in headers for _, _, headers in elsewhere.seen)


def _drain(handler):
    handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    send(handler, 500, b"")
    return True


def test_a_registry_that_changes_the_manifest(fake, client, local, layers):
    def gate(handler):
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if handler.command == "HEAD":
            send(handler, 200, b"")
        elif handler.command == "PUT":
            send(handler, 201, b"", {"Docker-Content-Digest": digest_of(b"other")})
        else:
            return False
        return True

    fake.gate = gate
    local.create(fake.name(), layers)
    with pytest.raises(RegistryError, match=digest_of(b"other")):
        client.push(local, fake.name())
    assert local.resolve(fake.name()).repo_digests == ()


def test_a_registry_that_takes_nothing(fake, local, layers):
    def gate(handler):
        handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        if handler.command == "PATCH":
            send(handler, 202, b"", {"Location": "/upload", "Range": "0-0"})
            return True
        return _upload(handler, "/upload")

    fake.gate = gate
    local.create(fake.name(), layers)
    with pytest.raises(RegistryError, match=r"\b1 bytes"):
        RegistryClient(RegistryOptions(attempts=2)).push(local, fake.name())
