"""The registry over real HTTP, and its files: pushes whole and in chunks, lists, deletion, restarts."""

import asyncio
import gzip
import hashlib
import json
import os
import re
import time

import aiohttp
import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from runtime.image.documents import DOCKER_MANIFEST
from runtime.image.documents import INDEX as OCI_INDEX
from runtime.image.documents import MANIFEST as OCI_MANIFEST
from runtime.image.server import blob_routes, identifiers
from runtime.image.server.app import RegistryServer, make_runner, parse
from runtime.image.server.collect import collect
from runtime.image.server.faults import FaultError
from runtime.image.server.manifests import read_manifest
from runtime.image.server.registry_store import RegistryStore
from runtime.image.server.serve import exclusive
from runtime.image.server.uploads import Uploads
from tests.descriptors import open_descriptors

REPO = "some/repo"


def digest_of(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Client:
    """HTTP against one registry."""

    def __init__(self, session, base):
        self.session = session
        self.base = base

    async def ask(self, method, path, **options):
        url = path if path.startswith("http") else self.base + path
        async with self.session.request(method, url, **options) as answer:
            return answer.status, dict(answer.headers), await answer.read()

    async def push(self, data, repository=REPO):
        digest = digest_of(data)
        status, _, _ = await self.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={digest}", data=data)
        assert status == 201
        return digest

    async def push_image(self, tag, layers=(b"layer",), repository=REPO, **fields):
        config = b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": await self.push(config, repository),
                "size": len(config),
            },
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": await self.push(layer, repository),
                    "size": len(layer),
                }
                for layer in layers
            ],
            **fields,
        }
        data = json.dumps(document).encode()
        answer = await self.put_manifest(tag or digest_of(data), data, repository)
        assert answer[0] == 201, answer
        return data, answer

    async def put_manifest(self, reference, data, repository=REPO, media_type=OCI_MANIFEST):
        headers = {"Content-Type": media_type}
        return await self.ask("PUT", f"/v2/{repository}/manifests/{reference}", data=data, headers=headers)


def with_registry(root, story, **options):
    """Run `story(client, registry)` against a registry of `root`."""

    async def run():
        registry = RegistryServer(RegistryStore(root), **options)
        runner = make_runner(registry)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            host, port = runner.addresses[0][:2]
            async with aiohttp.ClientSession() as session:
                return await story(Client(session, f"http://{host}:{port}"), registry)
        finally:
            await runner.cleanup()

    return asyncio.run(run())


def error_of(body):
    return json.loads(body)["errors"][0]["code"]


def test_says_that_it_is_a_registry(tmp_path):
    async def story(client, _):
        status, headers, _ = await client.ask("GET", "/v2/")
        assert status == 200
        assert headers["Docker-Distribution-Api-Version"] == "registry/2.0"

    with_registry(tmp_path, story)


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_comes_back_whole_and_in_part(tmp_path, algorithm):
    data = os.urandom(3000)
    digest = digest_of(data, algorithm)

    async def story(client, _):
        status, headers, _ = await client.ask(
            "POST", f"/v2/{REPO}/blobs/uploads/?digest-algorithm={algorithm}"
        )
        assert status == 202
        status, headers, _ = await client.ask("PUT", f"{headers['Location']}?digest={digest}", data=data)
        assert status == 201
        status, headers, body = await client.ask("GET", headers["Location"])
        assert (status, body, headers["Docker-Content-Digest"]) == (200, data, digest)
        url = f"/v2/{REPO}/blobs/{digest}"
        status, headers, body = await client.ask("HEAD", url)
        assert (status, headers["Content-Length"]) == (200, "3000")
        status, headers, body = await client.ask("GET", url, headers={"Range": "bytes=1000-1999"})
        assert (status, body) == (206, data[1000:2000])
        assert headers["Content-Range"] == "bytes 1000-1999/3000"
        status, _, body = await client.ask("GET", url, headers={"Range": "bytes=2900-"})
        assert (status, body) == (206, data[2900:])
        status, _, _ = await client.ask("GET", url, headers={"Range": "bytes=5000-"})
        assert status == 416

    with_registry(tmp_path, story)


