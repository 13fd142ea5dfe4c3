"""Copies into and out of containers through the real clients: names, owners, links, refusals."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from tests.runtime.clients import Client

pytestmark = pytest.mark.root


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory with a file of its own owner and mode, a link, and a directory."""
    tree = tmp_path / "tree"
    (tree / "sub").mkdir(parents=True)
    (tree / "a").write_text("alpha")
    (tree / "link").symlink_to("a")
    (tree / "sub/deep").write_text("deep")
    os.chown(tree / "a", 1000, 1001)
    (tree / "a").chmod(0o640)
    os.utime(tree / "a", (1_000_000_000, 1_000_000_000))
    return tree


@pytest.mark.parametrize("state", ["running", "created", "ended"])
def test_there_and_back_again(client: Client, tree: Path, state: str):
    command = ["sleep", "600"] if state == "running" else ["true"]
    made = ("--name", "box", "--network", "none", "-v", "/data", "busybox", *command)
    if state == "created":
        client("create", *made)
    else:
        client("run", "-d", "--stop-timeout", "0", *made)
    if state == "ended":
        client("wait", "box")
    for place in ("/tmp", "/data"):
        client("cp", tree, f"box:{place}/new")
        client("cp", f"{tree}/.", f"box:{place}")
        client("cp", tree, f"box:{place}/new")
        out = tree.parent / place.strip("/")
        client("cp", f"box:{place}", out)
        seen = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
        own = ["a", "link", "sub", "sub/deep"]
        assert seen == sorted(
            [*own, "new", *(f"new/{name}" for name in own), "new/tree", *(f"new/tree/{name}" for name in own)]
        )
        status = (out / "new/a").stat()
        assert (status.st_mode & 0o7777, status.st_mtime) == (0o640, 1_000_000_000)
        assert (out / "new/link").readlink() == Path("a")


def test_files_keep_their_owner_or_get_the_containers_user(client: Client, tree: Path):
    script = "stat -c %u:%g /tmp/kept /tmp/taken"
    client("create", "--name", "box", "--network", "none", "-u", "7:8", "busybox", "sh", "-c", script)
    client("cp", tree / "a", "box:/tmp/kept")
    client("cp", "-a", tree / "a", "box:/tmp/taken")
    assert client("start", "-a", "box") == "1000:1001\n7:8\n"


def test_links_are_copied_or_followed(client: Client, tree: Path):
    client.detached("--name", "box", "busybox", "sleep", "600")
    client("cp", tree / "link", "box:/tmp/link")
    assert client("exec", "box", "readlink", "/tmp/link") == "a\n"
    client("cp", "-L", tree / "link", "box:/tmp/file")
    assert client("exec", "box", "cat", "/tmp/file") == "alpha"
    client("exec", "box", "ln", "-s", "/etc/passwd", "/tmp/users")
    client("cp", "-L", "box:/tmp/users", tree / "users")
    assert (tree / "users").read_text().startswith("root:")
    client("cp", "box:/tmp/users", tree / "as-link")
    assert (tree / "as-link").readlink() == Path("/etc/passwd")
    client("exec", "box", "ln", "-s", "/tmp", "/tmp/here")
    client("cp", tree / "a", "box:/tmp/here/through")
    assert client("exec", "box", "cat", "/tmp/through") == "alpha"


def test_a_link_at_the_target_here_is_followed(client: Client, tree: Path):
    client("create", "--name", "box", "--network", "none", "busybox", "true")
    (tree / "nowhere").symlink_to("new")
    for name, target in (("link", "a"), ("nowhere", "new")):
        client("cp", "box:/etc/passwd", tree / name)
        assert (tree / name).readlink() == Path(target)
        assert (tree / target).read_text().startswith("root:")
    assert "cannot copy directory" in client.refused("cp", "box:/etc", tree / "link")


def test_the_working_directory_is_there_before_the_first_start(client: Client, tree: Path):
    client(
        "create", "--name", "box", "--network", "none", "-w", "/srv/deep/down", "busybox", "sh", "-c", "cat a"
    )
    client("cp", "box:/srv/deep", tree / "got")
    assert (tree / "got/down").is_dir()
    client("cp", tree / "a", "box:/srv/deep/down")
    assert client("start", "-a", "box") == "alpha"


