"""Pull, push, login and inspect through the API, against a small registry over real HTTP."""

import base64
import json
from urllib.parse import quote

import pytest

from runtime.image.registry.client import RegistryClient
from runtime.image.registry.credentials import Credential, encode_header
from runtime.image.registry.options import RegistryOptions
from runtime.image.store.image_store import ImageStore
from tests.runtime.api.serving import with_api
from tests.runtime.registries import Fake, digest_of, make_image, ours, send, tar_of

TAR = tar_of({"file": b"x" * 3000})


@pytest.fixture
def fake():
    registry = Fake()
    registry.add(make_image([TAR]))
    yield registry
    registry.close()


@pytest.fixture
def ask(tmp_path):
    """Ask the API, with a store and a registry client that are real; returns status and what came."""
    store = ImageStore(tmp_path / "images")
    events = []

    def ask(method, path, body=None, **headers):
        found = []

        async def story(served):
            served.service.images = store
            served.service.registry = RegistryClient(RegistryOptions(attempts=1))
            served.service.events.publish = lambda *event: events.append(event)
            status, _, data = await served.ask(method, f"/v1.45{path}", body, **headers)
            lines = [json.loads(line) for line in data.splitlines()]
            found.append((status, lines))

        with_api(tmp_path, story)
        return found[0]

    ask.store, ask.events = store, events
    return ask


def test_a_pull_prints_docker_lines_and_what_it_moved(ask, fake):
    status, lines = ask("POST", f"/images/create?fromImage={fake.host}/app&tag=1")
    assert status == 200
    assert lines[0] == {"status": "Pulling from app", "id": "1"}
    layer = [line["status"] for line in lines if len(line.get("id", "")) == 12]
    assert layer[0] == "Pulling fs layer"
    assert layer[-2:] == ["Download complete", "Pull complete"]
    words = [line["status"] for line in lines if "status" in line]
    assert words[-1] == f"Status: Downloaded newer image for {fake.host}/app:1"
    assert words[-2].startswith("Digest: sha256:")
    aux = lines[-1]["aux"]
    assert aux["ID"] == ask.store.find_id(fake.name())
    assert aux["Transfer"]["moved"] == 2
    assert sum(aux["Transfer"]["blobs"].values()) < aux["Transfer"]["received"]
    assert ask.events == [("image", "pull", fake.name(), {"name": f"{fake.host}/app"})]
    _, lines = ask("POST", f"/images/create?fromImage={fake.name()}&tag=")
    assert lines[-2]["status"] == f"Status: Image is up to date for {fake.name()}"
    assert len(lines) == 4  # nothing of its layers: pulling, digest, status, and what moved


def test_a_pull_by_digest_and_of_all_tags(ask, fake):
    digest = digest_of(fake.manifests["app", "1"][0])
    status, lines = ask("POST", f"/images/create?fromImage={fake.host}/app&tag={digest}")
    assert (status, lines[-1]["aux"]["Digest"]) == (200, digest)
    assert ask.store.resolve(f"{fake.host}/app@{digest}").names == ()
    fake.add(make_image([TAR, tar_of({"b": b"b"})]), tag="2")
    status, lines = ask("POST", f"/images/create?fromImage={fake.host}/app")
    assert [one.reference for one in ask.store.list()] == [fake.name("1"), fake.name("2")]
    assert len([line for line in lines if "aux" in line]) == 2


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("{host}/none:1", 404, "manifest for {host}/none:1 not found"),
        ("{host}/UPPER:1", 400, "invalid reference format"),
        ("127.0.0.1:1/app:1", 500, "connection refused"),
    ],
)
def test_what_fails_before_it_began_is_a_status(ask, fake, name, status, words):
    found, (answer,) = ask("POST", f"/images/create?fromImage={name.format(host=fake.host)}")
    assert (found, answer.keys()) == (status, {"message"})
    assert words.format(host=fake.host) in answer["message"]


def test_what_fails_later_is_the_last_line(ask, fake):
    layer = json.loads(fake.manifests["app", "1"][0])["layers"][0]["digest"]
    fake.blobs[layer] = bytes(len(fake.blobs[layer]))
    status, lines = ask("POST", f"/images/create?fromImage={fake.name()}")
    assert status == 200
    assert lines[-1]["error"] == lines[-1]["errorDetail"]["message"]
    assert layer in lines[-1]["error"]