def test_chunks_come_in_order_or_are_refused(tmp_path):
    data = os.urandom(3000)

    async def story(client, _):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        where = headers["Location"]

        def chunk(start, end):
            return {
                "data": data[start:end],
                "headers": {
                    "Content-Range": f"{start}-{end - 1}",
                    "Content-Type": "application/octet-stream",
                },
            }

        status, headers, _ = await client.ask("PATCH", where, **chunk(0, 1000))
        assert (status, headers["Range"]) == (202, "0-999")
        status, headers, body = await client.ask("PATCH", where, **chunk(2000, 3000))
        assert (status, headers["Range"], error_of(body)) == (416, "0-999", "BLOB_UPLOAD_INVALID")
        status, headers, _ = await client.ask("GET", where)
        assert (status, headers["Range"]) == (204, "0-999")
        status, _, _ = await client.ask("PUT", f"{where}?digest={digest_of(data)}", **chunk(2000, 3000))
        assert status == 416
        status, headers, _ = await client.ask("PATCH", where, data=data[1000:2000])  # a stream: no range
        assert (status, headers["Range"]) == (202, "0-1999")
        status, headers, _ = await client.ask("PUT", f"{where}?digest={digest_of(data)}", **chunk(2000, 3000))
        assert status == 201
        assert (await client.ask("GET", headers["Location"]))[2] == data
        assert (await client.ask("GET", where))[0] == 404

    with_registry(tmp_path, story)


def test_an_upload_goes_on_after_a_restart(tmp_path):
    data = os.urandom(5000)

    async def begin(client, _):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        await client.ask("PATCH", headers["Location"], data=data[:2000])
        return headers["Location"]

    where = with_registry(tmp_path, begin)

    async def finish(client, _):
        _, headers, _ = await client.ask("GET", where)
        assert headers["Range"] == "0-1999"
        status, headers, _ = await client.ask("PUT", f"{where}?digest={digest_of(data)}", data=data[2000:])
        assert status == 201
        assert (await client.ask("GET", headers["Location"]))[2] == data

    with_registry(tmp_path, finish)


def test_a_wrong_digest_leaves_nothing(tmp_path):
    async def story(client, registry):
        wrong = digest_of(b"other")
        for path in (f"/v2/{REPO}/blobs/uploads/?digest={wrong}",):
            status, _, body = await client.ask("POST", path, data=b"something")
            assert (status, error_of(body)) == (400, "DIGEST_INVALID")
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        status, _, body = await client.ask("PUT", f"{headers['Location']}?digest={wrong}", data=b"something")
        assert (status, error_of(body)) == (400, "DIGEST_INVALID")
        assert (await client.ask("HEAD", f"/v2/{REPO}/blobs/{wrong}"))[0] == 404
        assert list(registry.store.uploads.iterdir()) == []
        assert [path for path in registry.store.blobs.rglob("*") if path.is_file()] == []

    with_registry(tmp_path, story)


def test_a_cancelled_upload_is_gone(tmp_path):
    async def story(client, registry):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        assert (await client.ask("DELETE", headers["Location"]))[0] == 204
        assert (await client.ask("PATCH", headers["Location"], data=b"x"))[0] == 404
        assert list(registry.store.uploads.iterdir()) == []

    with_registry(tmp_path, story)


def test_an_upload_belongs_to_its_repository(tmp_path):
    async def story(client, _):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        where = headers["Location"].replace(REPO, "other/repo")
        status, _, body = await client.ask("PATCH", where, data=b"x")
        assert (status, error_of(body)) == (404, "BLOB_UPLOAD_UNKNOWN")

    with_registry(tmp_path, story)


