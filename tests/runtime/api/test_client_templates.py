"""Templates through the real clients: omitted fields and refusals."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.runtime.clients import Client

pytestmark = pytest.mark.root


def test_what_a_container_has_not_is_shown_as_nothing(client: Client, tmp_path: Path):
    check = ("--health-cmd", "true", "--health-interval", "1m30s")
    words = ("--network", "none", "-v", f"{tmp_path}:/d", *check, "busybox")
    client("create", "--name", "box", *words)
    for template, text in (
        ("{{.Config.StopTimeout}},{{.SizeRw}},{{.ExecIDs}},{{.State.Health}}", "<nil>,<nil>,[],<nil>"),
        ("{{json .Config.StopTimeout}} {{json .ExecIDs}}", "null null"),
        ("{{(index .Mounts 0).Name}},{{(index .Mounts 0).Driver}},{{(index .Mounts 0).Type}}", ",,bind"),
        (
            "{{with .Config.Healthcheck}}{{.Interval}} {{.Timeout}} {{.Retries}} {{json .Interval}}{{end}}",
            "1m30s 0s 0 90000000000",
        ),
    ):
        assert client("inspect", "-f", template, "box") == text + "\n"


def test_inspect_knows_its_kinds_only(client: Client):
    done = client.run("inspect", "--type=foobar", "busybox")
    assert (done.returncode, b"not a valid value for --type" in done.stderr) == (1, True)
    assert "Error: No such object: foobar" in client.refused("inspect", "foobar")


@pytest.mark.parametrize("template", ["{{.badField}}", "{{badFunction .}}", "{{.Actor.Nope}}", "{{.Type"])
def test_events_refuse_a_template_before_anything_happens(client: Client, template: str):
    done = client.run("events", "--format", template)
    assert (done.returncode, b"Error parsing format: " in done.stderr) == (64, True)


def test_events_have_all_fields(client: Client):
    form = "{{.Type}} {{.Action}} {{.Status}}|{{.ID}}|{{.From}} {{.Actor.Attributes.none}} {{.Scope}}"
    volume = f"{client.name}-{time.time_ns()}"
    client("volume", "create", volume)
    past = ("--since", "1h", "--until", str(time.time()), "--filter", f"volume={volume}")
    assert client("events", *past, "--format", form) == "volume create || <no value> local\n"


def test_one_container_is_attached_to_and_not_while_it_stands_still(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    client("create", "--name", "other", "--network", "none", "busybox", "true")
    several = client.refused("start", "-a", "box", "other")
    assert "you cannot start and attach multiple containers at once" in several.lower()
    assert "You cannot attach to a stopped container, start it first" in client.refused("attach", "other")
    client("pause", "box")
    assert "You cannot attach to a paused container, unpause it first" in client.refused("attach", "box")
    client("unpause", "box")
