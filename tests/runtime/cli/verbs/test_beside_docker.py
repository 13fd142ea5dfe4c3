"""`nn` beside docker's own client, at one daemon: the same words print the same and end the same."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker: apt-get install docker-cli"),
]  # fmt: skip

ALL = (
    "{{.ID}}|{{.Names}}|{{.Image}}|{{.Command}}|{{.CreatedAt}}|{{.State}}|{{.Status}}|{{.Ports}}|{{.Size}}|"
    "{{.Labels}}|{{.Mounts}}|{{.Networks}}|{{.LocalVolumes}}|{{.RunningFor}}"
)
SHOWN: tuple[tuple[str, ...], ...] = (
    *(("ps", *more) for more in ((), ("-a",), ("-aq",), ("-as",), ("-l",), ("-n", "2"))),
    ("ps", "-a", "--no-trunc"),
    ("ps", "-a", "--filter", "status=exited"),
    ("ps", "--filter", "label=tier=web", "-q"),
    ("ps", "-a", "--filter", "name=we", "--filter", "name=old", "--format", "{{.Names}}"),
    ("ps", "-a", "--format", ALL),
    ("ps", "-a", "--format", " {{.ID}}\\t{{.Names}}\\n-"),
    ("ps", "-a", "--format", "json"),
    ("ps", "-a", "--format", "{{json .}}"),
    ("ps", "--format", 'table {{.ID}}\\t{{.Label "tier"}}\\t{{.LocalVolumes}}\\t{{.RunningFor}}'),
    *(("images", *more) for more in (("-q",), ("--no-trunc", "made"), ("--digests", "made"), ("made:1",))),
    ("images", "--format", "json", "made"),
    ("images", "--filter", "dangling=true", "-q"),
    ("history", "made:1"),
    ("history", "--no-trunc", "made:1"),
    ("history", "-q", "made:1"),
    ("history", "-H=false", "made:1"),
    ("history", "--format", "{{json .}}", "made:1"),
    ("image", "inspect", "made:1"),
    ("logs", "web"),
    ("logs", "-t", "--tail", "1", "web"),
    ("logs", "--since", "2100-01-01T00:00:00Z", "web"),
    ("port", "web"),
    ("port", "web", "80/tcp"),
    ("diff", "old"),
    ("top", "web"),
    ("top", "web", "-o", "pid,args"),
    ("inspect", "web", "old"),
    ("inspect", "-f", "json", "web", "nope"),
    ("inspect", "--size", "-f", "{{.SizeRw}} {{.SizeRootFs}}", "old"),
    ("inspect", "-f", "{{.ID}} {{.State.Running}} {{.HostConfig.Memory}} {{json .Config.Labels}}", "web"),
    ("inspect", "-f", '{{range $k, $v := .NetworkSettings.Networks}}{{$k}} {{$v.Gateway}}{{end}}', "web"),
    ("inspect", "-f", '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}} {{len .Mounts}}', "web"),
    ("inspect", "-f", '{{index .Config.Labels "tier" | upper}} {{.Config.Env}} {{.Config.Cmd}}', "web"),
    ("container", "inspect", "-s", "web"),
    ("inspect", "--type", "volume", "data"),
    ("network", "ls"),
    ("network", "ls", "-q", "--no-trunc"),
    ("network", "ls", "--format", "json"),
    ("network", "ls", "--filter", "driver=bridge", "--format", "{{.Name}} {{.Scope}} {{.Internal}}"),
    ("network", "inspect", "inner", "-f", "{{range .IPAM.Config}}{{.Subnet}}{{end}} {{.Driver}} {{.Labels}}"),
    ("network", "inspect", "inner", "bridge"),
    ("volume", "ls"),
    ("volume", "ls", "-q", "--filter", "dangling=true"),
    ("volume", "ls", "--format", "json"),
    ("volume", "inspect", "data"),
    ("system", "df"),
    ("system", "df", "--format", "json"),
    ("stats", "--no-stream", "--format", "{{.Container}} {{.ID}} {{.Name}} {{.PIDs}}", "web", "old"),
    ("stats", "--no-stream", "--no-trunc", "-a", "--format", "{{.Container}} {{.ID}} {{.Name}}"),
    ("events", "--since", "1h", "--until", "0s", "--filter", "container=old"),
    ("events", "--since", "1h", "--until", "0s", "--filter", "type=image", "--format", "{{.Action}}"),
    ("version", "--format", "{{.Server.Version}} {{.Client.APIVersion}} {{.Server.APIVersion}}"),
    ("info", "--format", "{{.ID}} {{.Driver}} {{.ServerVersion}} {{.Containers}} {{.OperatingSystem}}"),
    ("info", "--format", "{{.ClientInfo.Context}} {{.ClientInfo.Os}} {{.ClientInfo.Arch}}"),
    ("context", "show"),
    ("wait", "old"),
    ("exec", "web", "sh", "-c", "echo out; echo err >&2; exit 4"),
    ("exec", "-w", "/tmp", "-e", "A=b", "-u", "1000:1000", "web", "sh", "-c", "id -u; pwd; echo $A"),
    ("exec", "web", "nope"),
    ("run", "--rm", "busybox", "sh", "-c", "echo out; exit 9"),
    ("run", "--rm", "--init", "busybox", "sh", "-c", "kill -TERM $$; sleep 9"),
    ("cp", "old:/made", "-"),
    ("export", "old"),
    ("save", "made:1"),
)  # fmt: skip
FAILS: tuple[tuple[str, ...], ...] = (
    ("run", "--rm", "busybox", "/nope"),
    ("run", "--rm", "busybox", "nope"),
    ("run", "--rm", "busybox", "/etc/passwd"),
    ("run", "--rm", "busybox", "/etc"),
    ("run", "--rm", "--pull", "never", "nowhere/none:1"),
    ("run", "--rm", "--nope", "busybox"),
    ("run", "--rm", "--network", "nope", "busybox", "true"),
    ("run", "--rm", "--memory", "1", "busybox", "true"),
    ("run", "--rm", "-v", "/x:/y:zz", "busybox", "true"),
    ("run", "--name", "web", "busybox", "true"),
    ("run", "-d", "--name", "web", "busybox", "true"),
    ("run", "-d", "busybox", "nope"),
    ("run",),
    ("exec", "nope", "true"),
    ("exec", "old", "true"),
    ("exec", "-it", "web", "true"),
    *((verb, "nope") for verb in ["start", "stop", "restart", "kill", "pause", "unpause", "rm", "rmi"]),
    *((verb, "nope") for verb in ["wait", "attach", "top", "port", "diff", "history", "save", "logs"]),
    *((verb, "nope") for verb in ["export", "inspect", "commit"]),
    ("stats", "--no-stream", "nope"),
    ("attach", "old"),
    ("pause", "old"),
    ("kill", "old"),
    ("top", "old"),
    ("rm", "web"),
    ("rmi", "busybox"),
    ("rename", "web", "old"),
    ("tag", "nope", "x"),
    ("tag", "busybox", "UPPER:1"),
    ("update", "--memory", "1", "web"),
    ("port", "web", "81"),
    ("cp", "web:/nope", "/tmp/none"),
    ("cp", "nope:/x", "-"),
    ("load", "-i", "/nope"),
    ("import", "/nope"),
    ("build", "/nope"),
    ("network", "rm", "bridge"),
    ("network", "rm", "inner"),
    ("network", "create", "inner"),
    ("network", "connect", "inner", "other"),
    ("volume", "rm", "data"),
    ("volume", "rm", "nope"),
    ("volume", "create", "--driver", "nope", "v"),
    ("ps", "--nope"),
    ("ps", "--format", "{{.Nope}}"),
    ("ps", "--filter", "nope=1"),
    ("inspect", "-f", "{{.State.Nope}}", "web"),
    ("inspect",),
    ("frobnicate",),
    ("network", "frobnicate"),
)  # fmt: skip
TIMES = 20
"""How often two outputs are compared: a second may pass between them, and tables say how old things are."""


@pytest.fixture(scope="module")
def clients(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> tuple[Client, Client]:
    """Docker's client and nn, at a daemon with something to show."""
    docker, nn = Client("docker", daemon), Client("nn", daemon)
    fill(nn, tmp_path_factory.mktemp("shown"))
    return docker, nn


