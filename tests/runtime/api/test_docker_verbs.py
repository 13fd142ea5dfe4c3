"""Every verb of the unmodified docker command once at a real daemon; the table must name them all."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.runtime.daemon_process import Daemon
from tests.runtime.registries import ours

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]

ID, IMAGE = r"[0-9a-f]{64}\n", r"sha256:[0-9a-f]{64}\n"
STEPS: tuple[tuple[str, str], ...] = (
    ("version -f {{.Server.Os}}", "linux\n"),
    ("info -f {{.OSType}}", "linux\n"),
    ("system info -f {{.Driver}}", "overlay2\n"),
    ("network create --label t=1 inner", ID),
    ("network ls -q -f name=inner", "[0-9a-f]{12}\n"),
    ("volume create data", "data\n"),
    ("volume ls -q", "data\n"),
    ("volume inspect -f {{.Driver}} data", "local\n"),
    ("create --name box -i --net inner -p 127.0.0.1::80 -v data:/data --stop-timeout 0 busybox cat", ID),
    ("start box", "box\n"),
    ("network inspect -f {{len .Containers}} inner", "1\n"),
    ("network disconnect inner box", ""),
    ("network connect --alias db inner box", ""),
    ("run --rm busybox echo run", "run\n"),
    ("exec box echo exec", "exec\n"),
    ("ps -q", "[0-9a-f]{12}\n"),
    ("container ls -q", "[0-9a-f]{12}\n"),
    ("inspect -f {{.Name}} box", "/box\n"),
    ("container inspect -f {{.State.Status}} box", "running\n"),
    ("port box 80", r"127\.0\.0\.1:\d+\n"),
    ("top box", r"(?s)UID .*cat\n"),
    ("stats --no-stream --format {{.Name}} box", "box\n"),
    ("cp {file} box:/copied", ""),
    ("diff box", "(?s).*A /copied\n.*"),
    ("update --memory 64m box", "box\n"),
    ("pause box", "box\n"),
    ("unpause box", "box\n"),
    ("restart -t 0 box", "box\n"),
    ("rename box box2", ""),
    ("commit -m made box2 made:1", IMAGE),
    ("export -o {tmp}/box.tar box2", ""),
    ("kill box2", "box2\n"),
    ("wait box2", "137\n"),
    ("stop box2", "box2\n"),
    ("rm box2", "box2\n"),
    ("run --name said --network none busybox echo said", "said\n"),
    ("logs said", "said\n"),
    ("start -a said", "said\n"),
    ("container prune -f", f"(?s)Deleted Containers:\n{ID}.*Total reclaimed space: .*\n"),
    ("import {tmp}/box.tar imported:1", IMAGE),
    ("history -q made:1", "(?s)[0-9a-f]{12}\n.*"),
    ("image inspect -f {{.Comment}} made:1", "made\n"),
    ("images -q made", "[0-9a-f]{12}\n"),
    ("image ls -q made", "[0-9a-f]{12}\n"),
    ("tag made:1 {registry}/made:1", ""),
    ("push -q {registry}/made:1", "{registry}/made:1\n"),
    ("rmi {registry}/made:1", "Untagged: .*\n(Untagged: .*\n)?"),
    ("pull -q {registry}/made:1", "{registry}/made:1\n"),
    ("image rm {registry}/made:1", "Untagged: .*\n(Untagged: .*\n)?"),
    ("manifest inspect --insecure {registry}/made:1", '(?s)\\{\n.*"schemaVersion": 2,.*'),
    ("save -o {tmp}/made.tar made:1", ""),
    ("load -q -i {tmp}/made.tar", "Loaded image: made:1\n"),
    ("build -q -t built:1 {tmp}/context", IMAGE),
    ("login -u me -p pw {registry}", "Login Succeeded\n"),
    ("logout {registry}", "Removing login credentials for .*\n"),
    ("network rm inner", "inner\n"),
    ("network prune -f", ""),
    ("volume rm data", "data\n"),
    ("volume prune -f", "Total reclaimed space: 0B\n"),
    ("image prune -f", "(?s).*Total reclaimed space: .*\n"),
    ("builder prune -f", "(?s).*Total.*\n"),
    ("system df --format {{.Type}}", "Images\nContainers\nLocal Volumes\nBuild Cache\n"),
    # docker cuts now to whole seconds, before which the event may not have been: a second later it has.
    ("events --since {began} --until -1s -f event=restart --format {{.Action}}", "restart\n"),
    ("system events --since {began} --until -1s -f event=rename --format {{.Action}}", "rename\n"),
    ("system prune -f", "(?s).*Total reclaimed space: .*\n"),
    ("plugin ls -q", ""),
)
REFUSED = {
    "swarm init": "has no swarm", "node ls": "has no swarm", "service ls": "has no swarm",
    "stack ls": "has no swarm", "secret ls": "has no swarm", "config ls": "has no swarm",
    "checkpoint create box x": "experimental features",
    "plugin inspect x": 'plugin "x" not found', "plugin rm x": 'plugin "x" not found',
    "plugin enable x": 'plugin "x" not found', "plugin disable x": 'plugin "x" not found',
    "plugin install --grant-all-permissions x": "plugins are not supported",
    "volume update x": "no such volume",
}  # fmt: skip
NOT_OURS = {
    "search": "the hub's index",
    "context": "of the client alone",
    "trust": "of notary's servers",
    "compose": "test_compose.py",
    "attach": "test_client_streams.py",
    "plugin create": "of a directory", "plugin push": "of a plugin", "plugin set": "of a plugin",
    "plugin upgrade": "of a plugin",
}  # fmt: skip
"""Verbs that have nothing to ask of this daemon, or are tried elsewhere."""


def run(daemon: Daemon, line: str) -> subprocess.CompletedProcess[bytes]:
    return daemon.docker_run(*re.findall(r"(?:\{\{.*?\}\}|\S)+", line))


@pytest.fixture(scope="module")
def names(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the table's names stand for."""
    here = tmp_path_factory.mktemp("verbs")
    (here / "file").write_text("content")
    (here / "context").mkdir()
    (here / "context/Dockerfile").write_text("FROM busybox\nCMD true\n")
    with ours(here / "registry") as address:
        yield {
            "began": f"{time.time():.6f}",
            "tmp": str(here),
            "file": str(here / "file"),
            "registry": address,
        }


