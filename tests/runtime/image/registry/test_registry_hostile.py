"""Registries that lie, stall or lead astray: each is refused by name, and nothing of it stays."""

import contextlib
import gzip
import json
import os
import re
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.image.documents import MANIFEST as OCI_MANIFEST
from runtime.image.errors import ImageError
from runtime.image.layers.layer_reader import UnpackLimits
from runtime.image.registry.client import RegistryClient
from runtime.image.registry.manifests import choose, read_document, read_manifest
from runtime.image.registry.platforms import parse_platform
from runtime.image.registry.registry_errors import (
    ConnectionFailedError,
    RedirectRefusedError,
    RegistryDataError,
    RegistryError,
)
from runtime.image.store.image_store import ImageStore
from tests.runtime.registries import Fake, compress, cut, digest_of, make_image, send, tar_of

TAR = tar_of({"file": b"x" * 3000})
LAYER = compress(TAR)


@pytest.fixture
def served(fake):
    """A registry with one honest image, whose layer's path is `/v2/app/blobs/<LAYER>`."""
    fake.add(make_image([TAR]))
    return fake


def nothing_left(store):
    assert not list(store.list())
    assert not any(store.content.tmp.iterdir())
    assert not any(store.content.layers.iterdir())
    for path in store.content.blobs.iterdir():
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}"


def refused(client, store, fake, error, words):
    with pytest.raises(error, match=words) as caught:
        client.pull(store, fake.name())
    nothing_left(store)
    return str(caught.value)


def on_layer(fake, handler):
    fake.on("GET", f"/v2/app/blobs/{digest_of(LAYER)}", handler)


# ---- lies --------------------------------------------------------------------------------------------------


def test_other_bytes_of_the_same_length(served, client, store):
    other = compress(tar_of({"file": b"y" * 3000}))
    on_layer(served, lambda handler: send(handler, 200, other.ljust(len(LAYER), b"\0")[: len(LAYER)]))
    refused(
        client,
        store,
        served,
        RegistryDataError,
        f"layer verification failed for digest {digest_of(LAYER)}",
    )


def test_a_tar_that_the_config_does_not_name(fake, client, store):
    fake.add(make_image([TAR], rootfs={"type": "layers", "diff_ids": [digest_of(b"another")]}))
    refused(client, store, fake, RegistryDataError, digest_of(TAR))


OTHER = tar_of({"other": b"y" * 2000})


@pytest.mark.parametrize("known", [(TAR,), (TAR, OTHER)])
def test_a_layer_that_is_here_already_and_is_not_what_the_config_names(served, client, store, known):
    """Its bytes do not travel, so they are compared with the config here: a name must lead to an image."""
    served.add(make_image(list(known)), "known")
    served.add(make_image([TAR], rootfs={"type": "layers", "diff_ids": [digest_of(OTHER)]}), "liar")
    client.pull(store, served.name(repository="known"))
    with pytest.raises(RegistryDataError, match=f"layer verification failed for digest {digest_of(LAYER)}"):
        client.pull(store, served.name(repository="liar"))
    assert [one.reference for one in store.list()] == [served.name(repository="known")]
    assert client.pull(store, served.name()).new


def test_what_a_registry_altered_does_not_matter_where_the_content_is_here(served, client, store):
    served.add(make_image([TAR], config={"Cmd": ["another"]}), "another")
    client.pull(store, served.name(repository="another"))
    on_layer(served, lambda handler: send(handler, 200, b"This is not the data you are looking for."))
    assert client.pull(store, served.name()).new
    assert store.verify(served.name()).layers[0].diff_id == digest_of(TAR)


def test_a_manifest_that_is_not_the_digest(served, client, store):
    wrong = digest_of(b"wrong")
    served.manifests["app", wrong] = served.manifests["app", "1"]
    with pytest.raises(RegistryDataError, match=f"manifest verification failed for digest {wrong}"):
        client.pull(store, f"{served.host}/app@{wrong}")
    nothing_left(store)


