"""What `nn run FLAGS` asks for is what `docker run FLAGS` asks for, in the daemon's own reading."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.cli.connection import jsontext
from runtime.cli.errors import CliError
from runtime.cli.flags import run_flags
from runtime.cli.flags.parser import parse_flags
from runtime.cli.flags.run_flags import CREATE
from runtime.engine.service.model.request import CreateRequest
from tests.runtime.tiny_server import Request, on_unix

needs_docker = pytest.mark.skipif(shutil.which("docker") is None, reason="the docker CLI is not installed")


def ours(*words: str) -> CreateRequest:
    options = parse_flags("create", CREATE, words, program=True)
    return msgspec.json.decode(jsontext.dumps(run_flags.body(options)), type=CreateRequest)


SIMPLE = [
    ("--name", "box"),
    ("-h", "box"),
    ("--domainname", "dom"),
    ("-u", "1:2"),
    ("-w", "/srv"),
    ("-e", "A=1", "-e", "B=", "-e", "NOBODYS"),
    ("-l", "a=b", "--label", "c"),
    ("--entrypoint", "/bin/x"),
    ("--entrypoint", ""),
    ("--stop-signal", "INT", "--stop-timeout", "7"),
    ("-m", "64m", "--memory-swap", "-1", "--memory-reservation", "32m"),
    ("--memory-swappiness", "10", "--oom-score-adj", "-5", "--oom-kill-disable"),
    ("--cpus", "1.5", "--cpuset-cpus", "0-1", "--cpuset-mems", "0"),
    ("-c", "512", "--cpu-period", "50000", "--cpu-quota", "25000"),
    ("--pids-limit", "20"),
    ("--blkio-weight", "300"),
    ("--ulimit", "nofile=10:20", "--ulimit", "core=0"),
    ("--cap-add", "NET_ADMIN", "--cap-drop", "ALL"),
    ("--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined"),
    ("--security-opt", "systempaths=unconfined"),
    ("--privileged", "--read-only", "--init", "--rm"),
    ("--restart", "on-failure:3"),
    ("--restart", "always"),
    ("-v", "/a:/b:ro", "-v", "data:/c", "-v", "/anonymous"),
    ("-v", "/a:/b", "-v", "/a:/b"),
    ("--mount", "type=bind,src=/a,dst=/b,readonly,bind-propagation=rslave"),
    ("--mount", "type=volume,src=v,dst=/b,volume-nocopy,volume-label=a=b,volume-driver=local,volume-opt=o=x"),
    ("--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777"),
    ("--tmpfs", "/t:size=1m", "--tmpfs", "/u"),
    ("--volumes-from", "other:ro"),
    ("-p", "8080:80", "-p", "127.0.0.1:53:53/udp", "-p", "9000-9002:90-92", "-p", "7"),
    ("--expose", "80", "--expose", "100-102/udp", "-P"),
    ("--network", "none"),
    ("--network", "inner", "--network-alias", "db", "--ip", "10.1.2.3"),
    ("--network", "name=one,alias=x,ip=10.0.0.9", "--network", "two"),
    ("--dns", "1.1.1.1", "--dns-search", "x", "--dns-opt", "ndots:1", "--add-host", "a:10.0.0.1"),
    (
        "--add-host",
        "a=10.0.0.1",
        "--add-host",
        "b=[::1]",
        "--add-host",
        "c:::1",
        "--add-host",
        "d:host-gateway",
    ),
    ("--ipc", "host", "--pid", "host", "--uts", "host", "--userns", "host", "--cgroupns", "host"),
    ("--cgroup-parent", "/x", "--group-add", "9", "--shm-size", "32m", "--sysctl", "net.x=1"),
    ("--log-driver", "json-file", "--log-opt", "max-size=1m"),
    ("--health-cmd", "true", "--health-interval", "1m30s", "--health-retries", "2", "--health-timeout", "5s"),
    ("--health-start-period", "3s", "--health-cmd", "x"),
    ("--no-healthcheck",),
    ("-i",),
    ("-a", "stdout"),
    ("-a", "stdin", "-i"),
    ("--device", "/dev/null:/dev/x:r", "--device", "/dev/zero", "--device-cgroup-rule", "c 1:3 rwm"),
    ("--annotation", "a=b", "--storage-opt", "size=1G", "--runtime", "runc"),
    ("--gpus", "all"),
    ("--link", "other:o"),
    ("--mac-address", "02:42:ac:11:00:09"),
    ("--mac-address", "0242.AC11.0009"),
]


def test_parts_of_a_body_are_where_the_daemon_looks_for_them():
    made = ours(
        "-it", "--rm", "-m", "1g", "-p", "8080:80", "-e", "A=1", "--network", "none", "img", "sh", "-c", "x"
    )
    assert (made.image, made.cmd, made.tty, made.open_stdin, made.stdin_once) == (
        "img",
        ["sh", "-c", "x"],
        True,
        True,
        True,
    )
    assert made.host_config is not None
    assert (made.host_config.memory, made.host_config.auto_remove) == (1 << 30, True)
    assert made.host_config.port_bindings is not None
    assert made.host_config.port_bindings["80/tcp"] == [msgspec.convert({"HostPort": "8080"}, _binding())]
    assert (made.env, made.host_config.network_mode) == (["A=1"], "none")


def _binding() -> type:
    from runtime.engine.service.model.request import PortBinding

    return PortBinding


def test_variables_without_a_value_are_ours_or_none_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("posix.environ", {b"OURS": b"1"})
    (tmp_path / "env").write_text("# no\n\nC=3\nOURS\nNOBODYS\n")
    made = ours("--env-file", str(tmp_path / "env"), "-e", "OURS", "-e", "NOBODYS", "-e", "D=", "img")
    assert made.env == ["C=3", "OURS=1", "OURS=1", "NOBODYS", "D="]


def test_rates_of_devices():
    """docker 26.1 forgets these flags on its way, so it is not asked."""
    made = ours(
        "--device-read-bps", "/dev/null:1mb", "--device-write-iops", "/dev/null:20", "img"
    ).host_config
    assert made is not None and made.blkio_device_read_bps is not None
    assert [(one.path, one.rate) for one in made.blkio_device_read_bps] == [("/dev/null", 1 << 20)]
    assert made.blkio_device_write_iops is not None and made.blkio_device_write_iops[0].rate == 20


def test_a_seccomp_file_is_sent_whole(tmp_path: Path):
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "x": [1, 2.5, None, True, "é"]}
    (tmp_path / "p.json").write_text(json.dumps(profile))
    made = ours("--security-opt", f"seccomp={tmp_path / 'p.json'}", "img")
    assert made.host_config is not None and made.host_config.security_opt is not None
    assert json.loads(made.host_config.security_opt[0].removeprefix("seccomp=")) == profile


@pytest.mark.parametrize(
    "words",
    [
        ("--rm", "--restart", "always"),
        ("-e", "=x"),
        ("-e", ""),
        ("--expose", "80000"),
        ("--device", "/dev/zero:ro"),
        ("--device", "/dev/zero:/dev/x:ro"),
        ("--device", "/dev/zero:/dev/x:rr"),
        ("--mac-address", "92:d0:c6:0a:29"),
        ("--mac-address", "92-d0:c6:0a:29:00"),
        ("--network", "name=a,mac-address=no"),
        ("--memory-swappiness", "101"),
        ("--memory-swappiness", "-2"),
        ("-p", "a:b"),
        ("-p", "1:2:3:4"),
        ("-p", "80-82:90-91"),
        ("-p", "0:80"),
        ("-p", "80:70000"),
        ("-v", "x"),
        ("-v", "a:b"),
        ("--mount", "type=nope,dst=/x"),
        ("--mount", "type=bind,src=/x"),
        ("--mount", "type=tmpfs,dst=/x,volume-nocopy"),
        ("--tmpfs", "x"),
        ("-m", "much"),
        ("--cpus", "-1"),
        ("--ulimit", "nofile"),
        ("--restart", "sometimes"),
        ("--health-cmd", "x", "--no-healthcheck"),
        ("--health-interval", "soon"),
        ("--security-opt", "nonsense"),
        ("--security-opt", "seccomp=/no/such/file"),
        ("--network", "name=,ip=1"),
        ("--network", "alias=x"),
        ("--device-read-bps", "x"),
        ("--gpus", "some"),
        ("--env-file", "/no/such/file"),
        ("-a", "stdnone"),
        ("--sysctl", "x"),
        ("--link-local-ip", "1.2.3.4", "--network", "name=a,ip=1.2.3.4"),
        ("--add-host", "a"),
        ("--add-host", "a=1.2.3"),
        ("--add-host", "a:b=1.2.3.4"),
    ],
)
def test_what_fits_no_form_is_refused_with_a_hint(words: tuple[str, ...]):
    with pytest.raises(CliError) as caught:
        ours(*words, "img")
    assert caught.value.status == 125
    assert "Traceback" not in str(caught.value)


def test_a_blank_in_the_name_of_a_file_s_variable_is_refused(tmp_path: Path):
    (tmp_path / "env").write_text("A=with a blank\nbad key=1\n")
    with pytest.raises(CliError, match="bad key=1"):
        ours("--env-file", str(tmp_path / "env"), "img")


# ---- against docker's own client ---------------------------------------------------------------------------


class Recorder:
    """A daemon that notes what `docker create` asks for, and refuses it."""

    def __init__(self, path: Path) -> None:
        self.bodies: list[bytes] = []
        self.server = on_unix(path, self.answer)
        self.host = f"unix://{path}"

    def answer(self, request: Request) -> None:
        if request.path == "/_ping":
            request.sock.sendall(
                b"HTTP/1.1 200 OK\r\nApi-Version: 1.45\r\nOstype: linux\r\nContent-Length: 0\r\n\r\n"
            )
        elif request.path.endswith("/containers/create"):
            self.bodies.append(request.body)
            request.reply('{"message":"noted"}', 500)
        else:
            request.reply('{"message":"no"}', 500)


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Recorder(tmp_path_factory.mktemp("docker") / "d.sock")
    yield made
    made.server.close()


def dockers(recorder: Recorder, *words: str) -> CreateRequest:
    before = len(recorder.bodies)
    line = ["docker", "-H", recorder.host, "create", *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert len(recorder.bodies) == before + 1, done.stderr
    return msgspec.json.decode(recorder.bodies[-1], type=CreateRequest)


def meaning(request: CreateRequest) -> dict[str, Any]:
    """What a request says, without the many ways to say nothing."""

    def bare(value: Any) -> Any:
        if isinstance(value, list):
            return [bare(one) for one in value]
        if not isinstance(value, dict):
            return value
        found = {key: bare(one) for key, one in value.items()}
        named = {key for key in found if key[:1].isupper()}  # fields; other keys are ports, paths, networks
        return {key: one for key, one in found.items() if key not in named or one not in NOTHING}

    document = msgspec.to_builtins(request)
    document["Env"] = sorted(document["Env"] or [])  # docker shuffles them
    host = document["HostConfig"]
    host["Binds"] = sorted(host["Binds"] or [])  # and these
    host["ConsoleSize"] = None
    mode = host["NetworkMode"] = "" if host["NetworkMode"] == "default" else host["NetworkMode"]
    host["MemorySwappiness"] = None if host["MemorySwappiness"] == -1 else host["MemorySwappiness"]
    policy = host["RestartPolicy"]
    policy["Name"] = "" if policy["Name"] == "no" else policy["Name"]
    found: dict[str, Any] = bare(document)
    networks = found.get("NetworkingConfig", {}).get("EndpointsConfig", {})
    if networks.get(mode or "default") == {}:  # no more than the mode says
        networks.pop(mode or "default")
    return found if networks else {key: one for key, one in found.items() if key != "NetworkingConfig"}


NOTHING = (None, "", [], {}, False, 0)


@needs_docker
@pytest.mark.peers
@pytest.mark.parametrize("words", SIMPLE, ids=" ".join)
def test_flag_by_flag_it_is_what_docker_sends(recorder: Recorder, words: tuple[str, ...]):
    assert meaning(ours(*words, "img", "true")) == meaning(dockers(recorder, *words, "img", "true"))


EXCLUSIVE = (
    "--restart",
    "--rm",
    "--no-healthcheck",
    "--health",
    "--network",
    "--mac-address",
    "--link",
    "-a",
    "-i",
)


@needs_docker
@pytest.mark.peers
@given(
    st.lists(
        st.sampled_from([one for one in SIMPLE if not set(one) & set(EXCLUSIVE)]), max_size=8, unique=True
    )
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_mixture_is_what_docker_sends(recorder: Recorder, chosen: list[tuple[str, ...]]):
    words = [word for one in chosen for word in one]
    assert meaning(ours(*words, "img", "true")) == meaning(dockers(recorder, *words, "img", "true"))


VALUES: dict[str, tuple[str, ...]] = {
    "-m": (
        "0",
        "64",
        "64b",
        "64B",
        "1.5g",
        "64MiB",
        "64 mb",
        "64  mb",
        "",
        "x",
        "1q",
        "-5",
        "1.2.3",
        "2P",
        "64kib ",
    ),
    "--memory-swap": ("-1", "-2", "64m", "x"),
    "--shm-size": ("0", "1k", "-1", "1kb", "k"),
    "--ulimit": (
        "nofile=1",
        "nofile=1:2",
        "nofile=2:1",
        "nofile=-1:5",
        "nofile=",
        "nofile=1:",
        "NOFILE=1",
        "x=1",
        "nofile=1k",
        "core",
    ),
    "--restart": (
        "",
        "no",
        "always",
        "on-failure",
        "on-failure:3",
        "on-failure:x",
        "on-failure:",
        ":3",
        "unless-stopped",
    ),
    "--add-host": (
        "a:1.2.3.4",
        "a=1.2.3.4",
        "a:::1",
        "a=[::1]",
        "a:[::1]",
        "a",
        "a:",
        ":1.2.3.4",
        "a:b",
        "a:1.2.3",
        "a=host-gateway",
    ),
    "-p": (
        "80",
        "80/udp",
        "80:90",
        "1.2.3.4:80:90",
        "80-81:90-91",
        "80-85:90",
        "80-81:90",
        "90-80",
        "70000",
        "80/x",
        ":80",
        "80:",
        "[::1]::80",
        "x",
    ),
    "--expose": ("80", "80-82", "80/udp", "82-80", "x", ""),
    "--health-interval": (
        "1s",
        "1m30s",
        "500ms",
        "1.5h",
        "0",
        "0s",
        "10",
        "-1s",
        "1us",
        "x",
        "",
        "1h 5s",
        ".5s",
        "1µs",
    ),
    "--rm": ("=true", "=1", "=t", "=TRUE", "=false", "=0", "=F", "=yes", "=no", "=on", "=tRUE", "="),
    "-l": ("a", "a=b", "a=", "a=b=c", "=b", "", " a=b", "a b=c", "a = b", "\ta=b", '"a"=b'),
    "-e": ("A=1", "A=", "A=b c", "=1", "A B=1", " A=1", ""),
    "--sysctl": ("net.x=1", "kernel.msgmax=1", "net.x=", "net.x", "=1", "kernel.sem=1 2", ""),
    "--log-opt": ("max-size=1m", "a=", "labels=a,b", "a=b=c"),
    "--tmpfs": ("/t", "/t:size=1m", "/t:", "/t:a:b"),
    "--annotation": ("a=b", "a="),
    "--cpus": ("1", "1.5", ".5", "0", "x", "1e1", ""),
    "--device": (
        "/dev/null",
        "/dev/null:r",
        "/dev/null:/dev/x",
        "/dev/null:/dev/x:rw",
        "/dev/null:q",
        ":/dev/x",
    ),
    "--mount": (
        *(
            f"type=bind,src=/a,dst=/b,{one}"
            for one in ("ro", "ro=1", "ro=false", "ro=yes", "ro=", "readonly=T")
        ),
        *(
            f"type=bind,src=/a,dst=/b,bind-propagation={one}"
            for one in ("rslave", "shared", "unbindable", "")
        ),
        *(f"type=tmpfs,dst=/b,tmpfs-size={one}" for one in ("1m", "0", "x", "1.5g", "-1")),
    ),
}


@needs_docker
@pytest.mark.peers
@pytest.mark.parametrize("flag", VALUES)
def test_a_value_means_the_same_to_docker_or_is_refused_by_both(recorder: Recorder, flag: str):
    found = {}
    for value in VALUES[flag]:
        words = [flag + value] if value.startswith("=") else [flag, value]
        said: list[Any] = []
        for asked in (ours, functools.partial(dockers, recorder)):
            try:
                said.append(meaning(asked(*words, "img")))
            except (CliError, AssertionError):
                said.append("refused")
        if said[0] != said[1]:
            found[value] = said
    assert not found
