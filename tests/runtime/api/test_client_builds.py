"""The classic builder through docker's command and ours, with steps in real containers."""

from __future__ import annotations

import functools
import http.server
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.clients import Client

pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def builds(client: Client) -> Iterator[None]:
    """Only busybox stays, and no step's container."""
    yield
    assert client.daemon.api("GET", "/containers/json?all=1") == (200, [])
    client.daemon.empty()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The URL of a directory `served`, on the loopback."""
    (tmp_path / "served").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def context(path: Path, dockerfile: str, **files: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in {"Dockerfile": dockerfile, **files}.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    return path


def build(client: Client, path: Path, dockerfile: str, *flags: str, status: int = 0, **files: str) -> str:
    """Build without a network, and return all that is said."""
    where = context(path / "context", dockerfile, **files)
    done = client.run("build", "--network", "none", "--force-rm", *flags, where)
    said = done.stdout.decode() + done.stderr.decode()
    assert done.returncode == status, said
    return said


def inspect(client: Client, name: str) -> Any:
    (found,) = json.loads(client("image", "inspect", name))
    return found


def look(client: Client, image: str, script: str) -> str:
    return client("run", "--rm", "--network", "none", "--entrypoint", "", image, "sh", "-c", script)


# ---- steps ----------------------------------------------------------------------------------------------


def test_steps_run_in_containers_of_the_image_before_them(client: Client, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS made\nARG word=none\nRUN echo $word > /made && echo out && echo err >&2\n"
        "FROM busybox\nCOPY --from=made /made /got\nUSER 1000\nWORKDIR /w\n"
        'ENTRYPOINT ["cat"]\nCMD ["/got"]\n'
    )
    said = build(client, tmp_path, dockerfile, "-t", "built", "--build-arg", "word=given")
    assert "Step 1/9 : FROM busybox AS made\n" in said
    assert " ---> Running in " in said
    assert " ---> Removed intermediate container " in said
    assert "\nout\n" in said
    assert "\x1b[91merr\n\x1b[0m" in said
    assert "Successfully tagged built:latest" in said
    assert client("run", "--rm", "built") == "given\n"
    again = build(client, tmp_path, dockerfile, "-t", "built", "--build-arg", "word=given")
    assert again.count("Using cache") == 7
    assert build(client, tmp_path, dockerfile, "--build-arg", "word=new").count("Using cache") == 1
    assert "Using cache" not in build(client, tmp_path, dockerfile, "--no-cache", "--target", "made")


def test_a_failed_step_reports_its_status(client: Client, tmp_path: Path) -> None:
    said = build(client, tmp_path, "FROM busybox\nRUN exit 42\n", "-t", "never", status=42)
    assert "The command '/bin/sh -c exit 42' returned a non-zero code: 42" in said
    assert "No such image" in client.refused("image", "inspect", "never")
    assert "unknown instruction: NOTONE" in build(client, tmp_path, "FROM busybox\nNOTONE", status=1)
    assert "/none" in build(client, tmp_path, 'FROM busybox\nRUN ["/none"]', status=1)
    assert "heredoc needs BuildKit" in build(client, tmp_path, "FROM busybox\nRUN <<E\ntrue\nE\n", status=1)


def test_every_instruction_comes_into_the_image(client: Client, tmp_path: Path) -> None:
    dockerfile = """
# escape=\\
ARG BASE=busybox
FROM ${BASE} AS base
MAINTAINER me <a@b>
ENV A=1 B="two words" C=${A:-x}${N:+y}
ENV OLD form of it
LABEL a=b "c d"='e $A'
EXPOSE 80 90/udp 100-101
VOLUME /v
VOLUME ["/w"]
WORKDIR /a
WORKDIR b
COPY --chown=5:6 --chmod=640 f g/
ADD d /d/
SHELL ["/bin/sh", "-e", "-c"]
RUN pwd > /pwd; \\
    # inside
    echo "$B" >> /pwd
