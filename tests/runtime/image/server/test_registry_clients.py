"""Our registry under clients that others wrote: skopeo, docker and podman push and pull, list and delete."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from bench.counting_registry.images import make_layer, push_image
from bench.counting_registry.registry import RegistryProcess
from tests.runtime.container_rootfs import in_plain_chroot
from tests.runtime.own_dockerd import own_dockerd

pytestmark = [pytest.mark.peers, pytest.mark.slow]

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
OCI = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    served = RegistryProcess(tmp_path_factory.mktemp("registry") / "root")
    yield served
    served.close()


@pytest.fixture(scope="module")
def host(registry):
    layers = [make_layer("etc/one", os.urandom(100_000)), make_layer("etc/two", b"two\n" * 1000)]
    push_image(registry.port, "some/image", "1", layers)
    return f"127.0.0.1:{registry.port}"


def run(*argv, **options):
    if shutil.which(argv[0]) is None:
        pytest.skip(f"{argv[0]} is not installed; run `nox -s setup -- --tests`")
    done = subprocess.run(argv, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout


def manifest(host, repository, tag):
    request = urllib.request.Request(
        f"http://{host}/v2/{repository}/manifests/{tag}", headers={"Accept": f"{DOCKER}, {OCI}"}
    )
    with urllib.request.urlopen(request) as answer:
        return answer.headers["Docker-Content-Digest"], json.load(answer)


def layers(host, repository, tag):
    return [layer["digest"] for layer in manifest(host, repository, tag)[1]["layers"]]


def skopeo(*arguments):
    return run("skopeo", "--insecure-policy", *arguments)


def test_skopeo_copies_an_image_unchanged_into_another_repository(host):
    options = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", *options, f"docker://{host}/some/image:1", f"docker://{host}/by/skopeo:2")
    assert manifest(host, "by/skopeo", "2")[0] == manifest(host, "some/image", "1")[0]
    tags = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{host}/by/skopeo"))
    assert tags["Tags"] == ["2"]


def test_skopeo_takes_it_through_an_oci_layout_and_back(host, tmp_path):
    skopeo("copy", "--src-tls-verify=false", f"docker://{host}/some/image:1", f"oci:{tmp_path}/layout:x")
    skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:x", f"docker://{host}/by/skopeo:oci")
    digest, document = manifest(host, "by/skopeo", "oci")
    assert document["mediaType"] == OCI
    assert layers(host, "by/skopeo", "oci") == layers(host, "some/image", "1")
    inspected = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{host}/by/skopeo:oci"))
    assert inspected["Digest"] == digest


def test_skopeo_deletes(host):
    options = ("--src-tls-verify=false", "--dest-tls-verify=false")
    skopeo("copy", *options, f"docker://{host}/some/image:1", f"docker://{host}/to/delete:1")
    skopeo("delete", "--tls-verify=false", f"docker://{host}/to/delete:1")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        manifest(host, "to/delete", "1")


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory):
    if os.geteuid() != 0 or shutil.which("dockerd") is None or shutil.which("docker") is None:
        pytest.skip("dockerd needs root, docker.io and docker-cli; run `nox -s setup -- --peers --tests`")
    with own_dockerd(tmp_path_factory.mktemp("dockerd")) as api:
        yield f"unix://{api.path}"


@pytest.mark.root
def test_docker_pulls_and_pushes(host, dockerd):
    docker = ("docker", "--host", dockerd)
    pulled = run(*docker, "pull", f"{host}/some/image:1")
    assert manifest(host, "some/image", "1")[0] in pulled
    run(*docker, "tag", f"{host}/some/image:1", f"{host}/by/docker:3")
    run(*docker, "push", f"{host}/by/docker:3")
    assert layers(host, "by/docker", "3") == layers(host, "some/image", "1")
    run(*docker, "rmi", f"{host}/some/image:1", f"{host}/by/docker:3")
    run(*docker, "pull", f"{host}/by/docker:3")


@pytest.mark.root
def test_podman_pulls_and_pushes(host, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("podman's storage here needs root")
    if in_plain_chroot():
        pytest.skip("the root is a plain chroot, where podman cannot unpack")
    podman = (
        *("podman", "--root", f"{tmp_path}/root", "--runroot", f"{tmp_path}/run", "--storage-driver", "vfs"),
        *("--tmpdir", f"{tmp_path}/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "none"),
    )
    run(*podman, "pull", "--tls-verify=false", f"{host}/some/image:1")
    run(*podman, "tag", f"{host}/some/image:1", f"{host}/by/podman:4")
    run(*podman, "push", "--tls-verify=false", f"{host}/by/podman:4")
    assert len(layers(host, "by/podman", "4")) == 2
    run(*podman, "rmi", "--all", "--force")
    run(*podman, "pull", "--tls-verify=false", f"{host}/by/podman:4")


def test_it_serves_on_after_a_kill(registry, host, tmp_path):
    """What was pushed before is there: a new process serves the same files."""
    root = tmp_path / "root"
    first = RegistryProcess(root)
    push_image(first.port, "kept/image", "1", [make_layer("a", b"x" * 1000)])
    first.close()  # by SIGKILL
    second = RegistryProcess(root)
    try:
        assert len(layers(f"127.0.0.1:{second.port}", "kept/image", "1")) == 1
    finally:
        second.close()
    collected = run(
        *(sys.executable, "-m", "runtime.image.server", "--root", str(root)),
        *("--collect", "--untagged", "--grace", "-1"),
    )
    assert collected.startswith("removed 0 manifests")
