"""What nn reads of docker's config.json: formats of lists, filters of prune, and where that file lies."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from runtime.cli.errors import CliError
from runtime.cli.flags.parser import CommandLine
from runtime.cli.verbs import pruning, system
from tests.runtime.cli.nn_process import LINE, call, environment
from tests.runtime.terminals import Terminal
from tests.runtime.tiny_server import Request, TinyServer, on_unix

_CONTAINER = {"Id": "c" * 64, "Created": 1, "Names": ["/web"], "Image": "img", "Command": "sh"}
_IMAGE = {"Id": "sha256:" + "1" * 64, "Created": 1, "Size": 1, "RepoTags": ["img:latest"]}
_NETWORK = {"Id": "e" * 64, "Name": "net", "Driver": "bridge", "Scope": "local"}
_VOLUME = {"Name": "vol", "Driver": "local", "Mountpoint": "/v"}
_ANSWERS = {
    "/containers/json": [_CONTAINER],
    "/images/json": [_IMAGE],
    "/networks": [_NETWORK],
    "/volumes": {"Volumes": [_VOLUME]},
}


def answer(request: Request) -> None:
    found = next((given for path, given in _ANSWERS.items() if request.path.endswith(path)), {})
    request.reply(json.dumps(found))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TinyServer]:
    server = on_unix(tmp_path / "sock", answer)
    yield server
    server.close()


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[object], str]:
    """Write docker's config.json; returns its directory."""

    def write(document: object) -> str:
        place = tmp_path / "docker"
        place.mkdir(exist_ok=True)
        (place / "config.json").write_text(document if isinstance(document, str) else json.dumps(document))
        return str(place)

    return write


@pytest.mark.parametrize(
    ("verb", "name", "form", "shown"),
    [
        ("ps", "psFormat", "{{.Names}}", "web\n"),
        ("images", "imagesFormat", "{{.Repository}}", "img\n"),
        ("network ls", "networksFormat", "{{.Name}}", "net\n"),
        ("volume ls", "volumesFormat", "table {{.Name}}", "VOLUME NAME\nvol\n"),
    ],
)
def test_a_list_has_the_format_that_docker_s_has(
    tmp_path: Path,
    server: TinyServer,
    configured: Callable[[object], str],
    verb: str,
    name: str,
    form: str,
    shown: str,
):
    configured({name: form})
    host = f"unix://{tmp_path}/sock"

    def said(*flags: str) -> str:
        done = call(*verb.split(), *flags, config=tmp_path, host=host)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    assert said() == shown
    assert said("--format", "x") == "x\n"
    assert len(said("-q").splitlines()) == 1
    assert isinstance(json.loads(said("--json")), list)
    for broken in ("{", {name: 1}, []):
        configured(broken)
        assert len(said().splitlines()) == 2  # the usual table


def pruned_by(server: TinyServer) -> dict[str, list[str]]:
    request = server.requests[-1]
    found = parse_qs(urlsplit(request.target).query).get("filters", ["{}"])[0]
    return {name: sorted(values) for name, values in json.loads(found).items()}


@pytest.mark.parametrize("kind", ["container", "network", "volume", "builder"])
def test_prune_adds_the_filters_that_docker_s_has(
    tmp_path: Path, server: TinyServer, configured: Callable[[object], str], kind: str
):
    place = configured({"pruneFilters": ["label=keep", "label!=spare=1", "nothing"]})

    def pruned(*flags: str, **more: str) -> dict[str, list[str]]:
        host = f"unix://{tmp_path}/sock"
        assert (
            call(*flags[:-1], kind, "prune", "-f", flags[-1], config=tmp_path, host=host, **more).returncode
            == 0
        )
        return pruned_by(server)

    both = {"label": ["keep"], "label!": ["spare=1"]}
    assert pruned("--filter=until=1h") == both | {"until": ["1h"]}
    assert pruned("--filter=label!=keep") == {"label!": ["keep", "spare=1"]}
    assert pruned("--filter=label=spare=1") == {"label": ["keep", "spare=1"]}
    assert pruned("--filter=label=x", DOCKER_CONFIG=str(tmp_path / "other")) == {"label": ["x"]}
    assert pruned("--config", place, "--filter=until=1h", DOCKER_CONFIG="/none") == both | {"until": ["1h"]}


def test_a_question_names_the_filters(
    tmp_path: Path, server: TinyServer, configured: Callable[[object], str]
):
    configured({"pruneFilters": ["label!=spare"]})
    done = call("system", "prune", config=tmp_path, host=f"unix://{tmp_path}/sock", stdin=b"n\n")
    assert b"only what matches label!=spare." in done.stdout
    assert not server.requests


@pytest.mark.parametrize("broken", ['{"pruneFilters"', {"pruneFilters": "label=a"}, ["pruneFilters"]])
def test_filters_that_cannot_be_read_are_not_left_aside(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    configured: Callable[[object], str],
    broken: object,
):
    monkeypatch.setattr("posix.environ", {b"DOCKER_CONFIG": configured(broken).encode()})
    options = CommandLine()
    options.add("force", "true")
    with pytest.raises(CliError, match=f"{tmp_path}/docker/config.json: "):
        pruning.containers(None, options)  # type: ignore[arg-type]


def test_config_moves_what_login_keeps(tmp_path: Path, server: TinyServer):
    host = f"unix://{tmp_path}/sock"
    words = ("--config", tmp_path / "there", "login", "-u", "me", "-p", "pw", "registry:5000")
    done = call(*words, config=tmp_path, host=host)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "docker/config.json").exists()
    kept = json.loads((tmp_path / "there/config.json").read_text())
    assert list(kept["auths"]) == ["registry:5000"]
    call("--config", tmp_path / "there", "logout", "registry:5000", config=tmp_path, host=host)
    assert json.loads((tmp_path / "there/config.json").read_text())["auths"] == {}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("save img", b"cowardly refusing to save to a terminal"),
        ("export web", b"cowardly refusing to save to a terminal"),
        ("load", b"requested load from stdin, but stdin is empty"),
    ],
)
def test_a_tar_and_a_terminal_do_not_go_together(tmp_path: Path, server: TinyServer, line: str, said: bytes):
    terminal = Terminal([*LINE, *line.split()], environment(tmp_path, f"unix://{tmp_path}/sock"))
    terminal.until(said)
    assert terminal.end() == 1
    assert not server.requests


def test_info_says_what_docker_s_always_says():
    found = {
        "ContainerdCommit": {"ID": "abc"},
        "RuncCommit": {"ID": ""},
        "RegistryConfig": {
            "IndexConfigs": {
                "r:5000": {"Name": "r:5000", "Secure": False},
                "hub": {"Name": "hub", "Secure": True},
            },
            "InsecureRegistryCIDRs": ["127.0.0.0/8"],
        },
        "DefaultAddressPools": [{"Base": "10.0.0.0/8", "Size": 24}],
    }
    rows = system._info_rows(found)
    assert [value for name, value in rows if name.endswith(" version")] == ["abc", "none", "none"]
    assert ("Experimental", "false") in rows
    assert ("Debug Mode", "false") in rows
    at = rows.index(("Insecure Registries:", None))
    assert rows[at + 1 : at + 3] == [(" r:5000", None), (" 127.0.0.0/8", None)]
    assert rows[-1] == (" Base: 10.0.0.0/8, Size: 24", None)