def test_blobs_are_mounted_from_another_repository_and_seen_only_there(tmp_path):
    async def story(client, registry):
        digest = await client.push(b"shared", "from/here")
        assert (await client.ask("HEAD", f"/v2/to/there/blobs/{digest}"))[0] == 404
        mount = f"/v2/to/there/blobs/uploads/?mount={digest}&from=from/here"
        status, headers, _ = await client.ask("POST", mount)
        assert status == 201
        assert (await client.ask("GET", headers["Location"]))[2] == b"shared"
        assert (await client.ask("POST", f"/v2/any/where/blobs/uploads/?mount={digest}"))[0] == 201
        unknown = digest_of(b"unknown")
        status, headers, _ = await client.ask(
            "POST", f"/v2/to/there/blobs/uploads/?mount={unknown}&from=from/here"
        )
        assert status == 202
        assert "Location" in headers
        files = [path for path in registry.store.blobs.rglob("*") if path.is_file()]
        assert len(files) == 1

    with_registry(tmp_path, story)


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST])
def test_a_manifest_comes_back_byte_for_byte(tmp_path, media_type):
    async def story(client, _):
        data, (_, headers, _) = await client.push_image("one", mediaType=media_type)
        assert headers["Docker-Content-Digest"] == digest_of(data)
        for reference in ("one", digest_of(data)):
            status, headers, body = await client.ask("GET", f"/v2/{REPO}/manifests/{reference}")
            assert (status, body, headers["Content-Type"]) == (200, data, media_type)
            assert headers["Docker-Content-Digest"] == digest_of(data)
            status, headers, body = await client.ask("HEAD", f"/v2/{REPO}/manifests/{reference}")
            assert (status, headers["Content-Length"], body) == (200, str(len(data)), b"")

    async def with_type(client, registry):
        original = client.put_manifest
        client.put_manifest = lambda reference, data, repository=REPO: original(
            reference, data, repository, media_type
        )
        await story(client, registry)

    with_registry(tmp_path, with_type)


def test_a_manifest_needs_its_blobs(tmp_path):
    async def story(client, _):
        data, _ = await client.push_image("one")
        document = json.loads(data)
        document["layers"][0]["digest"] = digest_of(b"never pushed")
        status, _, body = await client.put_manifest("two", json.dumps(document).encode())
        assert (status, error_of(body)) == (404, "MANIFEST_BLOB_UNKNOWN")
        elsewhere = document["layers"][0]
        elsewhere["mediaType"] = "application/vnd.oci.image.layer.nondistributable.v1.tar"
        assert (await client.put_manifest("two", json.dumps(document).encode()))[0] == 201

    with_registry(tmp_path, story)


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"not json", OCI_MANIFEST),
        (b"[]", OCI_MANIFEST),
        (b'{"schemaVersion":1}', OCI_MANIFEST),
        (b'{"schemaVersion":2}', OCI_MANIFEST),
        (b'{"schemaVersion":2}', OCI_INDEX),
        (b'{"schemaVersion":2,"manifests":[]}', "text/plain"),
        (b'{"schemaVersion":2,"mediaType":"' + OCI_INDEX.encode() + b'","manifests":[]}', OCI_MANIFEST),
        (b'{"schemaVersion":2,"manifests":[{"digest":"sha256:../../x","size":1}]}', OCI_INDEX),
        (b'{"schemaVersion":2,"manifests":[{"digest":"sha256:%s","size":-1}]}' % (b"0" * 64), OCI_INDEX),
        (b'{"schemaVersion":2,"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}", OCI_INDEX),
    ],
)
def test_what_is_not_a_manifest_is_refused(data, media_type):
    with pytest.raises(FaultError) as caught:
        read_manifest(data, media_type)
    assert caught.value.status == 400


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes_are_a_manifest_or_a_fault(data):
    try:
        read_manifest(data, OCI_MANIFEST)
    except FaultError as fault:
        assert fault.status == 400
        json.loads(fault.body())