def test_a_manifest_that_its_own_header_denies(served, client, store):
    data, media_type = served.manifests["app", "1"]
    headers = {"Content-Type": media_type, "Docker-Content-Digest": digest_of(b"x")}
    served.on("GET", "/v2/app/manifests/1", lambda handler: send(handler, 200, data, headers))
    refused(client, store, served, RegistryDataError, digest_of(data))


def test_a_config_that_is_not_the_digest(served, client, store):
    config = json.loads(served.manifests["app", "1"][0])["config"]
    changed = served.blobs[config["digest"]] = served.blobs[config["digest"]].replace(b"amd64", b"arm64")
    refused(client, store, served, RegistryDataError, digest_of(changed))


def test_a_gzip_that_ends_early(fake, client, store):
    manifest, media_type, blobs = make_image([TAR])
    short = LAYER[:-20]
    manifest = manifest.replace(digest_of(LAYER).encode(), digest_of(short).encode())
    manifest = manifest.replace(f'"size": {len(LAYER)}'.encode(), f'"size": {len(short)}'.encode())
    fake.add((manifest, media_type, blobs | {digest_of(short): short}))
    refused(client, store, fake, RegistryDataError, digest_of(short))


def test_a_body_without_a_length_that_ends_early(served, brief, store):
    on_layer(served, cut(LAYER, len(LAYER) // 2))
    words = rf"\b{len(LAYER) // 2}\D+{len(LAYER)}\b"
    refused(brief, store, served, ConnectionFailedError, words)


@pytest.mark.parametrize("change", [-1, 1, 1 << 40])
def test_a_length_that_is_not_the_manifests(served, client, store, change):
    on_layer(served, cut(LAYER, len(LAYER), length=len(LAYER) + change))
    refused(client, store, served, RegistryDataError, rf"\b{len(LAYER) + change}\b.*\b{len(LAYER)}\b")


def test_more_bytes_than_announced(served, client, store):
    on_layer(served, cut(LAYER + b"more", len(LAYER) + 4))
    refused(client, store, served, RegistryDataError, rf"\b{len(LAYER)}\b")


def test_an_answer_to_another_range(fake, client, store):
    data = os.urandom(200_000)
    image = make_image([tar_of({"data": data})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))

    def answer(handler):
        if "Range" not in handler.headers:
            return cut(image[2][layer], 100_000, length=len(image[2][layer]))(handler)
        return send(handler, 206, b"x" * 10, {"Content-Range": f"bytes 5-14/{len(image[2][layer])}"})

    fake.on("GET", f"/v2/app/blobs/{layer}", answer)
    refused(client, store, fake, RegistryDataError, r"\b100000\b")


# ---- too much ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_a_bomb(fake, client, tmp_path, how):
    store = ImageStore(tmp_path / "small", UnpackLimits(max_ratio=200, ratio_from=4 << 20))
    bomb = tar_of({"bomb": b"A" * (32 << 20)})
    assert len(compress(bomb, how)) < 200_000
    fake.add(make_image([bomb], how))
    with pytest.raises(RegistryDataError, match=r"\b200\b"):
        client.pull(store, fake.name())
    nothing_left(store)


def test_a_sparse_file_is_not_a_bomb_below_the_limit(fake, client, store):
    fake.add(make_image([tar_of({"sparse": bytes(32 << 20)})]))
    assert client.pull(store, fake.name()).new


def test_a_disk_that_would_become_full(served, store):
    careful = RegistryClient(msgspec.structs.replace(RegistryClient().options, reserve=1 << 60))
    refused(careful, store, served, RegistryError, re.escape(str(store.root)))


def test_ten_thousand_layers(fake, client, store):
    manifest, media_type, blobs = make_image([TAR])
    document = json.loads(manifest)
    document["layers"] *= 10_000
    fake.add((json.dumps(document).encode()[: 4 << 20], media_type, blobs))
    refused(client, store, fake, RegistryDataError, r"\b10000\b")


@pytest.mark.parametrize("chunked", [False, True])
def test_a_manifest_of_more_than_four_mebibytes(fake, client, store, chunked):
    data = b'{"schemaVersion":2,"x":"' + b"x" * (4 << 20) + b'"}'

    def in_chunks(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")

    fake.on("GET", "/v2/app/manifests/1", in_chunks if chunked else lambda one: send(one, 200, data))
    refused(client, store, fake, RegistryDataError, r"\b4194304\b")


GOOD = json.loads(make_image([TAR])[0])


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"null",
        b'{"schemaVersion": 2}',
        b"[" * 200_000,
        b'{"schemaVersion": 2, "config": ' + b'{"a":' * 100_000,
        json.dumps(GOOD | {"layers": None}).encode(),
        json.dumps(GOOD | {"config": {"digest": "x", "size": 1}}).encode(),
        json.dumps(GOOD | {"layers": [GOOD["layers"][0] | {"size": -1}]}).encode(),
        json.dumps(GOOD | {"layers": [GOOD["layers"][0] | {"size": 1 << 62}]}).encode(),
        json.dumps(GOOD | {"layers": [GOOD["layers"][0] | {"size": 1e300}]}).encode(),
        json.dumps(GOOD | {"layers": [GOOD["layers"][0] | {"digest": "sha256:../../etc/passwd"}]}).encode(),
        json.dumps(GOOD | {"layers": GOOD["layers"] * 2}).encode(),
        json.dumps({"schemaVersion": 1, "fsLayers": []}).encode(),
    ],
    ids=range(16),
)
def test_a_malformed_manifest(served, client, store, data):
    headers = {"Content-Type": OCI_MANIFEST}
    served.on("GET", "/v2/app/manifests/1", lambda handler: send(handler, 200, data, headers))
    with pytest.raises(RegistryError):
        client.pull(store, served.name())
    nothing_left(store)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests"]), JSON),
    st.dictionaries(st.sampled_from(["digest", "size", "mediaType", "platform"]), JSON),
)
def test_no_document_breaks_the_reader(changes, entry):
    document = GOOD | changes
    if "layers" not in changes:
        document["layers"] = [GOOD["layers"][0] | entry]
    with contextlib.suppress(RegistryError):
        found = read_document(json.dumps(document).encode(), "", "it")
        if found.is_index:
            choose(found, parse_platform("linux/amd64"), "it")
        else:
            read_manifest(found, "it")