HEALTHCHECK --interval=5s --retries=2 CMD true || false
STOPSIGNAL 9
USER 7:8
ONBUILD LABEL triggered=yes
CMD echo hi
ENTRYPOINT exec "$@"
CMD ["x"]
"""
    build(client, tmp_path, dockerfile, "-t", "all", "--label", "z=1", **{"f": "f", "d/e": "e"})
    found = inspect(client, "all")
    config = found["Config"]
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    assert config["Env"] == [path, "A=1", "B=two words", "C=x", "OLD=form of it"]
    assert config["Labels"] == {"a": "b", "c d": "e $A", "z": "1"}
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp", "100/tcp", "101/tcp"}
    assert set(config["Volumes"]) == {"/v", "/w"}
    assert (config["User"], config["WorkingDir"], config["StopSignal"]) == ("7:8", "/a/b", "9")
    assert config["Entrypoint"] == ["/bin/sh", "-e", "-c", 'exec "$@"']
    assert (config["Cmd"], config["Shell"]) == (["x"], ["/bin/sh", "-e", "-c"])
    assert config["Healthcheck"]["Test"] == ["CMD-SHELL", "true || false"]
    assert (config["OnBuild"], found["Author"]) == (["LABEL triggered=yes"], "me <a@b>")
    shown = look(client, "all", "cat /pwd; stat -c '%u:%g %a' /a/b/g/f; cat /d/e")
    assert shown == "/a/b\ntwo words\n5:6 640\ne"
    said = build(client, tmp_path, "FROM all\nUSER root\n", "-t", "child")
    assert "# Executing 1 build trigger" in said
    child = inspect(client, "child")["Config"]
    assert (child["Labels"]["triggered"], child["OnBuild"]) == ("yes", None)


def test_an_empty_list_runs_what_the_image_runs(client: Client, tmp_path: Path) -> None:
    dockerfile = 'FROM busybox\nCMD ["touch", "/ran"]\nRUN []\n'
    build(client, tmp_path, dockerfile, "-t", "empty")
    assert look(client, "empty", "ls /ran") == "/ran\n"


def test_volumes_and_the_shell_of_steps(client: Client, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\nRUN mkdir /d && echo 1 > /d/a && echo 2 > /d/b\nRUN rm /d/a && mv /d /e\n"
        'VOLUME /e\nRUN touch /e/lost\nSHELL ["/bin/sh", "-ec"]\nRUN false || echo "$0" > /shell\n'
    )
    build(client, tmp_path, dockerfile, "-t", "steps", "--no-cache")
    assert look(client, "steps", "ls /e; ls -d /d /shell 2>/dev/null; true").split() == ["b", "/shell"]
    assert len(inspect(client, "steps")["RootFS"]["Layers"]) == 4  # touching a volume changes no layer
    assert client("volume", "ls", "-q") == ""


def test_limits_hosts_and_networks_of_steps(client: Client, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox\nRUN grep extra /etc/hosts && ip link | grep -c mtu && ulimit -n && df -k /dev/shm\n"
        "RUN echo kept >> /etc/hosts\n"
    )
    flags = ("--add-host", "extra.test:127.0.0.1", "--shm-size", "8m", "--ulimit", "nofile=123:456",
             "-m", "64m", "--cpu-shares", "100", "--cpu-quota", "50000", "--cpuset-cpus", "0")  # fmt: skip
    said = build(client, tmp_path, dockerfile, *flags, "-t", "limited")
    assert re.search(r"127\.0\.0\.1\textra\.test\n1\n123\n(?s:.*)\nshm +8192 ", said), said
    assert len(inspect(client, "limited")["RootFS"]["Layers"]) == 1  # nothing of what was mounted stays


# ---- contexts -------------------------------------------------------------------------------------------


def test_what_is_ignored_stays_away(client: Client, tmp_path: Path) -> None:
    rules = "# these\n*.log\n!keep.log\nmodules\n**/*.md\n!a/b/yes.md\n"
    names = ("x.log", "keep.log", "modules/m", "a/no.md", "a/b/yes.md", "a/b/f")
    files = dict.fromkeys(names, "") | {".dockerignore": rules}
    build(client, tmp_path, "FROM busybox\nCOPY . /c\n", "-t", "some", **files)
    seen = set(look(client, "some", "cd /c; find . -type f").split())
    assert seen == {
        f"./{name}" for name in ("keep.log", "a/b/yes.md", "a/b/f", ".dockerignore", "Dockerfile")
    }
    assert "excluded by .dockerignore" in build(client, tmp_path, "FROM busybox\nCOPY x.log /\n", status=1)
    shutil.rmtree(tmp_path / "context")
    files = {".dockerignore": "f[!a]\n", "f1": "", "fa": "", "fb": ""}
    build(client, tmp_path, "FROM busybox\nCOPY f* /c/\n", "-t", "class", **files)
    assert look(client, "class", "ls /c").split() == ["f1", "fb"]  # the daemon read it as f[^a]: fa alone
    shutil.rmtree(tmp_path / "context")
    files = dict.fromkeys(names, "") | {".dockerignore": rules}
    where = context(tmp_path / "context", "FROM scratch\n", **files)
    client(
        "build", "-q", "-t", "more", "-f", "-", where, stdin=b"FROM busybox\nCOPY . /c\nRUN rm /c/keep.log\n"
    )
    seen = set(look(client, "more", "cd /c; find . -type f").split())
    assert seen == {f"./{name}" for name in ("a/b/yes.md", "a/b/f", ".dockerignore", "Dockerfile")}


def test_dockerfiles_and_contexts_come_from_anywhere(client: Client, tmp_path: Path, served: str) -> None:
    where = context(tmp_path / "c", "FROM scratch\n", f="f")
    (tmp_path / "Other").write_text("FROM busybox\nCOPY f /other\n")
    (where / "Inner").write_text("FROM busybox\nCOPY f /inner\n")
    for file, path in ((tmp_path / "Other", "/other"), (where / "Inner", "/inner")):
        client("build", "-q", "-t", "from", "-f", file, where)
        assert look(client, "from", f"cat {path}") == "f"
    made = client("build", "-q", "-", stdin=b"FROM busybox\nLABEL stdin=1\n").strip()
    assert inspect(client, made)["Config"]["Labels"] == {"stdin": "1"}
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        tar.add(where, ".")
    (tmp_path / "served/c.tgz").write_bytes(data.getvalue())
    (tmp_path / "served/Dockerfile").write_text(
        f"FROM busybox\nADD {served}/c.tgz /\nADD {served}/c.tgz /to/\n"
    )
    client("build", "-q", "-t", "from", "-f", "Inner", "-", stdin=data.getvalue())
    assert look(client, "from", "cat /inner") == "f"
    client("build", "-q", "-t", "from", "-f", "Inner", f"{served}/c.tgz")
    assert look(client, "from", "cat /inner") == "f"
    client("build", "-q", "-t", "from", f"{served}/Dockerfile")
    assert look(client, "from", "ls -d /c.tgz /to/*").split() == ["/c.tgz", "/to/c.tgz"]
    words = client.refused("build", f"{served}/nothing")
    # docker's command since 28 forgets what it was answered, and sends a context without a Dockerfile
    assert "404" in words or "Cannot locate specified Dockerfile" in words
    client("rmi", made)


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_client_clones_a_repository(client: Client, tmp_path: Path, served: str) -> None:
    where = context(tmp_path / "c", "FROM busybox\nCOPY f /top\n", f="top")
    context(where / "sub", "FROM busybox\nCOPY f /below\n", f="below", Inner="FROM busybox\nCOPY f /inner\n")
    bare = tmp_path / "served/repo.git"
    for line in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=n", "-c", "user.email=n@n", "commit", "-qm", "all"),
        ("clone", "-q", "--bare", ".", bare),
        ("-C", bare, "branch", "-f", "master", "HEAD"),
        ("-C", bare, "branch", "other", "HEAD"),
        ("-C", bare, "update-server-info"),
    ):
        subprocess.run(("git", *line), cwd=where, check=True, capture_output=True)
    for words, shown in (
        ((f"{served}/repo.git",), "top"),
        ((f"{served}/repo.git#other:sub",), "below"),
        (("-f", "Inner", f"{served}/repo.git#:sub"), "inner"),
    ):
        client("build", "-q", "-t", "from", *words)
        assert look(client, "from", f"cat /{shown}") == ("top" if shown == "top" else "below")
    assert "must be within the build context" in client.refused(
        "build", "-f", "/etc/passwd", f"{served}/repo.git"
    )


def test_a_dockerfile_may_have_a_small_name(client: Client, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "FROM busybox\nLABEL which=big\n")
    (where / "dockerfile").write_text("FROM busybox\nLABEL which=small\n")
    for which in ("big", "small"):
        made = client("build", "-q", "-t", "which", where).strip()
        assert inspect(client, made)["Config"]["Labels"] == {"which": which}
        (where / "Dockerfile").unlink(missing_ok=True)


def test_archives_are_unpacked_by_add_alone(client: Client, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "FROM busybox\nADD a.tgz /in\nCOPY a.tgz /raw/\n")
    with tarfile.open(where / "a.tgz", "w:gz") as tar:
        tar.add(where / "Dockerfile", "deep/file")
    client("build", "-q", "-t", "added", where)
    assert look(client, "added", "ls /in/deep/file /raw/*").split() == ["/in/deep/file", "/raw/a.tgz"]


# ---- what comes of it -----------------------------------------------------------------------------------


def test_an_id_goes_to_a_file_and_names_to_the_image(client: Client, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "FROM busybox\nLABEL a=b\n")
    quiet = client("build", "-q", "-t", "one", "-t", "two:2", "--iidfile", tmp_path / "id", where).strip()
    assert (tmp_path / "id").read_text().strip() == quiet == inspect(client, "two:2")["Id"]
    assert inspect(client, quiet)["RepoTags"] == ["one:latest", "two:2"]
    (where / "Dockerfile").write_text('FROM busybox\nRUN ["/no/such"]\n')
    client("build", "--iidfile", tmp_path / "id", "--force-rm", where, status=1)
    assert not (tmp_path / "id").exists()


def test_a_quiet_build_prints_all_when_it_fails(client: Client, tmp_path: Path) -> None:
    where = context(tmp_path / "c", "FROM busybox\nRUN seq 1 200000\nRUN echo why; exit 3\n")
    done = client.run("build", "-q", "--no-cache", "--force-rm", "--network", "none", where)
    assert (done.returncode, done.stdout) == (3, b"")
    assert re.search(
        r"\n200000\n(?s:.*)Step 3/3 : (?s:.*)\nwhy\n(?s:.*)non-zero code: 3", done.stderr.decode()
    )


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("-t", "UPPER"), 125, "invalid reference format"),
        (("--add-host", "foo"), 125, "bad format for add-host"),
        (("--add-host", ":127.0.0.1"), 125, "bad format for add-host"),
        (("--add-host", "foo:101.10.2"), 125, "invalid IP address in add-host"),
        (("--add-host", "foo:2001::1::3F"), 125, "invalid IP address in add-host"),
        (("-f", "-"), 1, "use stdin for both build context and dockerfile"),
        (("-f", "Other"), 1, "ambiguous Dockerfile source"),
    ],
)
def test_a_wrong_flag_is_reported_before_anything_is_built(
    client: Client, flags: tuple[str, ...], status: int, said: str
) -> None:
    done = client.run("build", *flags, "-", stdin=b"FROM busybox\n")
    assert (done.returncode, said in done.stderr.decode()) == (status, True), done.stderr


def test_what_an_image_has_not_is_shown_as_go_shows_it(client: Client, tmp_path: Path) -> None:
    where = context(tmp_path / "c", 'FROM scratch\nEXPOSE 2375\nVOLUME /v\nENTRYPOINT []\nCMD ["x"]\n')
    client("build", "-q", "-t", "typed", where)
    form = "{{with .Config}}{{.Entrypoint}} {{.Cmd}} {{.ExposedPorts}} {{.Volumes}} {{.Labels}}{{end}}"
    shown = client("image", "inspect", "-f", form, "typed")
    assert shown == "[] [x] map[2375/tcp:{}] map[/v:{}] map[]\n"
    form = "{{json .Config.Volumes}} {{.Config.Healthcheck}} {{.Config.Shell}} {{json .Config.Shell}}"
    assert client("image", "inspect", "-f", form, "typed") == '{"/v":{}} <nil> [] null\n'


def test_only_named_images_are_a_cache_where_some_are_named(client: Client, tmp_path: Path) -> None:
    build(client, tmp_path, "FROM busybox\nRUN echo 1\nRUN echo 2\n", "-t", "cached")
    again = "FROM busybox\nRUN echo 1\nRUN echo 2\nRUN echo 3\n"
    assert build(client, tmp_path, again, "--cache-from", "cached").count("Using cache") == 2
    assert build(client, tmp_path, again, "--cache-from", "busybox").count("Using cache") == 0


def test_stages_are_chosen_and_take_from_each_other(client: Client, tmp_path: Path) -> None:
    dockerfile = (
        "FROM busybox AS one\nRUN echo 1 > /one\nFROM one AS two\nRUN cat /one > /two\n"
        "FROM scratch AS three\nCOPY --from=two /two /\nCOPY --from=0 /one /x/\n"
        "COPY --from=busybox /bin /bin\n"
    )
    build(client, tmp_path, dockerfile, "-t", "last")
    assert look(client, "last", "cat /two /x/one") == "1\n1\n"
    build(client, tmp_path, dockerfile, "-t", "last", "--target", "two")
    assert look(client, "last", "ls /one /two").split() == ["/one", "/two"]
    assert 'target stage "four" could not be found' in build(
        client, tmp_path, dockerfile, "--target", "four", status=1
    )


def test_a_build_can_be_squashed(client: Client, tmp_path: Path) -> None:
    dockerfile = "FROM busybox\nRUN echo 1 > /1 && rm /etc/group\nRUN rm /1 && mkdir /1 && echo 2 > /2\n"
    if client.name == "docker":
        pytest.skip("docker's command asks experimental daemons only")
    build(client, tmp_path, dockerfile, "--squash", "-t", "one")
    assert len(inspect(client, "one")["RootFS"]["Layers"]) == 2
    assert look(client, "one", "ls -d /1/ /2; ls /etc/group 2>&1; true").splitlines() == [
        "/1/", "/2", "ls: /etc/group: No such file or directory",
    ]  # fmt: skip