def filled(text: str, names: dict[str, str], *, escape: bool = False) -> str:
    for name, value in names.items():
        text = text.replace("{" + name + "}", re.escape(value) if escape else value)
    return text


def test_every_verb_works(daemon: Daemon, names: dict[str, str]):
    for line, said in STEPS:
        done = run(daemon, filled(line, names))
        out = done.stdout.decode()
        assert done.returncode == 0, (line, out, done.stderr)
        assert re.fullmatch(filled(said, names, escape=True), out), (line, out, done.stderr)


def test_what_is_not_there_is_refused_with_the_reason(daemon: Daemon):
    for line, words in REFUSED.items():
        done = run(daemon, line)
        assert done.returncode == 1, (line, done)
        assert words in done.stderr.decode(), (line, done.stderr)


def test_the_table_names_every_verb():
    """`container cp` is `cp`: a verb of a group is tried when the group's line is, or the short one."""
    tried = {*STEPS_AND_REFUSED, *NOT_OURS}
    every = commands()
    verbs = {f"{group} {verb}" for group in GROUPS for verb in commands(group)} | (every - {*GROUPS})
    missing = {verb for verb in verbs if not {verb, verb.removeprefix("builder ")} & tried}
    missing = {verb for verb in missing if not (verb.partition(" ")[2] in every and verb.split()[0] in SHORT)}
    assert not missing


STEPS_AND_REFUSED = {
    words for line in (*dict(STEPS), *REFUSED) for words in (line.split()[0], " ".join(line.split()[:2]))
}
SHORT = ("container", "image")
"""Groups whose verbs have short forms, of the same code in docker's command."""
GROUPS = ("builder", "container", "image", "network", "plugin", "system", "volume")


def commands(*group: str) -> set[str]:
    """The verbs that docker's help lists."""
    said = subprocess.run(["docker", *group, "--help"], capture_output=True, text=True, check=True).stdout
    lists = re.findall(r"^(?:\w+ )?Commands:\n((?:  .*\n)+)", said, re.MULTILINE)
    return {line.split()[0].rstrip("*") for part in lists for line in part.splitlines() if line[2] != " "}
