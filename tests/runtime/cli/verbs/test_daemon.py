"""`nn` at a real daemon: the whole way of a command, with terminals, signals, big streams and files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.cli.nn_process import LINE, call, environment
from tests.runtime.daemon_process import Daemon, running_daemon
from tests.runtime.terminals import Terminal
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="containers need root")]

IMAGE = "busybox"
QUIET = ("run", "--rm", "--network", "none")


class Nn:
    """The client at one daemon."""

    def __init__(self, host: str, config: Path) -> None:
        self.host, self.config = host, config

    def run(self, *words: object, stdin: bytes | None = b"") -> subprocess.CompletedProcess[bytes]:
        return call(*words, config=self.config, host=self.host, stdin=stdin)

    def __call__(self, *words: object, status: int = 0, stdin: bytes | None = b"") -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == status, (words, done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return done.stdout.decode()

    def start(self, *words: object, **options: object) -> subprocess.Popen[bytes]:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = environment(self.config, self.host)
        return subprocess.Popen([*LINE, *map(str, words)], env=env, **(pipes | options))  # type: ignore[call-overload]

    def terminal(self, *words: str) -> Terminal:
        return Terminal([*LINE, *words], environment(self.config, self.host))


@pytest.fixture
def nn(daemon: Daemon, tmp_path: Path) -> Iterator[Nn]:
    made = Nn(daemon.host, tmp_path)
    yield made
    daemon.remove_containers()


# ---- run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("true",), 0),
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -9 $$; sleep 9"), 137),
        (("/nope",), 127),
        (("nope",), 127),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
    ],
)
def test_exit_statuses_are_docker_s(nn: Nn, words: tuple[str, ...], status: int):
    flags = ("--init",) if "kill" in words[-1] else ()
    assert nn.run(*QUIET, *flags, IMAGE, *words).returncode == status
    assert nn("ps", "-aq") == ""


def test_an_image_that_is_nowhere_is_125(nn: Nn):
    done = nn.run(*QUIET, "--pull", "never", "nowhere", "true")
    assert (done.returncode, done.stderr.startswith(b"nn: No such image: nowhere")) == (125, True)


def test_streams_stay_apart_and_input_ends(nn: Nn):
    done = nn.run(*QUIET, "-i", IMAGE, "sh", "-c", "cat; echo err >&2", stdin=b"in")
    assert (done.stdout, done.stderr) == (b"in", b"err\n")


def test_flags_reach_the_program(nn: Nn, tmp_path: Path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/f").write_text("from here")
    flags = ("-e", "A=1", "-u", "1000:1000", "-w", "/tmp", "-h", "box", "-v", f"{tmp_path}/data:/data:ro")
    script = "echo $A; id -u; pwd; hostname; cat /data/f; touch /data/x 2>/dev/null || echo read-only"
    out = nn(*QUIET, *flags, "--tmpfs", "/t", IMAGE, "sh", "-c", script)
    assert out.split("\n") == ["1", "1000", "/tmp", "box", "from hereread-only", ""]


@pytest.mark.parametrize("flags", [(), ("-i",)])
def test_signals_reach_the_program(nn: Nn, flags: tuple[str, ...]):
    script = "trap 'echo got; exit 42' USR1; echo ready; while :; do sleep 0.1; done"
    with nn.start(*QUIET, *flags, IMAGE, "sh", "-c", script) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"got\n"
        assert process.wait() == 42


def test_a_terminal_works(nn: Nn):
    terminal = nn.terminal(*QUIET, "-it", IMAGE, "sh")
    terminal.until(b"# ")
    # The sleeper itself says so: control-c before it is there would go to the shell alone.
    os.write(terminal.fd, b"stty size; tty; sh -c 'echo slee\"\"ping; exec sleep 60'\r")
    terminal.until(b"sleeping\r\n")
    os.write(terminal.fd, b"\x03")
    terminal.until_prompt(b"^C")
    os.write(terminal.fd, b"exit 9\r")
    assert terminal.end() == 9
    assert b"/dev/pts/0" in terminal.seen


def test_a_terminal_is_left_by_keys_and_attached_again(nn: Nn):
    terminal = nn.terminal("run", "-it", "--name", "box", "--network", "none", IMAGE, "sh")
    terminal.until(b"# ")
    os.write(terminal.fd, b"\x10\x11")
    assert terminal.end() == 0
    assert nn("ps", "-q") != ""
    again = nn.terminal("attach", "box")
    os.write(again.fd, b"echo it''self\r")
    again.until(b"itself\r\n")
    os.write(again.fd, b"exit 3\r")
    assert again.end() == 3


# ---- a container's life ----------------------------------------------------------------------------------


def test_a_life_verb_by_verb(nn: Nn):
    made = nn(
        "create", "--name", "box", "--network", "none", IMAGE, "sh", "-c", "echo on; exec sleep 600"
    ).strip()
    assert nn("start", "box") == "box\n"
    assert nn("ps", "--format", "{{.Names}} {{.State}}") == "box running\n"
    assert nn("inspect", "-f", "{{.State.Status}} {{.Id}}", "box") == f"running {made}\n"
    assert nn("pause", "box") == "box\n"
    assert "(Paused)" in nn("ps", "--filter", "name=box")
    nn("unpause", "box")
    assert "sleep 600" in nn("top", "box")
    nn("rename", "box", "crate")
    nn("update", "--memory", "64m", "crate")
    assert nn("inspect", "-f", "{{.HostConfig.Memory}}", "crate") == f"{64 << 20}\n"
    assert "crate" in nn("stats", "--no-stream")
    nn("restart", "-t", "0", "crate")
    eventually(lambda: nn("logs", "crate"), "on\non\n")
    nn("kill", "crate")
    assert nn("wait", "crate") == "137\n"
    assert nn("logs", "crate") == "on\non\n"
    assert nn("rm", "crate") == "crate\n"
    missing = nn.run("rm", "crate")
    assert (missing.returncode, b"No such container: crate" in missing.stderr) == (1, True)


def test_start_attached_ends_with_its_status(nn: Nn):
    nn("create", "-i", "--name", "box", "--network", "none", IMAGE, "sh", "-c", "cat; exit 5")
    assert nn("start", "-ai", "box", stdin=b"hello", status=5) == "hello"


def test_detached_and_followed(nn: Nn):
    script = "echo one; while [ ! -e /go ]; do sleep 0.1; done; echo two >&2"
    nn("run", "-d", "--name", "box", "--network", "none", IMAGE, "sh", "-c", script)
    with nn.start("logs", "-f", "box") as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == b"one\n"
        nn("exec", "box", "touch", "/go")
        assert process.stderr.readline() == b"two\n"
        assert process.wait() == 0
    assert nn("logs", "--tail", "0", "box") == ""


def test_exec(nn: Nn):
    nn("run", "-d", "--name", "box", "--network", "none", IMAGE, "sleep", "600")
    assert nn(
        "exec", "-i", "-e", "A=1", "-w", "/tmp", "box", "sh", "-c", "cat; echo $A; pwd", stdin=b"in "
    ) == ("in 1\n/tmp\n")
    assert nn.run("exec", "box", "sh", "-c", "exit 6").returncode == 6
    assert nn.run("exec", "box", "nope").returncode == 127
    terminal = nn.terminal("exec", "-it", "box", "sh", "-c", "tty; stty size; read line; exit 4")
    terminal.until(b"/dev/pts/")
    os.write(terminal.fd, b"\r")
    assert terminal.end() == 4
    nn("exec", "-d", "box", "touch", "/made")
    while nn.run("exec", "box", "test", "-e", "/made").returncode:
        time.sleep(0.05)


def test_copying_both_ways_and_what_changed(nn: Nn, tmp_path: Path):
    nn("create", "--name", "box", "--network", "none", IMAGE, "true")
    (tmp_path / "site/sub").mkdir(parents=True)
    (tmp_path / "site/sub/file").write_text("content")
    nn("cp", tmp_path / "site", "box:/srv")
    nn("cp", f"{tmp_path}/site/sub/.", "box:/root")
    assert {"A /srv", "A /srv/sub/file", "A /root/file"} <= set(nn("diff", "box").splitlines())
    nn("cp", "box:/srv", tmp_path / "back")
    assert (tmp_path / "back/sub/file").read_text() == "content"
    nn("cp", "box:/root/file", tmp_path / "one")
    assert (tmp_path / "one").read_text() == "content"
    data = nn.run("cp", "box:/srv", "-").stdout
    nn("cp", "-", "box:/root", stdin=data)
    nn("cp", "box:/root/srv/sub/file", tmp_path / "two")
    assert (tmp_path / "two").read_text() == "content"
    lost = nn.run("cp", "box:/nowhere", tmp_path / "x")
    assert (lost.returncode, b"nowhere" in lost.stderr) == (1, True)


# ---- images, networks, volumes, the daemon ---------------------------------------------------------------


def test_commit_save_load_and_names(nn: Nn, tmp_path: Path):
    nn("run", "--name", "box", "--network", "none", IMAGE, "sh", "-c", "echo made > /made")
    image = nn("commit", "-m", "a file", "-c", 'CMD ["cat", "/made"]', "box", "mine:1").strip()
    assert nn(*QUIET, "mine:1") == "made\n"
    assert "a file" in nn("history", "mine:1")
    nn("tag", "mine:1", "mine:2")
    assert nn("images", "--format", "{{.Repository}}:{{.Tag}}", "mine").split() == ["mine:1", "mine:2"]
    nn("save", "-o", tmp_path / "mine.tar", "mine:1")
    assert "Untagged: mine:2" in nn("rmi", "mine:2")
    nn("rm", "box")
    nn("rmi", "mine:1")
    assert "Loaded image: mine:1" in nn("load", "-i", tmp_path / "mine.tar")
    assert nn("image", "inspect", "-f", "{{.Id}}", "mine:1").strip() == image
    nn("rmi", "mine:1")


def test_import_export_and_build(nn: Nn, tmp_path: Path):
    nn("create", "--name", "box", IMAGE, "true")
    nn("export", "-o", tmp_path / "box.tar", "box")
    assert nn("import", "-c", "CMD echo imported", tmp_path / "box.tar", "imported:1").startswith("sha256:")
    assert nn(*QUIET, "imported:1") == "imported\n"
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(
        "FROM imported:1\nARG V\nCOPY file /\nRUN echo $V >> /file\nCMD cat /file\n"
    )
    (context / "file").write_text("copied\n")
    assert "Successfully tagged built:1" in nn("build", "-t", "built:1", "--build-arg", "V=7", context)
    assert nn(*QUIET, "built:1") == "copied\n7\n"
    broken = nn.run("build", "--force-rm", "-", stdin=b"FROM imported:1\nRUN exit 3\n")
    assert (broken.returncode, b"non-zero code: 3" in broken.stderr) == (3, True), broken.stderr
    nn("rm", "box")
    nn("rmi", "built:1", "imported:1")


def test_networks_and_volumes(nn: Nn):
    nn("network", "create", "--label", "t=1", "inner")
    assert nn("network", "ls", "--filter", "label=t=1", "--format", "{{.Name}}") == "inner\n"
    nn("volume", "create", "--label", "t=1", "data")
    assert nn("volume", "ls", "-q", "--filter", "label=t=1") == "data\n"
    nn("run", "--rm", "-v", "data:/d", "--network", "none", IMAGE, "sh", "-c", "echo kept > /d/f")
    assert nn(*QUIET, "-v", "data:/d", IMAGE, "cat", "/d/f") == "kept\n"
    nn("run", "-d", "--name", "box", "--network", "inner", IMAGE, "sleep", "600")
    assert nn("network", "inspect", "-f", "{{len .Containers}}", "inner") == "1\n"
    nn("network", "disconnect", "inner", "box")
    nn("network", "connect", "--alias", "db", "inner", "box")
    nn("rm", "-f", "box")
    assert nn("network", "rm", "inner") == "inner\n"
    assert nn("volume", "rm", "data") == "data\n"


def test_the_daemon_describes_itself(nn: Nn, daemon: Daemon):
    assert nn("version", "-f", "{{.Server.ApiVersion}}").startswith("1.")
    assert nn("info", "-f", "{{.DockerRootDir}}") == f"{daemon.root}\n"
    assert nn("system", "df", "--format", "{{.Type}}").splitlines()[0] == "Images"
    assert json.loads(nn("images", "--json"))[0]["RepoTags"] == ["busybox:latest"]
    started = f"{time.time():.6f}"
    watched = ("--since", started, "--filter", "container=seen", "--format", "{{.Action}}")
    with nn.start("events", *watched) as process:
        assert process.stdout is not None
        nn(*QUIET, "--name", "seen", IMAGE, "true")
        seen: list[bytes] = []
        while b"destroy" not in seen:
            seen.append(process.stdout.readline().strip())
        process.terminate()
    assert [one for one in seen if one in (b"create", b"start", b"die", b"destroy")] == [
        b"create",
        b"start",
        b"die",
        b"destroy",
    ]
    assert nn("events", *watched, "--until", "0s").split() == [one.decode() for one in seen]


def test_pruning(nn: Nn):
    nn("run", "--name", "old", "--network", "none", IMAGE, "true")
    kept = nn.run("container", "prune", stdin=b"n\n")
    assert b"Are you sure" in kept.stdout
    assert nn("ps", "-aq") != ""
    assert "Deleted Containers:" in nn("system", "prune", "-f")
    assert nn("ps", "-aq") == ""


@pytest.mark.slow
def test_several_daemons_and_a_registry_between_them(nn: Nn, tmp_path: Path):
    line = [*LINE, "serve", "registry", "--root", str(tmp_path / "registry"), "--listen", "127.0.0.1:0"]
    with (
        subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as registry,
        running_daemon() as far,
    ):
        assert registry.stdout is not None
        address = registry.stdout.readline().decode().split()[-1].removeprefix("http://")
        name = f"{address}/shared:1"
        nn("tag", IMAGE, name)
        nn("push", name)
        nn("context", "create", "far", "--docker", f"host={far.host}")
        done = call("-c", "far", "run", "--rm", "--network", "none", name, "echo", "pulled", config=nn.config)
        assert (done.stdout, done.returncode) == (b"pulled\n", 0), done.stderr
        assert f"{address}/shared" in call("-c", "far", "images", config=nn.config).stdout.decode()
        nn("rmi", name)
        registry.terminate()
