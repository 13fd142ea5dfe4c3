"""Images through docker's command and ours: names, filters, archives, removal."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.runtime.clients import Client

pytestmark = pytest.mark.root

BUSYBOX = "busybox:latest"


@pytest.fixture(autouse=True)
def images(client: Client) -> Iterator[None]:
    """Only busybox stays."""
    yield
    client.daemon.empty()


def names(client: Client, *flags: str) -> list[str]:
    """`repository:tag`, or the id where an image has none."""
    rows = client("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}", *flags).splitlines()
    return [id_ if name == "<none>:<none>" else name for name, id_ in (row.split() for row in rows)]


def inspect(client: Client, name: str) -> dict:  # type: ignore[type-arg]
    (found,) = json.loads(client("image", "inspect", name))
    return found


def build(client: Client, path: Path, dockerfile: str, *flags: str, **files: str) -> str:
    """Build quietly and return the image's id."""
    path.mkdir(exist_ok=True)
    for name, text in {"Dockerfile": dockerfile, **files}.items():
        (path / name).write_text(text)
    return client("build", "-q", "--network", "none", *flags, path).strip()


def commit(client: Client, script: str, *words: str) -> str:
    """Commit what a script leaves in the container `source`; return the image's id."""
    client("run", "--network", "none", "--name", "source", "busybox", "sh", "-c", script)
    try:
        return client("commit", *words).strip()
    finally:
        client("rm", "source")


# ---- names and lists ------------------------------------------------------------------------------------


def test_the_list_has_its_columns_filters_and_forms(client: Client, tmp_path: Path) -> None:
    first = build(client, tmp_path / "a", "FROM busybox\nLABEL kind=a\n", "-t", "team/app:1")
    second = build(client, tmp_path / "b", "FROM busybox\nLABEL kind=b only=\n", "-t", "team/app:2")
    client("tag", "team/app:1", "host.example:5000/deep/app")
    header, *rows = client("images", "--format", "table").splitlines()  # docker's default until 29
    assert header.split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert len(rows) == 4
    assert names(client, "team/app") == ["team/app:2", "team/app:1"]
    assert names(client, "team/app:1") == ["team/app:1"]
    found = {
        "reference=team/*": {"team/app:1", "team/app:2"},
        "reference=*:1": set(),  # a `*` does not cross a `/`
        "label=kind": {"team/app:1", "team/app:2", "host.example:5000/deep/app:latest"},
        "label=kind=b": {"team/app:2"},
        "before=team/app:2": {"team/app:1", "host.example:5000/deep/app:latest", BUSYBOX},
        "since=team/app:1": {"team/app:2"},
        "dangling=true": set(),
    }
    assert {wanted: set(names(client, "-f", wanted)) for wanted in found} == found
    assert names(client, "-f", "label=kind", "-f", "label=only") == ["team/app:2"]
    assert client("images", "-q", "--no-trunc", "team/app").split() == [second, first]
    assert client("images", "-q", "team/app:1").strip() == first[7:19]
    assert "<none>" in client("images", "--digests", "team/app:1")
    assert client("images", "--format", "{{.Repository}}|{{.Tag}}", "team/app:1") == "team/app|1\n"
    assert "invalid filter" in client.refused("images", "-f", "nothing=1")
    assert "No such image" in client.refused("images", "-f", "since=nothing")


def test_a_name_moves_and_what_is_not_a_name_is_refused(client: Client, tmp_path: Path) -> None:
    one = build(client, tmp_path, "FROM busybox\nLABEL a=1\n", "-t", "moving")
    client("tag", BUSYBOX, "moving")
    assert inspect(client, "moving")["Id"] == inspect(client, BUSYBOX)["Id"]
    assert inspect(client, one)["RepoTags"] == []
    assert names(client, "-f", "dangling=true") == [one]
    for wrong in ("UPPER", "a/../b", "../a", "a:b:c", "-a", "a@sha256:" + "0" * 64, "0" * 64, "sha256:a"):
        assert client.refused("tag", BUSYBOX, wrong)
    assert "No such image: nothing:latest" in client.refused("tag", "nothing", "a")


def test_a_history_lists_each_step(client: Client, tmp_path: Path) -> None:
    build(client, tmp_path, "FROM busybox\nCOPY f /\nENV A=1\nRUN echo x > /x\n", "-t", "told", f="12345")
    template = "{{.CreatedBy}}|{{.Size}}"
    rows = client("history", "--no-trunc", "--format", template, "told").splitlines()
    assert rows[0] == "/bin/sh -c echo x > /x|2B"
    assert rows[1] == "/bin/sh -c #(nop)  ENV A=1|0B"
    assert rows[2].startswith("/bin/sh -c #(nop) COPY file:")
    assert rows[2].endswith(" in / |5B")
    ids = client("history", "-q", "--no-trunc", "told").split()
    assert ids[0] == inspect(client, "told")["Id"]
    assert len(ids) == len(rows) == 4
    assert client("history", "-H=false", "--format", "{{.Size}}", "told").split()[:3] == ["2", "0", "5"]


