"""Every verb once, at a real daemon: a table that has to name them all."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator

import pytest

from runtime.cli.start import index
from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")]

ID, IMAGE = r"[0-9a-f]{64}\n", r"sha256:[0-9a-f]{64}\n"
STEPS: tuple[tuple[str, str], ...] = (
    ("version -f {{.Server.ApiVersion}}", r"1\.\d+\n"),
    ("system info -f {{.OSType}}", "linux\n"),
    ("context create far --docker host=unix:///nowhere --description x", "far\n"),
    ("context update far --docker host={host}", "far\n"),
    ("context ls -q", "default\nfar\n"),
    ("context inspect far -f {{.Endpoints.docker.Host}}", "{host}\n"),
    ("context use far", "far\n"),
    ("context show", "default\n"),  # NN_HOST goes before it
    ("-c far image ls -q", "[0-9a-f]{12}\n"),
    ("context rm -f far", "far\n"),
    ("network create --label t=1 inner", ID),
    ("network ls -q --filter name=inner", "[0-9a-f]{12}\n"),
    ("volume create data", "data\n"),
    ("volume ls -q", "data\n"),
    ("volume inspect -f {{.Driver}} data", "local\n"),
    ("container create --name box -i --network inner -p 127.0.0.1::80 -v data:/data busybox sleep 600", ID),
    ("container start box", "box\n"),
    ("network inspect -f {{len .Containers}} inner", "1\n"),
    ("network disconnect inner box", ""),
    ("network connect --alias db inner box", ""),
    ("container run --rm busybox echo run", "run\n"),
    ("container exec box echo exec", "exec\n"),
    ("container ls -q", "[0-9a-f]{12}\n"),
    ("container inspect -f {{.Name}} box", "/box\n"),
    ("inspect -f {{.Name}} inner", "inner\n"),
    ("container port box 80", r"127\.0\.0\.1:\d+\n"),
    ("container top box", r"(?s)UID .*sleep 600\n"),
    ("container stats --no-stream --format {{.Name}} box", "box\n"),
    ("container cp {file} box:/copied", ""),
    ("container diff box", "(?s).*A /copied\n.*"),
    ("container update --memory 64m box", "box\n"),
    ("container pause box", "box\n"),
    ("container unpause box", "box\n"),
    ("container restart -t 0 box", "box\n"),
    ("container rename box box2", ""),
    ("container commit -m made box2 made:1", IMAGE),
    ("container export -o {tmp}/box.tar box2", ""),
    ("container kill box2", "box2\n"),
    ("container wait box2", "137\n"),
    ("container stop box2", "box2\n"),
    ("container rm box2", "box2\n"),
    ("container run --name said --network none busybox echo said", "said\n"),
    ("container logs said", "said\n"),
    ("container start -a said", "said\n"),
    ("container prune -f", f"Deleted Containers:\n{ID}\nTotal reclaimed space: .*\n"),
    ("image import {tmp}/box.tar imported:1", IMAGE),
    ("image history -q made:1", "(?s)[0-9a-f]{12}\n.*"),
    ("image inspect -f {{.Comment}} made:1", "made\n"),
    ("image tag made:1 {registry}/made:1", ""),
    ("image push -q {registry}/made:1", "{registry}/made:1\n"),
    ("image rm {registry}/made:1", "Untagged: .*\n(Untagged: .*\n)?"),
    ("image pull -q {registry}/made:1", "{registry}/made:1\n"),
    ("image save -o {tmp}/made.tar made:1", ""),
    ("image load -q -i {tmp}/made.tar", "Loaded image: made:1\n"),
    ("image build -q -t built:1 {tmp}/context", IMAGE),
    ("login -u me -p pw {registry}", "Login Succeeded\n"),
    ("logout {registry}", "Removing login credentials for .*\n"),
    ("network rm inner", "inner\n"),
    ("network prune -f", ""),
    ("volume rm data", "data\n"),
    ("volume prune -f", "Total reclaimed space: 0B\n"),
    ("image prune -f", "(?s).*Total reclaimed space: .*\n"),
    ("builder prune -f", "(?s).*Total.*\n"),
    ("system df --format {{.Type}}", "Images\nContainers\nLocal Volumes\nBuild Cache\n"),
    ("system events --since {began} --until 0s --filter event=restart --format {{.Action}}", "restart\n"),
    ("system prune -f", "(?s).*Total reclaimed space: .*\n"),
    ("completion bash", "(?s).*complete -F _nn nn\n"),
)
ELSEWHERE = {
    "container attach": "test_client_terminals.py",
    "serve registry": "the fixture",
    "search": "runtime/api's tests: it needs an index",
    "system dial-stdio": "test_ways.py",
}
"""Verbs that no line can try: what tries them."""


@pytest.fixture(scope="module")
def places(
    daemon: Daemon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Client, dict[str, str]]]:
    """`nn`, a registry that it serves, and what the table's names stand for."""
    here = tmp_path_factory.mktemp("verbs")
    (here / "file").write_text("content")
    (here / "context").mkdir()
    (here / "context/Dockerfile").write_text("FROM busybox\nCMD true\n")
    nn = Client("nn", daemon)
    line = ("serve", "registry", "--root", here / "registry", "--listen", "127.0.0.1:0")
    with nn.start(*line, stderr=subprocess.DEVNULL) as registry:
        assert registry.stdout is not None
        address = registry.stdout.readline().decode().split()[-1].removeprefix("http://")
        names = {
            "began": f"{time.time():.6f}",
            "tmp": str(here),
            "file": str(here / "file"),
            "registry": address,
            "host": daemon.host,
        }
        yield nn, names
        registry.terminate()


def filled(text: str, names: dict[str, str], *, escape: bool = False) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", re.escape(value) if escape else value)
    return text


def test_every_verb_works(places: tuple[Client, dict[str, str]]):
    nn, names = places
    for line, said in STEPS:
        out = nn(*re.findall(r"(?:\{\{.*?\}\}|\S)+", filled(line, names)))
        assert re.fullmatch(filled(said, names, escape=True), out), (line, out)


def test_the_table_names_every_verb():
    tried = {index.split(line.removeprefix("-c far ").split())[0] for line, _ in STEPS}
    assert tried | set(ELSEWHERE) == set(index.VERBS)
    assert not tried & set(ELSEWHERE)