def test_a_manifest_that_is_too_long_is_refused(tmp_path):
    async def story(client, _):
        assert (await client.put_manifest("big", b" " * (9 << 20)))[0] == 413

    with_registry(tmp_path, story)


def test_tags_are_listed_in_pages(tmp_path):
    async def story(client, _):
        for tag in ("b", "a", "C", "d"):
            await client.push_image(tag)

        async def tags(query=""):
            _, headers, body = await client.ask("GET", f"/v2/{REPO}/tags/list{query}")
            return json.loads(body)["tags"], headers.get("Link")

        assert await tags() == (["C", "a", "b", "d"], None)
        found, link = await tags("?n=2")
        assert found == ["C", "a"]
        assert link == f'</v2/{REPO}/tags/list?n=2&last=a>; rel="next"'
        assert await tags("?n=2&last=a") == (["b", "d"], None)
        assert await tags("?n=0") == ([], None)
        assert (await client.ask("GET", f"/v2/{REPO}/tags/list?n=x"))[0] == 400
        status, _, body = await client.ask("GET", "/v2/no/such/tags/list")
        assert (status, error_of(body)) == (404, "NAME_UNKNOWN")
        _, _, body = await client.ask("GET", "/v2/_catalog")
        assert json.loads(body) == {"repositories": [REPO]}

    with_registry(tmp_path, story)


def test_several_tags_come_with_one_manifest(tmp_path):
    async def story(client, _):
        data, _ = await client.push_image("one")
        reference = f"{digest_of(data)}?tag=x&tag=y"
        status, headers, _ = await client.put_manifest(reference, data)
        assert (status, headers["OCI-Tag"]) == (201, "x, y")
        assert (await client.ask("GET", f"/v2/{REPO}/manifests/y"))[2] == data

    with_registry(tmp_path, story)


def test_referrers_of_a_subject_that_may_come_later(tmp_path):
    async def story(client, _):
        subject = digest_of(b"to come")
        url = f"/v2/{REPO}/referrers/{subject}"
        status, headers, body = await client.ask("GET", url)
        assert (status, headers["Content-Type"], json.loads(body)["manifests"]) == (200, OCI_INDEX, [])
        described = {"mediaType": OCI_MANIFEST, "digest": subject, "size": 7}
        data, (_, headers, _) = await client.push_image(
            None, subject=described, artifactType="application/x-sbom", annotations={"a": "b"}
        )
        assert headers["OCI-Subject"] == subject
        _, _, body = await client.ask("GET", url)
        assert json.loads(body)["manifests"] == [
            {
                "mediaType": OCI_MANIFEST,
                "size": len(data),
                "digest": digest_of(data),
                "artifactType": "application/x-sbom",
                "annotations": {"a": "b"},
            }
        ]
        _, headers, body = await client.ask("GET", f"{url}?artifactType=other/type")
        assert (headers["OCI-Filters-Applied"], json.loads(body)["manifests"]) == ("artifactType", [])
        assert (await client.ask("DELETE", f"/v2/{REPO}/manifests/{digest_of(data)}"))[0] == 202
        assert json.loads((await client.ask("GET", url))[2])["manifests"] == []
        assert (await client.ask("GET", f"/v2/{REPO}/referrers/sha256:bad"))[0] == 400

    with_registry(tmp_path, story)


def test_deletion_of_tags_manifests_and_blobs(tmp_path):
    async def story(client, _):
        data, _ = await client.push_image("one")
        await client.put_manifest("two", data)
        url = f"/v2/{REPO}/manifests"
        assert (await client.ask("DELETE", f"{url}/one"))[0] == 202
        assert (await client.ask("GET", f"{url}/one"))[0] == 404
        assert (await client.ask("GET", f"{url}/two"))[0] == 200
        assert (await client.ask("DELETE", f"{url}/{digest_of(data)}"))[0] == 202
        assert (await client.ask("GET", f"{url}/two"))[0] == 404
        assert (await client.ask("DELETE", f"{url}/{digest_of(data)}"))[0] == 404
        layer = f"/v2/{REPO}/blobs/{digest_of(b'layer')}"
        assert (await client.ask("DELETE", layer))[0] == 202
        assert (await client.ask("GET", layer))[0] == 404
        assert (await client.ask("DELETE", layer))[0] == 404

    with_registry(tmp_path, story)