# ---- commit ---------------------------------------------------------------------------------------------


def test_a_commit_records_what_was_asked(client: Client) -> None:
    changes = ["CMD echo $A", "ENV A=b", "EXPOSE 80 90/udp", "LABEL x=y z='a b'", "USER 5", "WORKDIR /w/../v",
               "VOLUME /data", "ONBUILD RUN true", "STOPSIGNAL SIGINT", "ENTRYPOINT [\"/bin/sh\", \"-c\"]",
               "HEALTHCHECK --interval=3s CMD true"]  # fmt: skip
    flags = [word for change in changes for word in ("-c", change)]
    commit(
        client, "mkdir /v", "-a", "A <a@b>", "-m", "some words", "--pause=false", *flags, "source", "said:1"
    )
    found = inspect(client, "said:1")
    config = found["Config"]
    assert (found["Author"], found["Comment"]) == ("A <a@b>", "some words")
    assert config["Cmd"] == ["/bin/sh", "-c", "echo $A"]
    assert config["Entrypoint"] == ["/bin/sh", "-c"]
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp"}
    assert config["Labels"] == {"x": "y", "z": "a b"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("5", "/v", "SIGINT")
    assert (config["Volumes"], config["OnBuild"]) == ({"/data": {}}, ["RUN true"])
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 3_000_000_000}
    assert "A=b" in config["Env"]
    client("create", "--name", "other", "busybox")
    for wrong in ("FROM x", "WHAT x", "ENV A", "EXPOSE x"):
        assert client.refused("commit", "-c", wrong, "other")
    assert "No such container" in client.refused("commit", "nothing")


def test_a_commit_keeps_all_that_files_have(client: Client) -> None:
    script = (
        "echo 1 > /a; ln /a /b; ln -s a /c; chown 5:6 /a; chmod 4755 /a; touch -d '2001-02-03 04:05:06' /a;"
        "mkdir -m 1777 /t; mkfifo /p; truncate -s 64M /sparse; echo end >> /sparse; rm /etc/group;"
        "rm -rf /root; mkdir /root; echo new > /root/new; rm /bin/ls; mkdir /bin/ls"
    )
    commit(client, script, "source", "kept")
    look = (
        "stat -c '%n %a %u %g %h %s %Y %F' /a /b /c /t /p /sparse; stat -c %b /sparse;"
        "busybox ls -A /root /bin/ls /etc"
    )
    said = client("run", "--rm", "--network", "none", "kept", "busybox", "sh", "-c", look)
    assert said.splitlines()[:2] == [f"/{one} 4755 5 6 2 2 981173106 regular file" for one in "ab"]
    assert "/t 1777 0 0 2" in said
    assert "fifo" in said
    assert f" {(64 << 20) + 4} " in said
    assert int(said.splitlines()[6]) * 512 < 1 << 20  # its hole is one still
    assert "group" not in said
    assert "/root:\nnew\n" in said


