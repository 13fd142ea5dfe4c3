"""The counting registry for real: a registry of its own, a relay that counts, and the two images."""

import contextlib
import json
import socket
import threading
import urllib.error
import urllib.request

import pytest

from bench.backends.resources import owned
from bench.counting_registry import CountingRegistry, CountingRegistryError
from bench.counting_registry.images import LARGE, LAST, make_layer, push_images
from bench.counting_registry.relay import Relay

pytestmark = pytest.mark.programs

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    where = tmp_path_factory.mktemp("registry")
    program = where / "program"
    program.write_bytes(b"\x7fELF and so on")
    with CountingRegistry(where / "all", program) as opened:
        yield opened


def fetch(reference, what):
    host, _, rest = reference.partition("/")
    repository = rest.rpartition(":")[0]
    request = urllib.request.Request(f"http://{host}/v2/{repository}/{what}", headers={"Accept": DOCKER})
    with urllib.request.urlopen(request) as answer:
        return answer.read()


def manifest(image):
    return json.loads(fetch(image.reference, f"manifests/{image.reference.rpartition(':')[2]}"))


def test_the_images_differ_in_their_last_layer_alone(registry):
    base, changed = manifest(registry.base), manifest(registry.changed)
    digests = [[layer["digest"] for layer in one["layers"]] for one in (base, changed)]
    assert digests[0][:-1] == digests[1][:-1]
    assert digests[0][-1] != digests[1][-1]
    assert registry.changed.last_layer == changed["layers"][-1]["size"] == registry.last_layer("changed")


def test_nothing_in_them_can_be_compressed(registry):
    assert registry.base.last_layer >= LAST
    assert registry.base.bytes >= 2 * LARGE + LAST


def test_the_relay_counts_what_travels_both_ways(registry):
    before = registry.moved()
    layer = manifest(registry.changed)["layers"][-1]
    asked = registry.moved()
    assert 0 < asked.since(before).to_registry < 2000
    body = fetch(registry.changed.reference, f"blobs/{layer['digest']}")
    moved = registry.moved().since(asked)
    assert len(body) == layer["size"]
    assert layer["size"] < moved.from_registry < layer["size"] + 2000


def test_closing_leaves_nothing(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"x")
    with CountingRegistry(tmp_path / "all", program) as opened:
        reference = opened.base.reference
        assert owned.path(tmp_path / "all").exists()
    assert list((tmp_path / "all").iterdir()) == []
    with pytest.raises(urllib.error.URLError):
        fetch(reference, "manifests/base")


def test_a_registry_that_cannot_start_says_why(tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"x")
    where = owned.directory(tmp_path / "all")
    (where / "lock").mkdir()
    with (
        pytest.raises(CountingRegistryError, match="EISDIR"),
        CountingRegistry(tmp_path / "all", program),
    ):
        pass


def test_a_registry_that_refuses_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with pytest.raises(CountingRegistryError, match="POST"):
        push_images(port, port, "a/b", b"program")


def test_the_same_layer_is_the_same_bytes():
    assert make_layer("a", b"data", b"p") == make_layer("a", b"data", b"p")


def test_the_relay_hands_on_a_half_closed_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve():
            connection, _ = server.accept()
            with connection:
                got = b""
                while data := connection.recv(100):
                    got += data
                connection.sendall(got.upper())

        thread = threading.Thread(target=serve)
        thread.start()
        relay = Relay(server.getsockname()[1])
        with contextlib.closing(relay), socket.create_connection(("127.0.0.1", relay.port)) as client:
            client.sendall(b"hello")
            client.shutdown(socket.SHUT_WR)
            assert client.recv(100) == b"HELLO"
            assert client.recv(100) == b""
            assert (relay.moved().to_registry, relay.moved().from_registry) == (5, 5)
        thread.join()
