"""Volumes, binds and files of containers through docker's command and ours."""

from __future__ import annotations

import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon

pytestmark = pytest.mark.root

NONE = ("--network", "none")


def sh(client: Client, script: str, *flags: object, status: int = 0) -> str:
    return client("run", "--rm", *NONE, *flags, "busybox", "sh", "-c", script, status=status)


# ---- mounts ----------------------------------------------------------------------------------------------


def test_a_named_volume_is_made_filled_kept_and_shared(client: Client):
    sh(client, "echo new > /data/file", "-v", "vol:/data", "-v", "vol2:/etc")
    flags = ("-v", "vol:/a", "-v", "vol2:/etc:ro")
    assert sh(client, "cat /a/file; ls /etc/passwd", *flags) == "new\n/etc/passwd\n"
    assert sh(client, "touch /etc/x 2>/dev/null || echo no", "-v", "vol2:/etc:ro") == "no\n"
    assert "vol" in client("volume", "ls", "-q").split()
    (found,) = json.loads(client("volume", "inspect", "vol"))
    assert (found["Driver"], found["Name"], found["Scope"]) == ("local", "vol", "local")
    assert Path(found["Mountpoint"], "file").read_text() == "new\n"
    name = client("create", *NONE, "-v", "vol:/data", "busybox").strip()
    assert f"volume is in use - [{name}]" in client.refused("volume", "rm", "vol")
    client("rm", name)
    assert client("volume", "rm", "vol", "vol2").split() == ["vol", "vol2"]
    assert "no such volume" in client.refused("volume", "inspect", "vol")


def test_an_empty_volume_takes_what_the_image_has_there_once(client: Client):
    assert sh(client, "cat /etc/passwd > /tmp/p; wc -l < /tmp/p; : > /etc/passwd", "-v", "full:/etc") == "2\n"
    assert sh(client, "wc -l < /etc/passwd", "-v", "full:/etc") == "0\n"
    bare = ("--mount", "source=bare,target=/etc,volume-nocopy")
    assert sh(client, "ls /etc", *bare) == "hostname\nhosts\nresolv.conf\n", "docker's own files are there"
    client("volume", "rm", "full", "bare")


def test_anonymous_volumes_go_with_their_container(client: Client):
    before = set(client("volume", "ls", "-q").split())
    sh(client, "true", "-v", "/anonymous")
    assert set(client("volume", "ls", "-q").split()) == before
    client("run", *NONE, "--name", "owner", "-v", "/anonymous", "busybox", "touch", "/anonymous/x")
    assert sh(client, "ls /anonymous", "--volumes-from", "owner") == "x\n"
    assert sh(client, "touch /anonymous/y || echo no", "--volumes-from", "owner:ro") == "no\n"
    assert len(set(client("volume", "ls", "-q").split()) - before) == 1
    client("rm", "-v", "owner")
    assert set(client("volume", "ls", "-q").split()) == before


def test_an_anonymous_volume_never_hides_a_file(client: Client):
    before = client("volume", "ls", "-q")
    said = client.refused("create", "-v", "/etc/passwd", "busybox")
    assert "cannot mount volume over existing file, file exists /etc/passwd" in said
    assert client("volume", "ls", "-q") == before


def test_binds_are_the_hosts_own(client: Client, tmp_path: Path):
    (tmp_path / "in").write_text("host\n")
    assert sh(client, "cat /m/in; echo out > /m/out", "-v", f"{tmp_path}:/m") == "host\n"
    assert (tmp_path / "out").read_text() == "out\n"
    assert sh(client, "cat /f; echo x > /f || echo no", "-v", f"{tmp_path}/in:/f:ro") == "host\nno\n"
    sh(client, "touch /m/x", "-v", f"{tmp_path}/made:/m")
    assert (tmp_path / "made/x").exists()
    mount = ("--mount", f"type=bind,source={tmp_path}/none,target=/m")
    assert "does not exist" in client.refused("run", "--rm", *NONE, *mount, "busybox", "true")
    onto = ("-v", f"{tmp_path}:/etc/passwd")
    assert "a directory onto a file" in client.refused("run", "--rm", *NONE, *onto, "busybox", "true")
    above = ("-v", f"{tmp_path}/in/below:/m")
    said = client.refused("run", "--rm", *NONE, *above, "busybox", "true")
    assert f"mount source path '{tmp_path}/in/below': mkdir {tmp_path}/in/below: not a directory" in said
    read = f"type=bind,source={tmp_path},target=/m,readonly"
    assert sh(client, "cat /m/in; touch /m/z || echo no", "--mount", read) == "host\nno\n"


