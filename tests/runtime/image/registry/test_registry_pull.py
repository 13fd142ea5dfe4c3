"""Pulls from a small registry over real HTTP: what arrives, what does not travel twice, how a break ends."""

import json
import os
import threading
import time

import pytest

from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.client import RegistryClient
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import RegistryNotFoundError, TransferCancelledError
from runtime.image.store.image_store import ImageStore
from tests.runtime.registries import compress, cut, digest_of, make_image, ours, send, tar_of

BASE, TOP = tar_of({"base": b"b" * 5000}), tar_of({"top": b"t" * 300})


def content(image):
    return {path.name: path.read_bytes() for tree in image.layer_dirs for path in tree.iterdir()}


@pytest.mark.parametrize(
    ("how", "docker"), [("gzip", False), ("zstd", False), ("gzip", True), ("none", False)]
)
def test_an_image_arrives_byte_for_byte(fake, client, store, how, docker):
    image = make_image([BASE, TOP], how, docker=docker)
    digest = fake.add(image)
    pulled = client.pull(store, fake.name())
    assert pulled.new
    assert pulled.digest == pulled.image.digest == digest
    assert store.manifest(pulled.image) == image[0]
    assert content(pulled.image) == {"base": b"b" * 5000, "top": b"t" * 300}
    assert pulled.image.repo_digests == (f"{fake.host}/app@{digest}",)
    assert store.verify(fake.name()).id == pulled.image.id
    assert pulled.transfer.blobs == {digest: len(blob) for digest, blob in image[2].items()}
    assert pulled.transfer.received == len("{}") + len(image[0]) + sum(map(len, image[2].values()))
    assert (pulled.transfer.moved, pulled.transfer.present) == (3, 0)


def test_what_is_here_does_not_travel_again(fake, client, store):
    fake.add(make_image([BASE]))
    client.pull(store, fake.name())
    second = make_image([BASE, TOP])
    fake.add(second)
    fake.seen.clear()
    pulled = client.pull(store, fake.name())
    top = digest_of(compress(TOP))
    assert pulled.transfer.blobs[digest_of(compress(BASE))] == 0
    assert pulled.transfer.blobs[top] == len(compress(TOP))
    assert not fake.asked("GET", digest_of(compress(BASE)))
    again = client.pull(store, fake.name())
    assert not again.new
    assert again.transfer.moved == 0


def test_the_same_content_in_other_bytes_does_not_travel(fake, client, store):
    fake.add(make_image([BASE], "zstd"), tag="zstd")
    fake.add(make_image([BASE, TOP], "gzip"), tag="gzip")
    client.pull(store, fake.name("zstd"))
    pulled = client.pull(store, fake.name("gzip"))
    assert pulled.transfer.blobs[digest_of(compress(BASE))] == 0
    assert content(pulled.image) == {"base": b"b" * 5000, "top": b"t" * 300}
    store.remove(fake.name("zstd"))
    assert content(store.resolve(fake.name("gzip"))) == {"base": b"b" * 5000, "top": b"t" * 300}


def test_a_platform_is_chosen_from_an_index(fake, client, store):
    def one(architecture, variant=""):
        platform = {"os": "linux", "architecture": architecture} | ({"variant": variant} if variant else {})
        tar = tar_of({"is": f"{architecture}{variant}".encode()})
        return make_image([tar], architecture=architecture, variant=variant), platform

    index = fake.add_index([one("amd64"), one("arm64", "v8"), one("arm", "v6"), one("arm", "v7")])
    for platform, expected in (
        ("linux/amd64", b"amd64"),
        ("linux/arm64", b"arm64v8"),
        ("linux/arm/v7", b"armv7"),
        ("linux/arm/v6", b"armv6"),
        ("linux/arm", b"armv7"),
    ):
        pulled = client.pull(store, fake.name(), platform=platform)
        assert content(pulled.image) == {"is": expected}
        assert pulled.digest == index != pulled.image.digest
    with pytest.raises(RegistryNotFoundError, match="no matching manifest for linux/s390x"):
        client.pull(store, fake.name(), platform="linux/s390x")


def test_a_platform_that_was_asked_for_must_be_the_images(fake, client, store):
    fake.add(make_image([TOP], architecture="s390x"))
    with pytest.raises(RegistryNotFoundError, match=r"specified platform \(linux/arm64\)"):
        client.pull(store, fake.name(), platform="linux/arm64")
    assert client.pull(store, fake.name()).image.config.architecture == "s390x"