def fill(nn: Client, here: Path) -> None:
    nn("network", "create", "--label", "t=1", "inner")
    nn("volume", "create", "--label", "t=1", "data")
    nn("volume", "create", "idle")
    flags = ("-p", "127.0.0.1::80", "-v", "data:/data:ro", "-v", f"{here}:/here", "--label", "tier=web")
    script = "echo out; echo err >&2; exec sleep 600"
    nn("run", "-d", "--name", "web", *flags, "--memory", "64m", "-e", "A=1", "busybox", "sh", "-c", script)
    nn("run", "-d", "--name", "other", "--network", "inner", "busybox", "sleep", "600")
    lines = "echo content > /made; rm /etc/passwd; exit 3"
    nn("run", "--name", "old", "--network", "none", "busybox", "sh", "-c", lines, status=3)
    nn("commit", "-m", "a file", "-a", "me", "-c", 'CMD ["cat", "/made"]', "old", "made:1")
    nn("tag", "made:1", "made:2")


def meaning(output: bytes) -> object:
    """Documents where all lines are some, as JSON can be written in more than one way."""
    try:
        return [json.loads(line) for line in output.splitlines()]
    except ValueError:
        return output


@pytest.mark.parametrize("words", SHOWN, ids=" ".join)
def test_the_same_is_shown(clients: tuple[Client, Client], words: tuple[str, ...]):
    for _ in range(TIMES):
        theirs, ours = (client.run(*words) for client in clients)
        if meaning(theirs.stdout) == meaning(ours.stdout):
            break
    assert meaning(ours.stdout) == meaning(theirs.stdout)
    assert (ours.returncode, bool(ours.stderr)) == (theirs.returncode, bool(theirs.stderr)), ours.stderr


@pytest.mark.parametrize("verb", [("rm",), ("rmi",), ("volume", "rm"), ("network", "rm")], ids=" ".join)
def test_force_takes_what_is_gone_for_removed(clients: tuple[Client, Client], verb: tuple[str, ...]):
    theirs, ours = (client.run(*verb, "-f", "nope") for client in clients)
    assert theirs.returncode == 0
    assert (ours.returncode, ours.stdout) == (theirs.returncode, theirs.stdout), ours.stderr


@pytest.mark.parametrize("words", FAILS, ids=" ".join)
def test_the_same_fails_with_the_same_status(clients: tuple[Client, Client], words: tuple[str, ...]):
    theirs, ours = (client.run(*words) for client in clients)
    assert theirs.returncode != 0, theirs.stdout
    assert ours.returncode == theirs.returncode, (ours.stderr, theirs.stderr)
    assert ours.stderr.startswith(b"nn: ") or ours.stderr == theirs.stderr
