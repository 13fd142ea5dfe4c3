"""All verbs: each loads, has help with an example, is documented, and imports nothing heavy too early."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli.errors import CliError
from runtime.cli.start import help_pages, index
from tests.paths import REPOSITORY
from tests.runtime.cli.nn_process import START, call

DOCS = (REPOSITORY / "docs/cli.md").read_text()
HEAVY = {
    *("argparse", "typing", "asyncio", "json", "re", "subprocess", "http", "socket", "ssl", "contextlib"),
    *(
        "functools",
        "collections",
        "enum",
        "os",
        "pathlib",
        "threading",
        "selectors",
        "inspect",
        "dataclasses",
    ),
    *("email", "urllib", "msgspec", "rich", "typer", "site", "_json", "select"),
}


@pytest.mark.parametrize("name", index.VERBS)
def test_every_verb_has_help_with_an_example_and_is_documented(name: str):
    verb = index.load(name)
    page = help_pages.page(name.split())
    assert f"usage: nn {name}" in page
    assert re.search(r"example: .*\S", page)
    assert callable(verb.act)
    assert f"nn {name}" in DOCS, f"docs/cli.md has no entry for nn {name}"


@pytest.mark.parametrize("alias", index.SHORT)
def test_every_alias_leads_to_a_verb(alias: str):
    assert index.load(alias).act is index.load(index.SHORT[alias]).act


def test_examples_are_read_by_the_parser():
    from runtime.cli.flags.parser import HelpAskedError, parse

    for name in index.VERBS:
        for line in re.findall(r"^.*\bnn (.*)$", index.load(name).example, re.M):
            words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line.partition("&&")[0])]
            words = words[: min([len(words), *(words.index(one) for one in ("<", ">", ";") if one in words)])]
            found, rest = index.split(words)
            with contextlib.suppress(HelpAskedError):
                parse(found, index.load(found), rest)


ELSEWHERE = {
    "container create": {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"},
    "container run": {"cpu-count", "cpu-percent", "io-maxbandwidth", "io-maxiops"},
    "container start": {"checkpoint", "checkpoint-dir"},
    "network create": {"config-from", "config-only", "ingress", "scope"},
    "volume create": {
        *("availability", "group", "limit-bytes", "required-bytes", "scope", "secret", "sharing"),
        *("topology-preferred", "topology-required", "type"),
    },
    "volume ls": {"cluster"},
}
"""Docker's flags for Windows, swarm and checkpoints, which nn has none of."""


@pytest.mark.peers
@pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker: apt-get install docker-cli")
@pytest.mark.parametrize("name", sorted(set(index.VERBS) - {"serve registry"}))
def test_docker_s_flags_are_known_by_name_and_letter(name: str):
    environment = {"PATH": "/usr/bin:/bin", "DOCKER_BUILDKIT": "0"}
    line = ["docker", *name.split(), "--help"]
    page = subprocess.run(line, capture_output=True, text=True, env=environment)
    found = re.findall(r"^ +(?:-(\w), )?--([a-z0-9-]+)", page.stdout, re.M)
    ours = {long: flag[1] for flag in index.load(name).flags for long in flag[0].split("|")}
    for letter, long in found:
        if long not in ("help", *ELSEWHERE.get(name, ())):
            assert long in ours, f"nn {name} has no --{long}"
            assert ours[long] == letter or not letter, f"nn {name} has no -{letter} for --{long}"


@pytest.mark.parametrize("group", index.GROUPS)
def test_every_group_lists_its_verbs(group: str):
    page = help_pages.page([group])
    assert f"usage: nn {group} VERB" in page


def test_the_front_page_names_every_verb_and_flag(tmp_path: Path):
    done = call("--help", config=tmp_path)
    text = done.stdout.decode()
    assert done.returncode == 0
    for name in (*index.VERBS, *index.SHORT):
        if " " not in name:
            assert re.search(rf"^  {name} ", text, re.M), name
    assert "--context NAME" in text and "examples:" in text


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("nope",), 1, b"'nope'"),
        (("image", "nope"), 1, b"'image nope'"),
        (("verify", "img"), 1, b"nn --local [--root DIR] verify"),
        (("--nope", "ps"), 125, b"unknown flag: --nope"),
        (("ps", "--nope"), 125, b"nn ps --help"),
        (("rm",), 1, b"nn rm --help"),
        (("run",), 1, b"nn run --help"),
        (("run", "--cpus", "many", "image"), 125, b"--cpus"),
    ],
)
def test_wrong_use_has_docker_s_status_and_names_the_help(
    tmp_path: Path, words: tuple[str, ...], status: int, said: bytes
):
    done = call(*words, config=tmp_path)
    assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert done.stderr.startswith(b"nn: ")