def test_by_digest_and_found_by_it(fake, client, store):
    single = fake.add(make_image([TOP]))
    name = f"{fake.host}/app@{single}"
    pulled = client.pull(store, name)
    assert pulled.image.names == ()
    assert store.resolve(name).id == pulled.image.id
    index = fake.add_index([(make_image([BASE]), {"os": "linux", "architecture": "amd64"})], tag="multi")
    pulled = client.pull(store, f"{fake.host}/app@{index}", platform="linux/amd64")
    assert store.resolve(f"{fake.host}/app@{index}").id == pulled.image.id


def test_all_tags(fake, client, store):
    fake.add(make_image([BASE]), tag="one")
    fake.add(make_image([BASE, TOP]), tag="two")
    found = client.pull_all(store, f"{fake.host}/app")
    assert [one.image.reference for one in found] == [fake.name("one"), fake.name("two")]


def test_tags_come_in_pages(fake, client):
    def page(handler):
        last = "last=b" in handler.path
        link = {} if last else {"Link": '</v2/app/tags/list?n=2&last=b>; rel="next"'}
        send(handler, 200, json.dumps({"tags": ["c"] if last else ["a", "b"]}).encode(), link)

    fake.on("GET", "/v2/app/tags/list", page)
    assert client.tags(f"{fake.host}/app") == ["a", "b", "c"]


def test_docker_words_for_what_is_not_there(fake, client, store):
    with pytest.raises(RegistryNotFoundError, match=r"manifest for .*/app:1 not found: manifest unknown"):
        client.pull(store, fake.name())
    fake.on("GET", "/v2/app/manifests/1", lambda handler: send(handler, 403, b""))
    with pytest.raises(RegistryNotFoundError, match=r"pull access denied for .*/app, repository"):
        client.pull(store, fake.name())
    fake.on("GET", "/v2/app/tags/list", lambda handler: send(handler, 403, b""))
    with pytest.raises(RegistryNotFoundError, match=r"pull access denied for .*/app, repository"):
        client.pull_all(store, f"{fake.host}/app")
    unknown = b'{"errors": [{"code": "NAME_UNKNOWN", "message": "not known"}]}'
    fake.on("GET", "/v2/app/tags/list", lambda handler: send(handler, 404, unknown))
    with pytest.raises(RegistryNotFoundError, match=r"repository .*/app not found: name unknown: not known"):
        client.pull_all(store, f"{fake.host}/app")


# ---- breaks -----------------------------------------------------------------------------------------------


def test_a_broken_blob_goes_on_where_it_broke(fake, client, store):
    data = os.urandom(900_000)
    image = make_image([tar_of({"data": data})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))
    breaks = iter([200_000, 300_000])

    def answer(handler):
        try:
            at = next(breaks)
        except StopIteration:
            return fake.blob(handler, image[2][layer])
        if "Range" not in handler.headers:
            return cut(image[2][layer], at, length=len(image[2][layer]))(handler)
        begin = int(handler.headers["Range"][6:-1])
        handler.send_response(206)
        total = len(image[2][layer])
        handler.send_header("Content-Range", f"bytes {begin}-{total - 1}/{total}")
        handler.send_header("Content-Length", str(total - begin))
        handler.end_headers()
        handler.wfile.write(image[2][layer][begin : begin + at])
        handler.close_connection = True
        return None

    fake.on("GET", f"/v2/app/blobs/{layer}", answer)
    pulled = client.pull(store, fake.name())
    assert content(pulled.image) == {"data": data}
    assert pulled.transfer.blobs[layer] == len(image[2][layer])
    assert [one.get("Range") for one in fake.asked("GET", layer)] == [None, "bytes=200000-", "bytes=500000-"]