CONFIGS = [b"", b"[]", b'{"rootfs":{}}', b"{" * 5000, b'{"rootfs":{"diff_ids":["sha256:.."]}}']


@pytest.mark.parametrize("data", CONFIGS, ids=range(5))
def test_a_malformed_config(fake, client, store, data):
    manifest, media_type, blobs = make_image([TAR])
    config = GOOD["config"]
    manifest = manifest.replace(config["digest"].encode(), digest_of(data).encode())
    manifest = manifest.replace(f'"size": {config["size"]}'.encode(), f'"size": {len(data)}'.encode())
    fake.add((manifest, media_type, blobs | {digest_of(data): data}))
    with pytest.raises(ImageError):
        client.pull(store, fake.name())
    nothing_left(store)


# ---- other places ------------------------------------------------------------------------------------------


def to(location, status=307):
    return lambda handler: send(handler, status, b"", {"Location": location})


def test_a_blob_may_lie_elsewhere_but_credentials_stay(served, other, client, store):
    from runtime.image.registry.credentials import Credential

    other.blobs |= served.blobs

    def gate(handler):
        if "Authorization" in handler.headers:
            return False
        send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="here"'})
        return True

    served.gate = gate
    on_layer(served, to(f"{other.base}/v2/app/blobs/{digest_of(LAYER)}"))
    client.pull(store, served.name(), credential=Credential("me", "secret"))
    assert all(one["Authorization"] for one in served.asked("GET", "/v2/app/"))
    assert [one.get("Authorization") for one in other.asked("GET", "")] == [None]


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("ftp://127.0.0.1/x", "ftp://127.0.0.1/x"),
        ("gopher://127.0.0.1:70/", "gopher://127.0.0.1:70/"),
        ("http://192.0.2.1/blob", "http://192.0.2.1/blob"),
        ("http://user:pass@192.0.2.1/blob", "192.0.2.1/blob"),
        ("http://[::1", "URL"),
        ("http://127.0.0.1:99999/", "URL"),
    ],
)
def test_a_redirect_to_where_we_do_not_go(served, client, store, location, named):
    on_layer(served, to(location))
    text = refused(client, store, served, RedirectRefusedError, named)
    assert "pass@" not in text


