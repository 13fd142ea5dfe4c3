"""`.dockerignore`. Read by: cli/build_context (what is sent), service/build/context (drops two)."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cli.errors import CliError
from runtime.cli.verbs import build_context
from runtime.docker_syntax import MalformedError, ignore
from tests.runtime.tiny_server import Request, TinyServer, on_unix

CASES = [
    # text, left out, not left out
    ("a", ["a", "a/b"], ["b/a", "ab"]),
    ("/a/", ["a", "a/b"], ["b/a"]),
    ("//a", ["a"], []),
    ("./a/../b", ["b"], ["a"]),
    ("*/a", ["x/a", "x/a/b"], ["a", "x/y/a"]),
    ("*.log", ["a.log", "a.log/b"], ["d/a.log", "alog"]),
    ("**", ["a", "a/b"], []),
    ("**/a", ["a", "x/a", "x/y/a/b"], ["xa", "a.b"]),
    ("**a", ["a", "xa", "x/ya"], ["ab"]),
    ("**/*.log", ["a.log", "d/e/a.log"], ["a.logs"]),
    ("**/a/*", ["a/b", "x/a/b/c"], ["a", "x/a"]),
    ("**/**", ["a", "a/b"], []),
    ("a/**", ["a/b", "a/b/c"], ["a"]),
    ("a**", ["a", "ab", "a/b"], ["ba"]),
    ("a**/c", ["ac", "abc/c", "a/b/c"], ["abc", "ab/cc"]),
    ("a?c", ["abc"], ["a/c", "ac"]),
    ("[ab]x", ["ax", "bx"], ["cx", "d/ax"]),
    ("f[!a]", ["f!", "fa"], ["fb", "f1"]),
    ("[^a]x", ["bx"], ["ax"]),
    ("a[^b]c", ["a/c", "axc"], ["abc"]),
    ("[*]a", ["[]a"], ["*a", "ba"]),
    ("[[&~]a", ["[a", "&a", "~a"], ["a"]),
    ("\\*", ["*"], ["a"]),
    ("\\!a", ["!a"], ["a"]),
    ("a\\ b", ["a b"], ["a\\ b"]),
    ("a.b+c", ["a.b+c"], ["axb+c", "a.bbc"]),
    ("^a*", ["ab"], ["^ab"]),
    ("^a", ["^a"], ["a"]),
    ("# c\n\n  a  \n #a", ["a", "#a"], ["# c", "c"]),
    ("\ufeffa\r\nb\r\n", ["a", "b"], []),
    ("a\x0cb", ["a\x0cb"], ["a", "b"]),
    ("*.md\n!README.md", ["x.md"], ["README.md", "x/y.md"]),
    ("a\n!a/b/c", ["a", "a/b", "a/x"], ["a/b/c", "a/b/c/d"]),
    ("a\n!a/b\na/b", ["a/b"], ["b"]),
    ("!a\na", ["a"], ["b"]),
    ("*\n! keep", ["other"], ["keep"]),
    ("*\n!./keep/", ["other"], ["keep", "keep/x"]),
    (".", [], ["a"]),
    ("!.\na", ["a"], ["b"]),
    ("/", [], ["a"]),
    ("./!a", [], ["a"]),
]
REFUSED = ["[a", "!", "! ", "!/", "[]a]", "[b-a]", "a\\", "[-]", "[^]"]


@pytest.mark.parametrize(("text", "ignored", "kept"), CASES)
def test_the_last_pattern_that_fits_decides(text: str, ignored: list[str], kept: list[str]):
    found = ignore.Ignored(ignore.read(text))
    assert [path for path in ignored if not found(path)] == []
    assert [path for path in kept if found(path)] == []


@pytest.mark.parametrize("text", REFUSED)
def test_a_pattern_that_makes_no_sense_is_refused(text: str):
    with pytest.raises(MalformedError, match="pattern"):
        ignore.Ignored(ignore.read(f"x\n{text}\ny"))


@given(st.text("ab*?![]^-/\\.# \n", max_size=20), st.text("ab/", min_size=1, max_size=6))
def test_any_text_is_read_or_refused(text: str, path: str):
    with contextlib.suppress(MalformedError):
        ignore.Ignored(ignore.read(text))(path)


@given(st.lists(st.text("ab", min_size=1, max_size=3), min_size=1), st.text("ab/", min_size=1, max_size=8))
def test_names_alone_leave_out_themselves_and_what_is_below(names: list[str], path: str):
    found = ignore.Ignored(ignore.read("\n".join(names)))
    assert found(path) == (path.split("/")[0] in names or path in names)


# ---- what is sent, beside docker's command ----------------------------------------------------------------

TREE = (
    *("Dockerfile", "a.log", "keep", "f1", "fa", "fb", "f!", "#a", "]a", "[a", "*a", "^a", "a b", "é", "!x"),
    *("d/x", "d/keep", "d/e/x.md", "d/e/y", "docs/a.md", "docs/b/c.md", "docs/b/keep", "sub/Dockerfile"),
    *("a/c", "abc", "axc", "e/empty/"),
)
RULES = [
    *(
        "",
        "f[!a]",
        "f[^a]",
        "[]a]",
        "[a",
        "!",
        "! ",
        " #a",
        "#a",
        "\\#a",
        "*",
        "**",
        "**/**",
        "d",
        "d/",
        "/d",
    ),
    *("*.md", "**/*.md", "docs/**", "docs/*\n!docs/b", "d\n!d/keep", "d\n!**/keep", "*\n!**/keep", "**\n!d"),
    *("d\n!d/e/*.md", "*\n!d/e", "d/x\n!d", "!d\nd", "*\n!keep\n!Dockerfile", "Dockerfile", ".dockerignore"),
    *(
        "*\n!*",
        "a?c",
        "a[^b]c",
        "[*]a",
        "^a",
        "^a*",
        "a\\ b",
        "é",
        "?",
        "[à-ü]",
        "\\!x",
        "!x",
        "./!x",
        ".",
        "/",
    ),
    *("!.\nd", "//d", "d/../f1", "\ufefff1\r\nfa\r\n", "f1\n\n\nfa", "[b-a]", "a\\", "**keep", "**/e/*", "e"),
    *(
        "e/empty",
        "e/**",
        "docs\n!docs",
        "docs\n!docs/b\ndocs/b/keep",
        "sub",
        "sub\n!sub/Docker*",
        "*\n!e",
        "/d",
        "/",
    ),
]


def make_tree(root: Path, rules: str) -> Path:
    for name in TREE:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).mkdir() if name.endswith("/") else (root / name).write_text("FROM x\n")
    (root / "link").symlink_to("d")
    (root / ".dockerignore").write_text(rules, newline="")
    return root


def names_in(data: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return sorted(archive.getnames())


def sent_by_nn(root: Path, dockerfile: str) -> list[str] | None:
    try:
        return names_in(b"".join(build_context.from_directory(str(root), str(root / dockerfile))[0]))
    except CliError:
        return None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyServer]:
    """Takes any context for a build, and keeps it."""

    def answer(request: Request) -> None:
        request.reply("" if "_ping" in request.path else "{}", api_version="1.41", ostype="linux")

    server = on_unix(tmp_path_factory.mktemp("server") / "s", answer)
    yield server
    server.close()


def sent_by_docker(server: TinyServer, root: Path, dockerfile: str) -> list[str] | None:
    """What docker's command sends; None where it refuses the patterns."""
    server.requests.clear()
    environment = os.environ | {
        "DOCKER_BUILDKIT": "0",
        "DOCKER_CONFIG": str(root.parent),
        "LC_ALL": "C.UTF-8",
    }
    host = f"unix://{server.listener.getsockname()}"
    words = ("docker", "-H", host, "build", "-f", root / dockerfile, root)
    done = subprocess.run(words, env=environment, capture_output=True, timeout=60)
    bodies = [one.body for one in server.requests if one.path.endswith("/build")]
    assert bool(bodies) == (b"pattern" not in done.stderr), done.stderr
    return names_in(bodies[0]) if bodies else None


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker: apt-get install docker-cli")
@pytest.mark.parametrize("rules", RULES)
def test_nn_sends_the_files_that_docker_sends(server: TinyServer, tmp_path: Path, rules: str):
    root = make_tree(tmp_path / "context", rules)
    for dockerfile in ("Dockerfile", "sub/Dockerfile"):
        assert sent_by_nn(root, dockerfile) == sent_by_docker(server, root, dockerfile)