def test_a_look_needs_no_working_directory(client: Client, tree: Path):
    client("create", "--name", "box", "--network", "none", "-w", "/etc/passwd/x", "busybox", "true")
    client("cp", "box:/etc/passwd", tree / "got")
    assert (tree / "got").read_text().startswith("root:")


def test_archives_go_through_standard_streams(client: Client, tree: Path):
    client("create", "--name", "box", "--network", "none", "busybox", "true")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(tree, "there")
    client("cp", "-", "box:/tmp", stdin=buffer.getvalue())
    data = client.run("cp", "box:/tmp/there", "-").stdout
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        assert sorted(tar.getnames()) == ["there", "there/a", "there/link", "there/sub", "there/sub/deep"]
    exported = client.run("export", "box").stdout
    with tarfile.open(fileobj=io.BytesIO(exported)) as tar:
        assert {"tmp/there/sub/deep", "bin/busybox"} <= set(tar.getnames())
    changes = client("diff", "box").splitlines()
    assert {"C /tmp", "A /tmp/there", "A /tmp/there/sub", "A /tmp/there/sub/deep"} <= set(changes)


def test_a_link_that_leads_out_leads_nowhere(client: Client, tree: Path):
    """A container's own links, absolute ones and those that climb too, end at its root (CVE-2018-15664)."""
    (tree / "secret").write_text("host")
    client.detached("--name", "box", "busybox", "sleep", "600")
    for target in (str(tree), "../../../../../.." + str(tree), f"/proc/1/root{tree}"):
        client("exec", "box", "ln", "-sfn", target, "/tmp/out")
        assert client.refused("cp", "box:/tmp/out/secret", tree / "stolen")
        client.run("cp", tree / "a", "box:/tmp/out/planted")
    assert not (tree / "stolen").exists() and not (tree / "planted").exists()


def test_a_read_only_root_takes_nothing_but_its_volumes_do(client: Client, tree: Path):
    words = ("--read-only", "--tmpfs", "/scratch", "-v", "/data", "-v", f"{tree}:/ro:ro")
    client.detached("--name", "box", *words, "busybox", "sleep", "600")
    assert "read-only" in client.refused("cp", tree / "a", "box:/tmp/a")
    assert "read-only" in client.refused("cp", tree / "a", "box:/ro/new")
    for place in ("/data", "/scratch"):
        client("cp", tree / "a", f"box:{place}/a")
        assert client("exec", "box", "cat", f"{place}/a") == "alpha"
    client("stop", "box")
    assert "read-only" in client.refused("cp", tree / "a", "box:/tmp/a")
    client("cp", tree / "a", "box:/data/later")


def test_what_is_mounted_is_not_replaced(client: Client, tree: Path):
    client.detached("--name", "box", "busybox", "sleep", "600")
    assert "busy" in client.refused("cp", tree / "a", "box:/etc/hosts")
    assert "localhost" in client("exec", "box", "cat", "/etc/hosts")


def test_what_a_run_has_mounted_is_seen_after_it_and_its_place_before(client: Client, tree: Path):
    client("create", "--name", "box", "--network", "none", "--hostname", "here", "busybox", "true")
    client("cp", "box:/etc/resolv.conf", tree / "before")
    assert (tree / "before").read_text() == ""
    client("start", "-a", "box")
    for name, said in (("hosts", "localhost"), ("hostname", "here\n"), ("resolv.conf", "")):
        client("cp", f"box:/etc/{name}", tree / name)
        assert said in (tree / name).read_text()
    assert "hosts" not in client("diff", "box")


def test_what_is_not_there_or_not_a_directory_is_reported(client: Client, tree: Path):
    client("create", "--name", "box", "--network", "none", "busybox", "true")
    assert "Could not find the file /none in container box" in client.refused("cp", "box:/none", tree)
    assert "Could not find the file /none in container box" in client.refused("cp", tree / "a", "box:/none/x")
    assert "directory" in client.refused("cp", tree, "box:/etc/passwd")
    assert client.refused("cp", tree / "a", "box:/etc/passwd/x")
    assert client.refused("cp", tree / "nothing", "box:/tmp")
    assert "No such container" in client.refused("cp", tree / "a", "nobody:/tmp")
