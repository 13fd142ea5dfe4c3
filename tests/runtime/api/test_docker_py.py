"""docker-py against a real daemon."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator

import docker
import pytest
from docker.errors import APIError, NotFound

from tests.runtime.daemon_process import Daemon

pytestmark = pytest.mark.root


@pytest.fixture
def client(daemon: Daemon) -> Iterator[docker.DockerClient]:
    client = docker.DockerClient(base_url=daemon.host)
    try:
        yield client
    finally:
        for container in client.containers.list(all=True):
            container.remove(force=True)
        client.close()


def test_a_run_returns_its_output(client: docker.DockerClient):
    assert client.containers.run("busybox", "echo hello", remove=True) == b"hello\n"
    with pytest.raises(docker.errors.ContainerError) as raised:
        client.containers.run("busybox", ["sh", "-c", "echo no >&2; exit 3"], remove=True)
    assert (raised.value.exit_status, raised.value.stderr) == (3, b"no\n")


def test_a_container_runs_and_its_log_is_read(client: docker.DockerClient):
    container = client.containers.run("busybox", "sleep 60", detach=True, name="long", labels={"a": "b"})
    assert container.status in ("created", "running")
    container.reload()
    assert container.status == "running"
    assert [one.name for one in client.containers.list(filters={"label": "a=b"})] == ["long"]
    code, output = container.exec_run("cat /proc/1/comm")
    assert (code, output) == (0, b"sleep\n")
    code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2; exit 2"], demux=True)
    assert (code, out, err) == (2, b"o\n", b"e\n")
    assert container.top()["Titles"]
    assert container.stats(stream=False)["pids_stats"]["current"] >= 1
    container.kill()
    assert container.wait()["StatusCode"] == 137


def test_archives_go_both_ways(client: docker.DockerClient):
    container = client.containers.create("busybox", "true")
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w") as tar:
            entry = tarfile.TarInfo("file")
            entry.size = 4
            tar.addfile(entry, io.BytesIO(b"text"))
        assert container.put_archive("/tmp", packed.getvalue())
    chunks, stat = container.get_archive("/tmp/file")
    assert (stat["name"], stat["size"]) == ("file", 4)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.extractfile("file")
        assert member is not None
        assert member.read() == b"text"


def test_logs_follow_and_events_stream(client: docker.DockerClient):
    events = client.events(decode=True, filters={"type": "container"})
    container = client.containers.run("busybox", ["sh", "-c", "echo a; sleep 0.3; echo b"], detach=True)
    assert b"".join(container.logs(stream=True, follow=True)) == b"a\nb\n"
    actions = [next(events)["Action"] for _ in range(3)]
    events.close()
    assert [one for one in actions if one in ("create", "start", "die")] == ["create", "start", "die"]


def test_a_socket_is_given(client: docker.DockerClient):
    container = client.containers.create("busybox", "cat", stdin_open=True, tty=False)
    sock = container.attach_socket(params={"stdin": 1, "stdout": 1, "stream": 1})
    container.start()
    sock._sock.sendall(b"typed\n")
    head = sock._sock.recv(8)
    assert head[0] == 1
    assert sock._sock.recv(100) == b"typed\n"
    sock.close()
    container.kill()


def test_errors_are_of_the_right_kind(client: docker.DockerClient):
    with pytest.raises(NotFound, match="No such container: none"):
        client.containers.get("none")
    with pytest.raises(APIError, match="invalid filter 'color'"):
        client.containers.list(filters={"color": "red"})