def test_a_bind_propagates_as_asked(client: Client, tmp_path: Path):
    flags = ("-v", f"{tmp_path}:/m:rslave", "--name", "slave")
    subprocess.run(["mount", "--bind", tmp_path, tmp_path], check=True)
    subprocess.run(["mount", "--make-shared", tmp_path], check=True)
    try:
        client("run", "-d", *NONE, "--stop-timeout", "0", *flags, "busybox", "sleep", "600")
        (tmp_path / "sub").mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "later", tmp_path / "sub"], check=True)
        (tmp_path / "sub/file").touch()
        assert client("exec", "slave", "ls", "/m/sub") == "file\n"
        client("rm", "-f", "slave")
    finally:
        subprocess.run(["umount", "-R", tmp_path], check=True)


def test_a_read_only_bind_is_read_only_below_unless_asked_otherwise(client: Client, tmp_path: Path):
    (tmp_path / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "sub"], check=True)
    try:
        touch = "touch /m/x && echo bad; touch /m/sub/x && echo yes || echo no"
        mount = f"type=bind,source={tmp_path},target=/m,readonly"
        forced = f"{mount},bind-propagation=rprivate,bind-recursive=readonly"
        assert sh(client, touch, "--mount", mount) == "no\n"
        assert sh(client, touch, "-v", f"{tmp_path}:/m:ro") == "no\n"
        assert sh(client, touch, "--mount", forced) == "no\n"
        assert sh(client, touch, "--mount", f"{mount},bind-recursive=writable") == "yes\n"
        assert sh(client, "ls /m/sub", "--mount", f"{mount},bind-recursive=disabled") == ""
        assert sh(client, "ls /m/sub", "--mount", f"{mount},bind-recursive=enabled") == "x\n"
    finally:
        subprocess.run(["umount", tmp_path / "sub"], check=True)


def test_what_shows_the_daemons_root_follows_its_mounts(client: Client, daemon: Daemon):
    mounts = ("-v", "/:/host", "--mount", f"type=bind,source={daemon.root}/volumes,target=/v")
    name = client("create", *NONE, *mounts, "busybox", "ls", "/host/etc/passwd").strip()
    (found,) = json.loads(client("inspect", name))
    assert [one["Propagation"] for one in found["Mounts"]] == ["rslave", "rslave"]
    assert client("start", "-a", name) == "/host/etc/passwd\n"
    private = ("-v", f"{daemon.root}:/m:private")
    assert "within the daemon root" in client.refused("create", *NONE, *private, "busybox")


def test_a_part_of_a_volume_is_filled_and_nothing_leads_out(client: Client):
    links = "mkdir /v/part /v/etc; ln -s / /v/root; ln -s ../../.. /v/up"
    sh(client, links, "-v", "vol:/v")
    mount = "source=vol,target={},volume-subpath={}".format
    assert sh(client, "ls /etc/passwd", "--mount", mount("/etc", "etc")) == "/etc/passwd\n"
    assert sh(client, "touch /p/x; ls /v/part", "-v", "vol:/v", "--mount", mount("/p", "part")) == "x\n"
    assert sh(client, "ls /v/etc/passwd", "-v", "vol:/v") == "/v/etc/passwd\n"
    for part, said in (
        ("../../..", "subpath must be a relative path within the volume"),
        ("root", "path concatenation escapes the base directory"),
        ("up/etc", "path concatenation escapes the base directory"),
        ("none", "no such file or directory"),
    ):
        assert said in client.refused("run", "--rm", *NONE, "--mount", mount("/p", part), "busybox", "true")
    client("volume", "rm", "vol")


