"""Repositories as contexts, cloned by the real git from a server of plain files on the loopback."""

from __future__ import annotations

import functools
import http.server
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.errors import CliError
from runtime.cli.verbs import build_context, cloning

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
COMMIT = ("-c", "user.name=n", "-c", "user.email=n@n", "commit", "-qm", "all")


def git(where: Path, *words: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    subprocess.run(["git", *words], cwd=where, env=kept, check=True, capture_output=True)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository's files, to be published."""
    work = tmp_path_factory.mktemp("work")
    (work / "sub/deep").mkdir(parents=True)
    git(work, "init", "-q")
    (work / "Dockerfile").write_text("FROM top\n")
    (work / "sub/Dockerfile").write_text("FROM sub\n")
    (work / "absolute").symlink_to("/sub")
    (work / "sub/deep/README").touch()
    (work / "sub/up").symlink_to("../../../../../sub/deep/..")
    (work / "loop").symlink_to("loop")
    (work / "out").symlink_to("/etc/hostname")
    return work


@pytest.fixture(scope="module")
def bare(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served of it."""
    bare = tmp_path_factory.mktemp("served") / "repo.git"
    bare.mkdir()
    git(bare, "init", "-q", "--bare")
    publish(work, bare, "master", "heads/other/one", "tags/v1")
    git(work, "tag", "start")
    return bare


def publish(work: Path, bare: Path, *names: str) -> None:
    git(work, "add", ".")
    git(work, *COMMIT)
    git(
        work,
        "push",
        "-q",
        str(bare),
        *(f"HEAD:refs/{name if '/' in name else f'heads/{name}'}" for name in names),
    )
    git(bare, "update-server-info")


@pytest.fixture(scope="module")
def url(bare: Path) -> Iterator[str]:
    """The URL of the repository."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(bare.parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/repo.git"
        server.shutdown()


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clones lie in a directory of the test, and nothing of them is left."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    yield
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("context", "is_one"),
    [
        ("https://host/a.git", True),
        ("http://host/a.git#v1:d", True),
        ("https://host/a.tar", False),
        ("https://host/a.git/x", False),
        ("git://host/a", True),
        ("git@host:a", True),
        ("github.com/a/b", True),
        ("ssh://host/a.git", False),
        ("file:///a.git", False),
        ("a.git", False),
        ("--upload-pack=x.git", False),
    ],
)
def test_what_docker_takes_for_a_repository(context: str, is_one: bool):
    assert cloning.is_git(context) is is_one


@pytest.mark.parametrize(
    ("context", "parts"),
    [
        ("github.com/a/b", ("https://github.com/a/b", "master", "")),
        ("http://h/a.git#:d", ("http://h/a.git", "master", "d")),
        ("http://h/a.git#v%2F1:d/e", ("http://h/a.git", "v/1", "d/e")),
        ("git@h:a#b", ("git@h:a", "b", "")),
    ],
)
def test_the_parts_of_an_address(context: str, parts: tuple[str, str, str]):
    assert cloning.parse(context) == parts


@pytest.mark.parametrize("fragment", ["--upload-pack=x", "%2Dx", "a%00b"])
def test_a_reference_is_never_an_option(fragment: str):
    with pytest.raises(CliError, match="invalid refspec: "):
        cloning.parse(f"git://h/a#{fragment}")


@pytest.mark.parametrize(
    ("fragment", "first"),
    [
        ("", "FROM top"),
        ("#v1", "FROM top"),
        ("#other/one:sub", "FROM sub"),
        ("#:absolute", "FROM sub"),
        ("#:sub/up", "FROM sub"),
        ("#:../../..", "FROM top"),
    ],
)
def test_a_reference_and_a_directory_of_it_are_built(url: str, fragment: str, first: str):
    with cloning.cloned(url + fragment) as root:
        assert (root / "Dockerfile").read_text() == f"{first}\n"


@pytest.mark.parametrize("directory", ["Dockerfile", "nope", "loop", "out", "../../../../etc"])
def test_what_is_not_a_directory_of_the_repository_is_refused(url: str, directory: str):
    with (
        pytest.raises(CliError, match="error setting git context, not a directory"),
        cloning.cloned(f"{url}#:{directory}"),
    ):
        pass


def test_git_says_what_it_could_not_get(url: str):
    with (
        pytest.raises(CliError, match=r"unable to 'git clone'.*error fetching: .*nope"),
        cloning.cloned(url + "#nope"),
    ):
        pass


def test_another_repository_of_the_environment_is_left_alone(
    url: str, work: Path, monkeypatch: pytest.MonkeyPatch
):
    before = sorted((work / ".git").rglob("*"))
    monkeypatch.setenv("GIT_DIR", str(work / ".git"))
    with cloning.cloned(url) as root:
        assert (root / ".git").is_dir()
    assert sorted((work / ".git").rglob("*")) == before


@pytest.mark.parametrize("way", ["file", "ext"])
def test_a_submodule_comes_by_no_other_way(url: str, work: Path, bare: Path, tmp_path: Path, way: str):
    where = f"file://{work}" if way == "file" else f"ext::touch {tmp_path}/harm"
    git(work, "checkout", "-q", "--detach", "start")
    (work / ".gitmodules").write_text(f'[submodule "m"]\n path = module\n url = {where}\n')
    (work / "module").mkdir()
    git(work / "module", "init", "-q")
    git(work / "module", *COMMIT, "--allow-empty")
    publish(work, bare, way)
    shutil.rmtree(work / "module")
    git(work, "reset", "-q", "--hard", "start")
    said = r"initializing submodules: (.|\n)*transport '\w+' not allowed"
    with pytest.raises(CliError, match=said), cloning.cloned(f"{url}#{way}"):
        pass
    assert not (tmp_path / "harm").exists()


def test_a_dockerignore_that_leads_out_is_refused(url: str, work: Path, bare: Path):
    git(work, "checkout", "-q", "--detach", "start")
    (work / "sub/.dockerignore").symlink_to("/etc/passwd")
    publish(work, bare, "rules")
    git(work, "reset", "-q", "--hard", "start")
    with pytest.raises(CliError, match=r"sub/\.dockerignore"), cloning.cloned(f"{url}#rules"):
        pass


@pytest.mark.parametrize("file", ["/etc/hostname", "out", "../../etc/hostname"])
def test_a_dockerfile_outside_of_it_is_not_read(url: str, file: str):
    with (
        cloning.cloned(url) as root,
        pytest.raises(CliError, match="Dockerfile"),
    ):
        build_context.from_repository(root, file)


@pytest.mark.parametrize("path", ["", ".", ":"])
def test_no_git_of_the_current_directory_is_run(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "git").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "git").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", path)
    with pytest.raises(CliError, match="unable to find 'git': "), cloning.cloned("http://127.0.0.1:9/a.git"):
        pass