@pytest.mark.parametrize("flag", ["-v", "--version"])
def test_its_version_needs_no_daemon(tmp_path: Path, flag: str):
    done = call(flag, config=tmp_path, host="unix:///nowhere")
    assert re.fullmatch(rb"nn \S+\n", done.stdout), done.stdout
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "words", [("help",), ("image",), ("image", "--help"), ("help", "run"), ("ps", "--help"), ()]
)
def test_help_is_asked_in_many_ways(tmp_path: Path, words: tuple[str, ...]):
    done = call(*words, config=tmp_path)
    assert (done.returncode, done.stdout.startswith(b"usage: nn")) == (0, True)


def loaded_by(tmp_path: Path, *words: str) -> set[str]:
    """Modules that are loaded when a verb finds no daemon."""
    spy = "import sys, posix; posix._exit_ = posix._exit\n"
    spy += "posix._exit = lambda status: (print(*sorted(sys.modules), flush=True), posix._exit_(status))\n"
    program = spy + START.replace("import sys; ", "")
    line = [sys.executable, "-SEI", "-c", program, *words]
    done = subprocess.run(line, capture_output=True, text=True, env={"NN_HOST": f"unix://{tmp_path}/none"})
    assert "connect to the daemon" in done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_the_way_of_run_to_the_socket_imports_nothing_heavy(tmp_path: Path):
    loaded = loaded_by(tmp_path, "run", "--rm", "-it=false", "-e", "A=1", "img", "true")
    assert "runtime.cli.flags.run_flags" in loaded
    assert not loaded & HEAVY
    ours = {name for name in loaded if name.startswith("runtime.")}
    assert not {name for name in ours if not name.startswith("runtime.cli")}
    assert len(ours) <= 14, sorted(ours)


@pytest.mark.parametrize(
    "line",
    [
        *("exec web true", "exec -it=false web sh", "start web", "start -a web", "attach web", "stop web"),
        *("rm -f web", "ps -a", "images", "inspect web", "logs web", "network ls", "volume ls", "version"),
        *("info", "events", "top web", "port web", "diff web", "rename a b", "tag a b", "rmi a", "history a"),
        *("commit a", "wait a"),
    ],
)
def test_other_verbs_load_little_before_they_ask(tmp_path: Path, line: str):
    assert not loaded_by(tmp_path, *line.split()) & HEAVY


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_read_by_their_shells(tmp_path: Path, shell: str):
    script = call("completion", shell, config=tmp_path).stdout
    assert b"nn __complete" in script
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    assert subprocess.run([shell, "-n"], input=script, capture_output=True).stderr == b""


def complete(tmp_path: Path, *words: str, host: str = "") -> list[str]:
    return call("__complete", *words, config=tmp_path, host=host).stdout.decode().split()


def test_completion_knows_verbs_flags_and_what_the_daemon_has(tmp_path: Path):
    import json

    from tests.runtime.tiny_server import Request, on_unix

    def answer(request: Request) -> None:
        lists = {
            "/containers/json": [{"Names": ["/web"]}, {"Names": ["/db"]}],
            "/images/json": [{"RepoTags": ["debian:12"]}],
            "/networks": [{"Name": "inner"}],
        }
        request.reply(json.dumps(lists[request.path]))

    server = on_unix(tmp_path / "s", answer)
    host = f"unix://{tmp_path}/s"
    assert {"run", "rm", "rmi", "rename", "restart"} == set(complete(tmp_path, "r"))
    assert complete(tmp_path, "network", "cr") == ["create"]
    assert "--restart" in complete(tmp_path, "run", "--re")
    assert complete(tmp_path, "run", "--restart", "un") == ["unless-stopped"]
    assert complete(tmp_path, "rm", "-f", "", host=host) == ["db", "web"]
    assert complete(tmp_path, "-H", host, "run", "-it", "deb") == ["debian:12"]
    assert complete(tmp_path, "run", "--network", "in", host=host) == ["inner"]
    assert complete(tmp_path, "network", "connect", "", host=host) == ["db", "inner", "web"]
    assert complete(tmp_path, "logs", "", host="unix:///none") == []
    server.close()


ASKED = {
    "bash": 'COMP_WORDS=(nn network cr); COMP_CWORD=2; _nn; echo "${COMPREPLY[@]}"',
    "zsh": "words=(nn network cr); CURRENT=3; _nn",
    "fish": "complete -C 'nn network cr'",
}
BEFORE = {"zsh": 'compdef() { true }; compadd() { print -l "${(@P)@[-1]}" }\n'}
"""zsh's own functions work only where somebody types."""


@pytest.mark.parametrize("shell", ASKED)
def test_shells_complete(tmp_path: Path, shell: str):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    script = BEFORE.get(shell, "") + call("completion", shell, config=tmp_path).stdout.decode() + ASKED[shell]
    (tmp_path / "start.py").write_text(START)
    (tmp_path / "nn").write_text(f'#!/bin/sh\nexec {sys.executable} -SEI {tmp_path}/start.py "$@"\n')
    (tmp_path / "nn").chmod(0o755)
    done = subprocess.run(
        [shell, "-c", script],
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert done.stdout == "create\n", done.stderr


def test_an_unknown_verb_is_named():
    with pytest.raises(CliError, match="nn --help"):
        index.split(["frobnicate"])