def test_tmpfs_is_fresh_and_of_its_size(client: Client):
    flags = ("--mount", "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700")
    said = sh(client, "stat -c %a /t; dd if=/dev/zero of=/t/x bs=1M count=2 2>/dev/null || echo full", *flags)
    assert said == "700\nfull\n"


def test_volumes_have_labels_options_and_filters(client: Client):
    before = set(client("volume", "ls", "-q").split())
    client("volume", "create", "--label", "a=b", "labelled")
    client("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m", "small")
    anonymous = client("volume", "create").strip()
    assert len(anonymous) == 64
    assert client("volume", "ls", "-q", "-f", "label=a=b") == "labelled\n"
    assert set(client("volume", "ls", "-q", "-f", "dangling=true").split()) >= {
        "labelled",
        "small",
        anonymous,
    }
    assert "invalid filter 'dangling=[maybe]'" in client.refused("volume", "ls", "-f", "dangling=maybe")
    assert sh(client, "df -m /v | awk 'END{print $2}'", "-v", "small:/v") == "1\n"
    pruned = client("volume", "prune", "-f")
    assert anonymous in pruned
    assert "labelled" not in pruned, "named volumes are kept"
    client("volume", "prune", "-af", "--filter", "label=a=b")
    assert set(client("volume", "ls", "-q").split()) - before == {"small"}
    client("volume", "rm", "small")


# ---- files -----------------------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, tuple[str, str]]:
    found = {}
    for path in sorted(root.rglob("*")):
        kind = "link" if path.is_symlink() else "dir" if path.is_dir() else "file"
        text = str(path.readlink()) if kind == "link" else path.read_text() if kind == "file" else ""
        found[str(path.relative_to(root))] = (kind, text)
    return found


def test_cp_carries_trees_both_ways(client: Client, tmp_path: Path):
    source = tmp_path / "source"
    (source / "sub/deep").mkdir(parents=True)
    (source / "sub/file").write_text("text")
    (source / "sub/file").chmod(0o640)
    (source / "link").symlink_to("sub/file")
    (source / "sub/deep/ü b").write_text("odd")
    client("create", *NONE, "--name", "box", "busybox", "true")
    client("cp", source, "box:/copied")
    client("cp", f"{source}/.", "box:/tmp")
    client("cp", "box:/copied", tmp_path / "back")
    assert tree(tmp_path / "back") == tree(source)
    assert (tmp_path / "back/sub/file").stat().st_mode & 0o777 == 0o640
    (tmp_path / "into").mkdir()
    client("cp", "box:/copied", tmp_path / "into")
    assert tree(tmp_path / "into/copied") == tree(source)
    client("cp", "box:/tmp/sub/file", tmp_path / "one")
    assert (tmp_path / "one").read_text() == "text"
    client("cp", "-L", "box:/copied/link", tmp_path / "followed")
    assert (tmp_path / "followed").read_text() == "text"
    assert "Could not find the file /none" in client.refused("cp", "box:/none", tmp_path)
    assert client.refused("cp", "/none/at/all", "box:/")


def test_cp_speaks_tar_on_its_standard_streams(client: Client, tmp_path: Path):
    client("create", *NONE, "--name", "box", "busybox", "true")
    (tmp_path / "a").write_text("alpha")
    packed = subprocess.run(["tar", "-c", "-C", tmp_path, "a"], capture_output=True, check=True).stdout
    client("cp", "-", "box:/tmp", stdin=packed)
    done = client.run("cp", "box:/tmp/a", "-")
    (tmp_path / "out.tar").write_bytes(done.stdout)
    with tarfile.open(tmp_path / "out.tar") as archive:
        member = archive.extractfile("a")
        assert member is not None
        assert member.read() == b"alpha"