def test_a_push(ask, tmp_path):
    with ours(tmp_path / "registry") as host:
        tar = tmp_path / "layer.tar"
        tar.write_bytes(TAR)
        for tag in ("1", "2"):
            image = ask.store.create(f"{host}/app:{tag}", [tar])
        status, lines = ask("POST", f"/images/{host}/app/push?tag=1", X_Registry_Auth="e30=")
        assert (status, lines[0]["status"]) == (200, f"The push refers to repository [{host}/app]")
        assert {"Preparing", "Pushed"} <= {line.get("status") for line in lines}
        size = len(ask.store.manifest(image))
        assert lines[-2]["status"] == f"1: digest: {image.digest} size: {size}"
        aux = lines[-1]["aux"]
        assert (aux["Tag"], aux["Digest"], aux["Size"]) == ("1", image.digest, size)
        assert aux["Transfer"]["moved"] == 2
        _, lines = ask("POST", f"/images/{host}/app/push", X_Registry_Auth="{}")
        assert [line["aux"]["Tag"] for line in lines if "aux" in line] == ["1", "2"]
    assert ("image", "push", f"{host}/app:1", {"name": f"{host}/app"}) in ask.events


def test_a_push_of_what_is_not_here(ask):
    status, lines = ask("POST", "/images/127.0.0.1:1/app/push?tag=x")
    assert status == 200
    assert lines[0]["status"] == "The push refers to repository [127.0.0.1:1/app]"
    assert lines[-1]["errorDetail"] == {
        "message": "An image does not exist locally with the tag: 127.0.0.1:1/app"
    }


def guarded(fake):
    pair = base64.b64encode(b"me:secret").decode()

    def gate(handler):
        if handler.headers.get("Authorization") == f"Basic {pair}":
            return False
        send(handler, 401, b"", {"WWW-Authenticate": 'Basic realm="x"'})
        return True

    fake.gate = gate


def test_credentials_come_with_the_request(ask, fake):
    guarded(fake)
    header = encode_header(fake.host, Credential("me", "secret"))
    status, _ = ask("POST", f"/images/create?fromImage={fake.name()}", X_Registry_Auth=header)
    assert status == 200
    status, (answer,) = ask("POST", f"/images/create?fromImage={fake.name()}")
    assert status == 404
    assert "pull access denied" in answer["message"]


def test_a_login(ask, fake):
    guarded(fake)
    document = {"username": "me", "password": "secret", "serveraddress": fake.host}
    assert ask("POST", "/auth", document) == (200, [{"Status": "Login Succeeded", "IdentityToken": ""}])
    status, (answer,) = ask("POST", "/auth", document | {"password": "wrong"})
    assert status == 401
    assert answer["message"].startswith(f'Get "{fake.base}/v2/": unauthorized')
    for wrong in ("[", "a b", "r.example:99999", "ñ.example"):
        status, (answer,) = ask("POST", "/auth", document | {"serveraddress": wrong})
        assert (status, "unable to parse server address" in answer["message"]) == (400, True)


def test_what_a_name_leads_to(ask, fake):
    platform = {"os": "linux", "architecture": "arm", "variant": "v6"}
    index = fake.add_index([(make_image([TAR], architecture="arm", variant="v6"), platform)], tag="multi")
    status, (answer,) = ask("GET", f"/distribution/{fake.host}/app:multi/json")
    assert (status, answer["Descriptor"]["digest"]) == (200, index)
    assert answer["Platforms"] == [platform]
    status, (answer,) = ask("GET", f"/distribution/{fake.name()}/json")
    assert answer["Descriptor"]["size"] == len(fake.manifests["app", "1"][0])
    assert answer["Platforms"] == [{"os": "linux", "architecture": "amd64"}]


def test_a_search_among_what_a_registry_lists(ask, fake):
    names = json.dumps({"repositories": ["app", "other", "team/app"]}).encode()
    fake.on("GET", "/v2/_catalog", lambda handler: send(handler, 200, names))
    status, (answer,) = ask("GET", f"/images/search?term={fake.host}/app&limit=5")
    assert status == 200
    assert [one["name"] for one in answer] == [f"{fake.host}/app", f"{fake.host}/team/app"]
    _, (answer,) = ask("GET", f"/images/search?term={fake.host}/app&filters=%7B%22stars%22:[%221%22]%7D")
    assert answer == []
    status, (answer,) = ask("GET", f"/images/search?term={fake.host}/ap-")  # no name, but a part of one
    assert (status, answer) == (200, [])
    assert ask("GET", "/images/search?term=x&limit=500")[0] == 400


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        ({"stars": ["a"]}, "stars=a"),
        ({"is-official": ["a"]}, "is-official=[a]"),
        ({"is-automated": ["true", "false"]}, "is-automated=[true false]"),
        ({"other": ["1"]}, "other"),
    ],
)
def test_a_wrong_filter_is_found_before_anybody_is_asked(ask, filters, shown):
    status, (answer,) = ask(
        "GET", f"/images/search?term=127.0.0.1:1/app&filters={quote(json.dumps(filters))}"
    )
    assert (status, answer["message"]) == (400, f"invalid filter '{shown}'")
