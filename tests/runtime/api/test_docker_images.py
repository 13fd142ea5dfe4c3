"""Images and builds through the docker command, unmodified, against a real daemon."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from daemon_process import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]


def context(path: Path, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


def build(daemon: Daemon, path: Path, dockerfile: str, *flags: str, status: int = 0, **files: str) -> str:
    directory = context(path / "context", Dockerfile=dockerfile, **files)
    done = daemon.docker_run("build", "--force-rm", *flags, str(directory))
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == status, said
    return said


def inspect(daemon: Daemon, name: str) -> dict:  # type: ignore[type-arg]
    (found,) = json.loads(daemon.docker("image", "inspect", name))
    return found


# ---- names ----------------------------------------------------------------------------------------------


def test_images_are_listed_tagged_and_removed(daemon: Daemon) -> None:
    daemon.docker("tag", "busybox", "other.example/team/app:1")
    rows = daemon.docker("images", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}").split()
    assert {"busybox:latest", "other.example/team/app:1"} <= set(rows)
    assert daemon.docker("images", "-q", "other.example/*/app") == daemon.docker("images", "-q", "busybox")
    assert daemon.docker("rmi", "other.example/team/app:1") == "Untagged: other.example/team/app:1\n"
    assert "No such image: other.example/team/app:1" in daemon.docker(
        "rmi", "other.example/team/app:1", check=False
    )
    assert "invalid reference format" in daemon.docker("tag", "busybox", "x/UPPER", check=False)


def test_inspect_tells_dockers_fields(daemon: Daemon) -> None:
    image = inspect(daemon, "busybox")
    assert image["RepoTags"] == ["busybox:latest"]
    assert (image["Os"], image["Config"]["Cmd"]) == ("linux", ["sh"])
    assert image["Config"]["Env"][0].startswith("PATH=")
    assert len(image["RootFS"]["Layers"]) == 1
    assert image["Size"] > 100_000
    assert "latest" in daemon.docker("inspect", "-f", "{{.RepoTags}}", image["Id"])


def test_an_image_that_a_container_needs_stays(daemon: Daemon) -> None:
    daemon.docker("tag", "busybox", "needed")
    id_ = daemon.docker("run", "-d", "--stop-timeout", "0", "needed", "sleep", "60").strip()
    try:
        daemon.docker("rmi", "needed")
        said = daemon.docker("rmi", "-f", inspect(daemon, "busybox")["Id"], check=False)
        assert f"image is being used by running container {id_[:12]}" in said
    finally:
        daemon.docker("rm", "-f", id_)


# ---- commit, import, save, load -------------------------------------------------------------------------


def test_a_commit_holds_what_changed_and_nothing_else(daemon: Daemon, tmp_path: Path) -> None:
    script = "echo new > /new; rm /etc/group; ln /new /link; mkdir -p /d/e; chmod 700 /root"
    daemon.docker("run", "--name", "source", "busybox", "sh", "-c", script)
    changes = ("-c", 'CMD ["cat", "/new"]', "-c", "ENV A=1")
    try:
        image = daemon.docker("commit", "-a", "me", "-m", "words", *changes, "source", "made:1").strip()
    finally:
        daemon.docker("rm", "-f", "source")
    assert daemon.docker("run", "--rm", "made:1") == "new\n"
    shown = daemon.docker("run", "--rm", "made:1", "sh", "-c", "stat -c %h:%a /link /root; echo $A")
    assert shown.split() == ["2:644", "1:700", "1"]
    found = inspect(daemon, "made:1")
    assert (found["Id"], found["Author"], found["Comment"]) == (image, "me", "words")
    assert found["Parent"] == inspect(daemon, "busybox")["Id"]
    archive = subprocess.run(
        ["docker", "save", "made:1"], env=daemon.environment, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        layers = json.load(tar.extractfile("manifest.json"))[0]["Layers"]  # type: ignore[arg-type]
        with tarfile.open(fileobj=tar.extractfile(layers[-1])) as layer:
            names = {name.strip("/") for name in layer.getnames()}
    assert names == {"new", "link", "d", "d/e", "root", "etc", "etc/.wh.group"}
    daemon.docker("rmi", "made:1")


def test_a_commit_of_a_running_container_pauses_it(daemon: Daemon) -> None:
    id_ = daemon.docker(
        "run", "-d", "--stop-timeout", "0", "busybox", "sh", "-c", "echo x > /x; sleep 60"
    ).strip()
    try:
        daemon.docker("commit", id_, "running")
        assert daemon.docker("inspect", "-f", "{{.State.Status}}", id_) == "running\n"
        assert daemon.docker("run", "--rm", "running", "cat", "/x") == "x\n"
    finally:
        daemon.docker("rm", "-f", id_)
        daemon.docker("rmi", "running")


def test_export_and_import_and_history(daemon: Daemon, tmp_path: Path) -> None:
    id_ = daemon.docker("create", "busybox").strip()
    try:
        daemon.docker("export", "-o", str(tmp_path / "root.tar"), id_)
    finally:
        daemon.docker("rm", id_)
    path = str(tmp_path / "root.tar")
    made = daemon.docker("import", "-m", "from afar", "-c", "ENTRYPOINT echo hi", path, "imported:x").strip()
    assert daemon.docker("run", "--rm", "imported:x") == "hi\n"
    assert daemon.docker("history", "--format", "{{.Comment}}", "imported:x") == "from afar\n"
    piped = daemon.docker("import", "-", stdin=Path(path).read_bytes()).strip()
    assert piped != made
    daemon.docker("rmi", made, piped)


def test_save_and_load_of_several(daemon: Daemon, tmp_path: Path) -> None:
    daemon.docker("tag", "busybox", "a:1")
    build(daemon, tmp_path, "FROM busybox\nCOPY f /\n", "-t", "b:1", f="x")
    before = inspect(daemon, "b:1")["Id"]
    daemon.docker("save", "-o", str(tmp_path / "both.tar"), "a:1", "b:1")
    daemon.docker("rmi", "a:1", "b:1")
    said = daemon.docker("load", "-i", str(tmp_path / "both.tar"))
    assert said.splitlines()[-2:] == ["Loaded image: a:1", "Loaded image: b:1"]
    assert inspect(daemon, "b:1")["Id"] == before
    assert daemon.docker("run", "--rm", "b:1", "cat", "/f") == "x"
    assert "Loaded" not in daemon.docker("load", stdin=b"no archive", check=False)
    daemon.docker("rmi", "a:1", "b:1")


def test_prune_takes_what_has_no_name(daemon: Daemon, tmp_path: Path) -> None:
    build(daemon, tmp_path, "FROM busybox\nLABEL a=1", "-t", "again")
    old = inspect(daemon, "again")["Id"]
    build(daemon, tmp_path, "FROM busybox\nLABEL a=2", "-t", "again")
    assert daemon.docker("images", "-q", "--no-trunc", "-f", "dangling=true").split() == [old]
    assert old in daemon.docker("image", "prune", "-f")
    assert daemon.docker("images", "-q", "-f", "dangling=true") == ""
    daemon.docker("rmi", "again")


# ---- build ----------------------------------------------------------------------------------------------


def test_a_build_runs_its_steps_in_containers(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS made\nARG word=none\nRUN echo $word > /made && echo out && echo err >&2\n"
        "FROM busybox\nCOPY --from=made /made /got\nUSER 1000\nWORKDIR /w\n"
        'ENTRYPOINT ["cat"]\nCMD ["/got"]\n'
    )
    said = build(daemon, tmp_path, dockerfile, "-t", "built", "--build-arg", "word=given")
    assert "Step 1/9 : FROM busybox AS made\n" in said
    assert " ---> Running in " in said
    assert " ---> Removed intermediate container " in said
    assert "\nout\n" in said
    assert "\x1b[91merr\n\x1b[0m" in said
    assert "Successfully tagged built:latest" in said
    assert daemon.docker("run", "--rm", "built") == "given\n"
    assert daemon.docker("ps", "-aq") == ""
    again = build(daemon, tmp_path, dockerfile, "-t", "built", "--build-arg", "word=given")
    assert again.count("Using cache") == 7
    assert build(daemon, tmp_path, dockerfile, "--build-arg", "word=new").count("Using cache") == 1
    daemon.docker("rmi", "built")
    daemon.docker("image", "prune", "-f")


def test_a_failed_step_tells_its_status_and_leaves_no_container(daemon: Daemon, tmp_path: Path) -> None:
    said = build(daemon, tmp_path, "FROM busybox\nRUN exit 42\n", "-t", "never", status=42)
    assert "The command '/bin/sh -c exit 42' returned a non-zero code: 42" in said
    assert daemon.docker("ps", "-aq") == ""
    assert "No such image" in daemon.docker("inspect", "--type", "image", "never", check=False)
    assert "unknown instruction: NOTONE" in build(daemon, tmp_path, "FROM busybox\nNOTONE", status=1)
    assert "/none" in build(daemon, tmp_path, 'FROM busybox\nRUN ["/none"]', status=1)


def test_steps_see_the_image_before_them(daemon: Daemon, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\nRUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b\nRUN rm /d/a && mv /d /e\n"
        'VOLUME /e\nRUN touch /e/lost\nSHELL ["/bin/sh", "-ec"]\nRUN false || echo "$0" > /shell\n'
    )
    build(daemon, tmp_path, dockerfile, "-t", "steps", "--no-cache")
    shown = daemon.docker("run", "--rm", "steps", "sh", "-c", "ls /e; ls -d /d /shell 2>/dev/null; true")
    assert shown.split() == ["b", "/shell"]
    layers = inspect(daemon, "steps")["RootFS"]["Layers"]
    assert len(layers) == 4  # touching a volume changes no layer
    daemon.docker("rmi", "steps")


def test_a_build_joins_networks_and_knows_hosts(daemon: Daemon, tmp_path: Path) -> None:
    said = build(
        daemon,
        tmp_path,
        "FROM busybox\nRUN grep extra /etc/hosts && ip link | grep -c mtu && cat /etc/hosts > /kept\n",
        "--network",
        "none",
        "--add-host",
        "extra.test:127.0.0.1",
        "--shm-size",
        "8m",
        "-t",
        "hosts",
    )
    assert "127.0.0.1\textra.test\n1\n" in said
    names = daemon.docker("run", "--rm", "hosts", "sh", "-c", "wc -c < /kept; ls /kept")
    assert int(names.split()[0]) > 20
    daemon.docker("rmi", "hosts")


def test_a_quiet_build_and_one_from_standard_input(daemon: Daemon, tmp_path: Path) -> None:
    made = daemon.docker("build", "-q", "-", stdin="FROM busybox\nLABEL stdin=1\n").strip()
    assert inspect(daemon, made)["Config"]["Labels"] == {"stdin": "1"}
    files = {"Dockerfile.x": "FROM scratch\nADD . /\n", ".dockerignore": "secret\n", "secret": "", "open": ""}
    directory = context(tmp_path / "c", **files)
    daemon.docker("build", "-q", "-t", "files", "-f", str(directory / "Dockerfile.x"), str(directory))
    id_ = daemon.docker("create", "files", "x").strip()
    names = subprocess.run(
        ["docker", "export", id_], env=daemon.environment, capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(names)) as tar:
        assert {"open", ".dockerignore", "Dockerfile.x"} <= set(tar.getnames())
        assert "secret" not in tar.getnames()
    daemon.docker("rm", id_)
    daemon.docker("rmi", made, "files")


def test_nothing_a_container_does_changes_an_image(daemon: Daemon) -> None:
    script = "rm -rf /etc /bin/ls; echo x > /first; chmod 777 /root; touch /tmp/x; chown 7 /bin/busybox"
    daemon.docker("run", "--rm", "--privileged", "busybox", "sh", "-c", script)
    from runtime.image import ImageStore

    ImageStore(daemon.root / "images").verify("busybox")
    assert daemon.docker("run", "--rm", "busybox", "ls", "/etc/passwd") == "/etc/passwd\n"