def test_cp_of_a_running_container_and_of_its_mounts(client: Client, tmp_path: Path):
    flags = ("--stop-timeout", "0", "-v", "vol:/v", "-v", f"{tmp_path}:/host:ro", "--tmpfs", "/t")
    client("run", "-d", *NONE, "--name", "box", *flags, "busybox", "sleep", "600")
    (tmp_path / "a").write_text("alpha")
    for target in ("/v/a", "/t/a", "/root/a"):
        client("cp", tmp_path / "a", f"box:{target}")
        assert client("exec", "box", "cat", target) == "alpha"
        client("cp", f"box:{target}", tmp_path / "b")
        assert (tmp_path / "b").read_text() == "alpha"
    client("cp", "box:/host/a", tmp_path / "c")
    assert client.refused("cp", tmp_path / "a", "box:/host/d")
    client("rm", "-f", "box")
    client("volume", "rm", "vol")


def test_cp_of_a_volume_of_a_container_that_never_ran(client: Client, tmp_path: Path):
    sh(client, "mkdir /v/part; echo whole > /v/f; echo part > /v/part/f", "-v", "vol:/v")
    client("create", *NONE, "--name", "box", "-v", "vol:/new/place", "busybox")
    client("cp", "box:/new/place/f", tmp_path / "f")
    assert (tmp_path / "f").read_text() == "whole\n"
    limited = ("--mount", "type=volume,source=vol,target=/new/place,volume-subpath=part")
    client("create", *NONE, "--name", "limited", *limited, "busybox", "cat", "/new/place/f")
    client("cp", "limited:/new/place/f", tmp_path / "f")
    assert (tmp_path / "f").read_text() == "part\n"
    assert client("start", "-a", "limited") == "part\n"
    client("rm", "box", "limited")
    client("volume", "rm", "vol")


def test_diff_and_export_show_what_changed(client: Client, tmp_path: Path):
    script = "touch /new; rm /etc/group; echo x >> /etc/passwd; mkdir /dir; touch /dir/in; chmod 700 /root"
    client("run", *NONE, "--name", "changed", "busybox", "sh", "-c", script)
    assert set(client("diff", "changed").splitlines()) == {
        "A /new", "A /dir", "A /dir/in", "C /etc", "D /etc/group", "C /etc/passwd", "C /root",
    }  # fmt: skip
    client("export", "-o", tmp_path / "root.tar", "changed")
    with tarfile.open(tmp_path / "root.tar") as archive:
        names = {name.rstrip("/") for name in archive.getnames()}
    assert {"new", "dir/in", "bin/busybox", "etc/passwd"} <= names
    assert "etc/group" not in names


def test_sizes_are_shown(client: Client):
    client("run", *NONE, "--name", "grown", "busybox", "dd", "if=/dev/zero", "of=/x", "bs=1M", "count=3")
    (found,) = json.loads(client("inspect", "-s", "grown"))
    assert 3 << 20 <= found["SizeRw"] < 4 << 20
    assert found["SizeRootFs"] > found["SizeRw"]
    row = json.loads(client("ps", "-as", "--format", "json"))
    assert row["Size"].startswith("3.15MB (virtual ")
    rows = client("system", "df", "--format", "{{.Type}}={{.TotalCount}}").split()
    assert "Containers=1" in rows
    all_rows = json.loads(client("system", "df", "-v", "--format", "json"))
    assert all_rows["Containers"][0]["Size"] == "3.15MB"
    assert all_rows["Containers"][0]["ID"] == found["Id"]
    (image,) = all_rows["Images"]
    assert (image["Repository"], image["Tag"], image["UniqueSize"]) == (
        "busybox",
        "latest",
        image["VirtualSize"],
    )
    assert all_rows["BuildCache"] == all_rows["Volumes"] == []