def test_a_registry_without_ranges_sends_all_of_it_again(fake, client, store):
    image = make_image([tar_of({"data": os.urandom(300_000)})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))
    first = iter([True])

    def answer(handler):
        if next(first, False):
            return cut(image[2][layer], 100_000, length=len(image[2][layer]))(handler)
        return send(handler, 200, image[2][layer])

    fake.on("GET", f"/v2/app/blobs/{layer}", answer)
    pulled = client.pull(store, fake.name())
    assert pulled.transfer.blobs[layer] == len(image[2][layer]) + 100_000
    assert store.verify(fake.name())


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("short", [100_000, 1, 0])
def test_it_goes_on_behind_what_a_dead_process_received(fake, client, store, damaged, short):
    image = make_image([tar_of({"data": os.urandom(300_000)})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))
    begin = image[2][layer][: len(image[2][layer]) - short]
    store.content.partials.root.mkdir()
    part = store.content.partials.root / f"{layer[7:]}.part"
    part.write_bytes(bytes(len(begin)) if damaged else begin)
    pulled = client.pull(store, fake.name())
    assert store.verify(fake.name())
    ranges = [one.get("Range") for one in fake.asked("GET", layer)]
    assert ranges == [f"bytes={len(begin)}-"] * bool(short) + [None] * damaged
    assert pulled.transfer.blobs[layer] == short + (len(image[2][layer]) if damaged else 0)
    assert not part.exists()
    assert not any(store.content.tmp.iterdir())


def test_what_nobody_comes_back_for_goes(store):
    partials = store.content.partials
    partials.root.mkdir()
    for name, age in (("old", 90_000), ("new", 10)):
        path = partials.root / f"{name}.part"
        path.write_bytes(b"x")
        os.utime(path, (time.time() - age,) * 2)
    ImageStore(store.root)
    assert [path.name for path in partials.root.iterdir()] == ["new.part"]


def test_a_busy_registry_is_asked_again(fake, store):
    client = RegistryClient(RegistryOptions(attempts=2, pause_s=0.01))
    fake.add(make_image([TOP]))
    busy = iter([503, 429])

    def gate(handler):
        status = next(busy, 0)
        if status:
            send(handler, status, b"", {"Retry-After": "0"})
        return bool(status)

    client.tags(f"{fake.host}/app")  # the scheme is known now
    fake.gate = gate
    with pytest.raises(Exception, match="toomanyrequests"):
        client.pull(store, fake.name())
    assert client.pull(store, fake.name()).new


def test_who_goes_away_ends_the_pull(fake, store):
    image = make_image([tar_of({"data": os.urandom(300_000)})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))
    stuck, free = threading.Event(), threading.Event()

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(image[2][layer])))
        handler.end_headers()
        handler.wfile.write(image[2][layer][:1000])
        handler.wfile.flush()
        stuck.set()
        free.wait(120)

    fake.on("GET", f"/v2/app/blobs/{layer}", answer)
    cancel, failed = CancelToken(), []

    def pull():
        try:
            RegistryClient(RegistryOptions()).pull(store, fake.name(), cancel=cancel)
        except TransferCancelledError as error:
            failed.append(error)

    thread = threading.Thread(target=pull)
    thread.start()
    assert stuck.wait(60)
    cancel.abort()
    thread.join(60)
    free.set()
    assert failed
    assert not any(store.content.tmp.iterdir())
    assert not store.list()


def test_two_pulls_at_once_share_a_layer(fake, client, tmp_path):
    store = ImageStore(tmp_path / "images")
    base, top = make_image([BASE]), make_image([BASE, TOP])
    fake.add(base, tag="base")
    fake.add(top, tag="top")
    layer = digest_of(compress(BASE))
    begun, go_on = threading.Event(), threading.Event()

    def slow(handler):
        begun.set()
        go_on.wait(120)
        fake.blob(handler, base[2][layer])

    fake.on("GET", f"/v2/app/blobs/{layer}", slow)
    patient = RegistryClient(RegistryOptions())
    threads = [threading.Thread(target=patient.pull, args=(store, fake.name(tag))) for tag in ("base", "top")]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert len(fake.asked("GET", layer)) == 1
    assert len(store.list()) == 2


def test_from_our_own_server(tmp_path, store, client):
    source = ImageStore(tmp_path / "source")
    tar = tmp_path / "layer.tar"
    tar.write_bytes(TOP)
    with ours(tmp_path / "registry") as host:
        source.create(f"{host}/app:1", [tar])
        pushed = client.push(source, f"{host}/app:1")
        pulled = client.pull(store, f"{host}/app:1")
    assert pulled.image.digest == pushed[0].digest == source.resolve(f"{host}/app:1").digest
    assert content(pulled.image) == {"top": b"t" * 300}