def test_a_commit_holds_what_changed_and_nothing_else(client: Client) -> None:
    made = commit(
        client,
        "echo new > /new; rm /etc/group; ln /new /link; mkdir -p /d/e; chmod 700 /root",
        "source",
        "made:1",
    )
    found = inspect(client, "made:1")
    assert (found["Id"], found["Parent"]) == (made, inspect(client, BUSYBOX)["Id"])
    with tarfile.open(fileobj=io.BytesIO(client.run("save", "made:1").stdout)) as tar:
        layers = json.load(tar.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        with tarfile.open(fileobj=tar.extractfile(layers[-1])) as layer:
            inside = {name.strip("/") for name in layer.getnames()}
    assert inside == {"new", "link", "d", "d/e", "root", "etc", "etc/.wh.group"}


def test_a_commit_of_a_running_container_leaves_it_running(client: Client) -> None:
    id_ = client.detached("busybox", "sh", "-c", "echo x > /x; sleep 60")
    client("exec", id_, "sh", "-c", "while ! [ -s /x ]; do sleep 0.05; done")
    client("commit", id_, "running")
    assert client("inspect", "-f", "{{.State.Status}}", id_) == "running\n"
    assert client("run", "--rm", "--network", "none", "running", "cat", "/x") == "x\n"


# ---- archives -------------------------------------------------------------------------------------------


PACK = {
    "plain": bytes,
    "gzip": lambda data: gzip.compress(data, 1),
    "zstd": zstandard.compress,
    "xz": lambda data: lzma.compress(data, preset=0),
}


@pytest.mark.parametrize("form", PACK)
def test_what_was_saved_is_loaded_in_any_compression(client: Client, form: str, tmp_path: Path) -> None:
    made = build(client, tmp_path / "c", "FROM busybox\nCOPY f /\n", "-t", "one:1", f="x")
    client("tag", "one:1", "other.example/two:2")
    client("save", "-o", tmp_path / "a.tar", "one:1", "other.example/two:2", BUSYBOX)
    client("rmi", "one:1", "other.example/two:2")
    said = client("load", stdin=PACK[form]((tmp_path / "a.tar").read_bytes()))
    assert said.splitlines()[-3:] == [
        "Loaded image: one:1",
        "Loaded image: other.example/two:2",
        "Loaded image: busybox:latest",
    ]
    assert inspect(client, "other.example/two:2")["Id"] == inspect(client, "one:1")["Id"] == made
    assert client("run", "--rm", "--network", "none", "one:1", "cat", "/f") == "x"


def test_an_id_is_saved_without_a_name(client: Client, tmp_path: Path) -> None:
    made = build(client, tmp_path / "c", "FROM busybox\nLABEL a=1\n", "-t", "named")
    archive = client.run("save", made).stdout
    client("rmi", "named")
    assert client("load", stdin=archive).splitlines()[-1] == f"Loaded image ID: {made}"
    assert names(client, "-f", "dangling=true") == [made]
    assert "No such image: nothing" in client.refused("save", "-o", tmp_path / "x", "nothing")
    assert "No such image: nothing" in client.refused("save", "-o", tmp_path / "x", BUSYBOX, "nothing")


def test_what_is_exported_can_be_imported(client: Client, tmp_path: Path) -> None:
    client(
        "run", "--network", "none", "--name", "source", "busybox", "sh", "-c", "echo hi > /f; rm /etc/group"
    )
    client("export", "-o", tmp_path / "root.tar", "source")
    piped = client.run("export", "source").stdout
    client("rm", "source")
    with tarfile.open(fileobj=io.BytesIO(piped)) as tar:
        assert {"f", "etc/passwd"} <= set(tar.getnames())
        assert "etc/group" not in tar.getnames()
    flags = ("-m", "from afar", "-c", "CMD cat /f", "-c", "LABEL a=b")
    made = client("import", *flags, tmp_path / "root.tar", "imported:1").strip().splitlines()[-1]
    assert client("run", "--rm", "--network", "none", "imported:1") == "hi\n"
    found = inspect(client, "imported:1")
    assert (found["Id"], found["Comment"], found["Config"]["Labels"]) == (made, "from afar", {"a": "b"})
    again = client("import", "-", stdin=gzip.compress(piped)).strip().splitlines()[-1]
    assert inspect(client, again)["RepoTags"] == []
    assert inspect(client, again)["RootFS"] == found["RootFS"]
    assert client.refused("import", "-", stdin=b"no tar at all" * 100)
    client("rmi", again)


@pytest.mark.parametrize("data", [b"", bytes(1024), gzip.compress(b"")], ids=["nothing", "an end", "gzip"])
def test_an_import_of_nothing_is_an_empty_layer(client: Client, data: bytes) -> None:
    client("import", "--platform", "LINUX/sparc64", "-", "empty:1", stdin=data)
    found = inspect(client, "empty:1")
    assert (found["Os"], found["Architecture"], found["Size"]) == ("linux", "sparc64", 0)
    assert found["RootFS"]["Layers"] == [f"sha256:{hashlib.sha256(bytes(1024)).hexdigest()}"]
    saved = client.run("save", "empty:1").stdout
    client("rmi", "empty:1")
    assert "Loaded image: empty:1" in client("load", stdin=saved)


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
def test_others_read_what_we_save_and_we_what_they_write(client: Client, tmp_path: Path) -> None:
    made = build(client, tmp_path / "c", "FROM busybox\nRUN rm /etc/group && echo x > /x\n", "-t", "shared:1")
    archive = tmp_path / "a.tar"
    client("save", "-o", archive, "shared:1")
    client("rmi", "shared:1")

    def skopeo(source: str, target: str) -> None:
        line = ["skopeo", "copy", "-q", "--insecure-policy", source, target]
        subprocess.run(line, check=True, capture_output=True)

    skopeo(f"docker-archive:{archive}:shared:1", f"docker-archive:{tmp_path}/d.tar:from:docker")
    skopeo(f"docker-archive:{archive}:shared:1", f"oci-archive:{tmp_path}/o.tar:from:oci")
    skopeo(f"oci-archive:{archive}:1", f"oci:{tmp_path}/layout:from:layout")
    subprocess.run(["tar", "-C", tmp_path / "layout", "-cf", tmp_path / "l.tar", "."], check=True)
    for name, tag in (("d", "docker"), ("o", "oci"), ("l", "layout")):
        assert f"Loaded image: from:{tag}" in client("load", "-i", tmp_path / f"{name}.tar")
        look = ("run", "--rm", "--network", "none", f"from:{tag}", "sh", "-c", "cat /x; ls /etc/group")
        assert client.run(*look).stdout == b"x\n"
    assert inspect(client, "from:docker")["Id"] == made


# ---- away -----------------------------------------------------------------------------------------------


def test_what_is_needed_stays(client: Client, tmp_path: Path) -> None:
    child = build(client, tmp_path, "FROM busybox\nLABEL a=1\n", "-t", "child:1")
    client("tag", "child:1", "child:2")
    client("tag", "child:1", "elsewhere:1")
    assert client("rmi", "child:2") == "Untagged: child:2\n"
    assert "must be forced) - image is referenced in multiple repositories" in client.refused("rmi", child)
    client("create", "--name", "user", "child:1")
    client("rmi", "elsewhere:1")
    assert "(must force) - container" in client.refused("rmi", "child:1")
    running = client.detached("child:1", "sleep", "60")
    assert f"is being used by running container {running[:12]}" in client.refused("rmi", "-f", child)
    client("rm", "-f", running)
    said = client("rmi", "-f", child).splitlines()
    assert said == ["Untagged: child:1", f"Deleted: {child}"]
    assert names(client) == [BUSYBOX]
    client("start", "user")  # its files are there as long as it is
    client("rm", "-f", "user")
    assert "No such image: nothing:latest" in client.refused("rmi", "nothing")


def test_prune_takes_what_fits(client: Client, tmp_path: Path) -> None:
    made = {
        name: build(client, tmp_path / name, f"FROM busybox\nLABEL kind={name} keep={name}\n", "-t", name)
        for name in ("red", "green", "blue")
    }
    client("create", "--name", "user", "blue")
    client("tag", BUSYBOX, "red")  # the red one has no name any more
    assert "Total reclaimed space: 0B" in client("image", "prune", "-f", "--filter", "label=kind=green")
    assert "Total reclaimed space: 0B" in client("image", "prune", "-f", "--filter", "until=24h")
    assert made["red"] in client("image", "prune", "-f")
    assert "green" in client("images", "-q", "--format", "{{.Repository}}", "green")
    spared = client("image", "prune", "-af", "--filter", "label!=keep=green", "--filter", "label=kind")
    assert "eleted: " not in spared
    said = client("image", "prune", "-af", "--filter", "label=kind=green")
    assert f"untagged: green:latest\ndeleted: {made['green']}\n" in said
    assert set(names(client)) == {BUSYBOX, "red:latest", "blue:latest"}
    assert "invalid filter" in client.refused("image", "prune", "-f", "--filter", "nothing=1")


def test_the_disk_is_shared_out(client: Client, tmp_path: Path) -> None:
    build(client, tmp_path, "FROM busybox\nCOPY f /\n", "-t", "sized", f="x" * 1000)
    client("run", "--network", "none", "--name", "user", "sized", "sh", "-c", "echo 12345 > /w")
    rows = {line.split("  ")[0]: line.split() for line in client("system", "df").splitlines()}
    assert rows["Images"][1:3] == ["2", "1"]
    assert rows["Containers"][1:4] == ["1", "0", "6B"]
    shown = client("system", "df", "-v")
    (row,) = [line.split() for line in shown.splitlines() if line.startswith("sized")]
    assert row[-2:] == ["1kB", "1"]  # unique size, containers
    assert inspect(client, "sized")["Size"] == inspect(client, BUSYBOX)["Size"] + 1000


def test_events_show_what_becomes_of_images(client: Client, tmp_path: Path) -> None:
    client("tag", BUSYBOX, "told:1")
    start = client("system", "info", "--format", "{{.SystemTime}}").strip()
    made = build(client, tmp_path / "c", "FROM busybox\nLABEL a=b\n", "-t", "told:2")
    client("save", "-o", tmp_path / "a.tar", "told:2")
    client("load", "-q", "-i", tmp_path / "a.tar")
    client("rmi", "told:1")
    client("image", "prune", "-af", "--filter", "label=a=b")
    end = client("system", "info", "--format", "{{.SystemTime}}").strip()
    flags = (
        "--since",
        start,
        "--until",
        end,
        "--filter",
        "type=image",
        "--format",
        "{{.Action}} {{.Actor.ID}}",
    )
    base = inspect(client, BUSYBOX)["Id"]
    assert client("events", *flags).splitlines() == [
        *(f"{action} {made}" for action in ("tag", "save", "load")),
        f"untag {base}",
        *(f"{action} {made}" for action in ("untag", "delete")),
        "prune ",
    ]