def test_redirects_without_end(served, client, store):
    on_layer(served, to(f"/v2/app/blobs/{digest_of(LAYER)}"))
    refused(client, store, served, RedirectRefusedError, r"\b6\b")


# ---- no end ------------------------------------------------------------------------------------------------


def forever(handler, pieces, pause=0.0):
    with contextlib.suppress(OSError):
        for _ in range(100_000):
            handler.wfile.write(pieces)
            handler.wfile.flush()
            time.sleep(pause)
    handler.close_connection = True


def test_headers_without_end(served, brief, store):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
        forever(handler, b"X-More: and more\r\n")

    on_layer(served, answer)
    refused(brief, store, served, ConnectionFailedError, "more than 100 headers")


def test_a_header_line_without_end(served, brief, store):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        forever(handler, b"x" * 4096)

    on_layer(served, answer)
    refused(brief, store, served, ConnectionFailedError, "header line")


@pytest.mark.slow
def test_a_head_that_drips(served, impatient, store):
    def answer(handler):
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        forever(handler, b"x", 0.05)

    on_layer(served, answer)
    refused(impatient, store, served, ConnectionFailedError, "stalls")


@pytest.mark.slow
def test_nothing_comes_at_all(served, prompt, store):
    on_layer(served, lambda handler: handler.rfile.read(1))  # until the client goes
    refused(prompt, store, served, ConnectionFailedError, "stalls")


@pytest.mark.slow
def test_a_body_that_stops(served, prompt, store):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(LAYER)))
        handler.end_headers()
        handler.wfile.write(LAYER[:10])
        handler.wfile.flush()
        handler.rfile.read(1)  # until the client goes

    on_layer(served, answer)
    refused(prompt, store, served, ConnectionFailedError, rf"\b10\D+{len(LAYER)}\b")


@pytest.mark.slow
def test_a_body_that_drips(fake, impatient, store):
    image = make_image([tar_of({"data": os.urandom(100_000)})], "none")
    fake.add(image)
    layer = max(image[2], key=lambda digest: len(image[2][digest]))

    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(image[2][layer])))
        handler.end_headers()
        forever(handler, b"\0", 0.02)

    fake.on("GET", f"/v2/app/blobs/{layer}", answer)
    refused(impatient, store, fake, (ConnectionFailedError, RegistryDataError), "stalls")


@pytest.mark.slow
def test_a_manifest_that_drips(served, impatient, store):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        forever(handler, b" ", 0.02)

    served.on("GET", "/v2/app/manifests/1", answer)
    refused(impatient, store, served, ConnectionFailedError, "comes too slowly")


@pytest.mark.slow
def test_interim_answers_without_end(served, impatient, store):
    on_layer(served, lambda handler: forever(handler, b"HTTP/1.1 100 Continue\r\n\r\n", 0.01))
    refused(impatient, store, served, ConnectionFailedError, "stalls")


def test_not_http_at_all(brief, store):
    noise = Fake()
    noise.gate = lambda handler: forever(handler, gzip.compress(b"x" * 10000))
    try:
        refused(brief, store, noise, RegistryError, "the connection broke")
    finally:
        noise.close()


def test_nobody_there(brief, store):
    gone = Fake()
    gone.close()
    refused(brief, store, gone, ConnectionFailedError, "connection refused")