def test_collection_keeps_what_is_needed_and_what_is_young(tmp_path):
    async def push(client, _):
        first, _ = await client.push_image("one", layers=(b"kept",))
        await client.push_image("gone", layers=(b"lost",))
        await client.push(b"for a manifest to come")
        assert (await client.ask("DELETE", f"/v2/{REPO}/manifests/gone"))[0] == 202
        return first

    manifest = with_registry(tmp_path, push)
    store = RegistryStore(tmp_path)
    assert collect(store, untagged=True, grace_s=3600).files == 0
    found = collect(store, untagged=True, grace_s=-1)
    assert found.manifests == 1
    assert found.blobs == 2
    kept = {path.name for path in store.blobs.rglob("*") if path.is_file()}
    wanted = [digest_of(manifest), *(one["digest"] for one in json.loads(manifest)["layers"])]
    wanted.append(json.loads(manifest)["config"]["digest"])
    assert kept == {digest.partition(":")[2] for digest in wanted}

    async def pull(client, _):
        assert (await client.ask("GET", f"/v2/{REPO}/manifests/one"))[2] == manifest
        assert (await client.ask("GET", f"/v2/{REPO}/blobs/{digest_of(b'kept')}"))[2] == b"kept"

    with_registry(tmp_path, pull)


def test_collection_keeps_the_children_of_a_tagged_index_and_its_referrers(tmp_path):
    async def push(client, _):
        child, _ = await client.push_image(None)
        index = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "manifests": [{"mediaType": OCI_MANIFEST, "digest": digest_of(child), "size": len(child)}],
        }
        data = json.dumps(index).encode()
        assert (await client.put_manifest("multi", data, media_type=OCI_INDEX))[0] == 201
        subject = {"mediaType": OCI_INDEX, "digest": digest_of(data), "size": len(data)}
        note, _ = await client.push_image(None, subject=subject)
        return child, note

    child, note = with_registry(tmp_path, push)
    store = RegistryStore(tmp_path)
    assert collect(store, untagged=True, grace_s=-1).manifests == 0
    assert store.has_manifest(REPO, digest_of(child))
    assert store.has_manifest(REPO, digest_of(note))


def test_abandoned_uploads_are_given_up(tmp_path):
    store = RegistryStore(tmp_path)
    uploads = Uploads(store)
    old, young = uploads.begin(REPO), uploads.begin(REPO)
    long_ago = time.time() - 100_000
    for path in (old.directory, *old.directory.iterdir()):
        os.utime(path, (long_ago, long_ago))
    assert uploads.expire() == 1
    assert [path.name for path in store.uploads.iterdir()] == [young.id]
    with pytest.raises(FaultError, match=old.id):
        uploads.get(REPO, old.id)


def test_many_begun_uploads_hold_no_descriptor(tmp_path):
    uploads = Uploads(RegistryStore(tmp_path))
    before = open_descriptors()
    begun = [uploads.begin(REPO) for _ in range(20)]
    for upload in begun:
        upload.write(b"some")
        upload.write(b"thing")
    assert open_descriptors() <= before
    assert {(one.offset, one.digest("sha256")) for one in begun} == {(9, digest_of(b"something"))}
    spellings = (begun[0].id.upper(), begun[0].id.replace("-", ""), f"urn:uuid:{begun[0].id}")
    assert all(uploads.get(REPO, one) is begun[0] for one in spellings), "two would mix their bytes"


def test_bodies_are_taken_as_they_come(tmp_path):
    data = gzip.compress(b"x" * 100)
    headers = {"Content-Encoding": "gzip"}

    async def story(client, _):
        where = f"/v2/{REPO}/blobs/uploads/?digest={digest_of(data)}"
        assert (await client.ask("POST", where, data=data, headers=headers))[0] == 201
        headers["Content-Type"] = OCI_MANIFEST
        status, _, body = await client.ask("PUT", f"/v2/{REPO}/manifests/x", data=data, headers=headers)
        assert (status, error_of(body)) == (400, "MANIFEST_INVALID")

    with_registry(tmp_path, story)


def test_what_can_be_read_has_a_head_and_other_methods_are_listed(tmp_path):
    async def story(client, _):
        await client.push_image("one")
        for path in ("/v2/", "/v2/_catalog", f"/v2/{REPO}/tags/list", f"/v2/{REPO}/manifests/one"):
            assert (await client.ask("HEAD", path))[0] == 200
            status, answer, _ = await client.ask("POST", path)
            assert (status, {"GET", "HEAD"} <= set(answer["Allow"].split(", "))) == (405, True)

    with_registry(tmp_path, story)


def test_an_upload_is_not_held_by_who_sends_nothing_more(tmp_path, monkeypatch):
    monkeypatch.setattr(blob_routes, "STALL_S", 0.05)

    async def story(client, _):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        host, port = client.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PATCH {headers['Location']} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
        writer.write(head.encode())
        assert b" 408 " in await reader.readline()
        status, answer, _ = await client.ask("PATCH", headers["Location"], data=b"def")
        assert (status, answer["Range"]) == (202, "0-5")
        writer.close()

    with_registry(tmp_path, story)


def test_who_goes_away_in_the_middle_of_an_upload_can_go_on(tmp_path, caplog):
    async def story(client, registry):
        _, headers, _ = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        host, port = client.base.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"PATCH {headers['Location']} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc"
        writer.write(head.encode())
        writer.write_eof()
        assert await reader.read() == b""
        upload = registry.uploads.get(REPO, headers["Docker-Upload-UUID"])
        while upload.busy:
            await asyncio.sleep(0)
        writer.close()
        assert (await client.ask("GET", headers["Location"]))[1]["Range"] == "0-2"

    with_registry(tmp_path, story)
    assert caplog.text == ""


def test_a_read_only_registry_only_gives(tmp_path):
    async def push(client, _):
        await client.push_image("one")

    async def story(client, _):
        assert (await client.ask("GET", f"/v2/{REPO}/manifests/one"))[0] == 200
        status, _, body = await client.ask("POST", f"/v2/{REPO}/blobs/uploads/")
        assert (status, error_of(body)) == (405, "DENIED")

    with_registry(tmp_path, push)
    with_registry(tmp_path, story, read_only=True)


def test_one_process_a_directory(tmp_path):
    from runtime.image.errors import ImageError

    with (
        exclusive(tmp_path),
        pytest.raises(ImageError, match=re.escape(str(tmp_path))),
        exclusive(tmp_path),
    ):
        pass


@pytest.mark.parametrize(
    "path",
    [
        "/v2/../../etc/passwd/blobs/sha256:00",
        "/v2/a/../b/manifests/x",
        "/v2/_blobs/manifests/x",
        "/v2/Upper/manifests/x",
        "/v2/a//b/manifests/x",
        "/v2/a/_tags/manifests/x",
        "/v2/" + "a" * 300 + "/manifests/x",
        "/other",
    ],
)
def test_paths_that_name_nothing(path):
    with pytest.raises(FaultError):
        parse(path)


@given(st.text(max_size=60))
def test_a_name_that_passes_is_safe_as_a_path(text):
    try:
        found = identifiers.repository(text)
    except FaultError:
        return
    assert ".." not in found.split("/")
    assert not found.startswith("/")
    assert not any(part.startswith(("_", ".")) or not part for part in found.split("/"))
