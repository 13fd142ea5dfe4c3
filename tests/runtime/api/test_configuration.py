"""The daemon's flags and file: how they are read, and their effect on containers."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.api.daemon.configuration import Configuration, configuration, settings_of
from runtime.api.daemon.flags import FLAGS, parser
from runtime.api.nnd import main, options_of
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import HostConfig, LogConfig, Ulimit
from runtime.engine.service.rules.settings import AddressPool, Settings
from tests.runtime.daemon_process import Daemon, running_daemon

IN_FILE = {
    "default-address-pools": [{"base": "10.237.0.0/16", "size": 24}],
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 64, "Hard": 128}},
    "log-opts": {"max-size": "1m", "max-file": "3"},
    "labels": ["place=here"],
    "dns-opts": ["ndots:3"],
    "icc": False,
}
ON_LINE = (
    "--bip=10.236.0.1/24", "--fixed-cidr=10.236.0.128/25", "--mtu=1400", "--ip=127.0.0.1", "--ipv6",
    "--fixed-cidr-v6=fd00:236::/64", "--dns=192.0.2.53", "--dns-search=lan.example",
    "--host-gateway-ip=192.0.2.9", "--default-ipc-mode=shareable", "--exec-opt=native.cgroupdriver=cgroupfs",
     "--default-cgroupns-mode=host", "--init",
    "--no-new-privileges", "--default-shm-size=32m", "--shutdown-timeout=2",
    "--default-network-opt=bridge=com.docker.network.container_iface_prefix=lan",
)  # fmt: skip


def told(*flags: str) -> Configuration:
    return configuration(parser().parse_args(flags))


def told_file(path: Path, document: Any, *flags: str) -> Configuration:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return told("--config-file", str(path), *flags)


def test_a_flag_says_the_same_as_its_key_in_the_file(tmp_path: Path):
    keys = {flag.key for flag in FLAGS}
    assert keys == {field.replace("_", "-") for field in Configuration.__struct_fields__} - {"plain"} | {
        "plain-tcp-gives-root-to-anyone"
    }
    line = told(
        "--default-address-pool=base=10.0.0.0/8,size=24", "--default-ulimit=nofile=5", "--log-opt=tag=x",
        "--label=a=b", "--label=c=d", "--init", "--icc=false", "--mtu", "1400", "--default-shm-size=1k",
        "--default-network-opt=bridge=a=b", "--default-network-opt=bridge=c=d=e",
        "--exec-opt=native.cgroupdriver=cgroupfs",
    )  # fmt: skip
    document = {
        "default-address-pools": [{"base": "10.0.0.0/8", "size": 24}],
        "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 5, "Hard": 5}},
        "log-opts": {"tag": "x"},
        "labels": ["a=b", "c=d"],
        "init": True,
        "icc": False,
        "mtu": 1400,
        "default-shm-size": 1024,
        "default-network-opts": {"bridge": {"a": "b", "c": "d=e"}},
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
    }
    assert line == told_file(tmp_path / "daemon.json", document)
    assert told_file(tmp_path / "empty", " \n") == told()
    assert told_file(tmp_path / "marked", '\ufeff{"debug": true}').debug


@pytest.mark.parametrize(
    ("document", "flags", "words"),
    [
        ({"colour": "red", "mtu": 9}, (), "don't match any configuration option: colour"),
        ({"mtu": 1400}, ("--mtu=1300",), r"specified both .* mtu: \(from flag: 1300, from file: 1400\)"),
        ({"mtu": "much"}, (), r"Expected `int`, got `str` - at `\$\.mtu`"),
        ("{", (), "daemon.json: Input data was truncated"),
        ({"log-level": "loud"}, (), "invalid logging level: loud"),
    ],
)
def test_a_file_that_cannot_be_is_refused(tmp_path: Path, document: Any, flags: tuple[str, ...], words: str):
    with pytest.raises(BadParameterError, match=words):
        told_file(tmp_path / "daemon.json", document, *flags)


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--config-file=/none/daemon.json", "/none/daemon.json: no such file or directory"),
        ("--init=perhaps", 'strconv.ParseBool: parsing "perhaps"'),
        ("--bip=10.0.0.1", "invalid CIDR address: 10.0.0.1"),
        ("--fixed-cidr-v6=10.0.0.0/8", "it is not an IPv6 subnet"),
        ("--ipv6", "no subnet is configured"),
        ("--mtu=-1", "invalid default MTU: -1"),
        ("--mtu=x", 'mtu: invalid number "x"'),
        ("--ip=here", "failed to parse IP: here"),
        ("--dns=here", "failed to parse IP: here"),
        ("--dns-search=a..b", "a..b is not a valid domain"),
        ("--host-gateway-ip=::%1", "failed to parse IP"),
        ("--label=x", "bad attribute format: x"),
        ("--label=com.docker.x=1", "are reserved for internal use"),
        ("--default-ipc-mode=host", 'use "shareable" or "private"'),
        ("--default-cgroupns-mode=x", 'use "host" or "private"'),
        (
            "--exec-opt=native.cgroupdriver=systemd",
            "DelegateSubgroup=main",
        ),
        ("--exec-opt=native.cgroupdriver=none", "invalid cgroup driver: none"),
        ("--exec-opt=native.umask=normal", "invalid exec option: native.umask=normal"),
        ("--default-address-pool=base", "invalid field 'base' must be a key=value pair"),
        ("--default-address-pool=room=1", "unexpected key 'room' in 'room=1'"),
        ("--default-address-pool=base=x,size=24", 'invalid base pool "x"'),
        ("--default-address-pool=base=10.0.0.0/8,size=7", "invalid pools size: 7"),
        ("--default-address-pool=base=10.0.0.0/8,size=31", "invalid pools size: 31"),
        ("--default-ulimit=nofile", "invalid ulimit argument: nofile"),
        ("--default-ulimit=nofile=2:1", "must be less than or equal to hard limit"),
        ("--default-ulimit=nofile=1:2:3", 'parsing "2:3": invalid syntax'),
        ("--default-ulimit=files=1", "invalid ulimit type: files"),
        ("--default-shm-size=0", "SHM size"),
        ("--default-shm-size=big", "invalid size: 'big'"),
        ("--default-network-opt=bridge", "--default-network-opt: "),
        ("--registry-mirror=http://[", "http://HOST[:PORT]"),
        ("--log-driver=splunk", "error looking up logging plugin splunk"),
        ("--log-opt=max-size=x", "invalid size: 'x'"),
    ],
)
def test_a_flag_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], flag: str, words: str):
    assert main(["--validate", flag]) == 2
    assert words in capsys.readouterr().err
    with pytest.raises(BadParameterError):
        options_of(told(flag))


def test_labels_with_two_values_are_refused_and_a_repeated_one_counts_once():
    assert settings_of(told("--label=a=1", "--label=a=1")).labels == ("a=1",)
    with pytest.raises(BadParameterError, match="conflict labels for a=2 and a=1"):
        settings_of(told("--label=a=1", "--label=a=2"))


def test_a_valid_configuration_is_reported_as_valid(capsys: pytest.CaptureFixture[str]):
    assert main(["--validate", *ON_LINE]) == 0
    assert capsys.readouterr().out == "configuration OK\n"


def test_what_a_container_says_itself_counts():
    limit = Ulimit(name="nofile", soft=1, hard=1)
    settings = Settings(
        dns=("192.0.2.53",), init=True, no_new_privileges=True, cgroup_parent="/theirs",
        default_ulimits={"nofile": limit, "core": Ulimit(name="core", soft=0, hard=0)},
        log_opts={"max-size": "1m", "tag": "x"},
    )  # fmt: skip
    own = HostConfig(
        dns=["192.0.2.1"], init=False, cgroup_parent="/mine", security_opt=["no-new-privileges=false"],
        ulimits=[Ulimit(name="nofile", soft=2, hard=2)],
    )  # fmt: skip
    found = settings.at_start(own)
    assert (found.dns, found.init, found.cgroup_parent) == (["192.0.2.1"], False, "/mine")
    assert found.security_opt[-1] == "no-new-privileges=false"
    assert [(one.name, one.soft) for one in found.ulimits] == [("nofile", 2), ("core", 0)]
    assert settings.log_of(LogConfig(config={"tag": "y"})).config == {"max-size": "1m", "tag": "y"}
    assert settings.log_of(LogConfig(type="none")).config == {}
    assert Settings().at_start(own) is own
    assert settings_of(told("--default-address-pool=base=10.0.0.0/8,size=24")).default_address_pools == (
        AddressPool(base="10.0.0.0/8", size=24),
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is in the daemon's file."""
    path = tmp_path_factory.mktemp("told") / "daemon.json"
    path.write_text(json.dumps(IN_FILE))
    return path


@pytest.fixture(scope="module")
def own(file: Path) -> Iterator[Daemon]:
    """A daemon that is told all of it."""
    with running_daemon(f"--config-file={file}", *ON_LINE) as daemon:
        yield daemon


def lines(text: str) -> list[str]:
    return text.strip().splitlines()


NEEDS_DOCKER = pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli")


@NEEDS_DOCKER
@pytest.mark.root
def test_a_container_gets_what_the_daemon_is_configured_with(own: Daemon):
    script = (
        "ip -o addr show eth0; cat /sys/class/net/eth0/mtu; cat /etc/resolv.conf; grep gate /etc/hosts;"
        "ulimit -Sn; ulimit -Hn; cat /proc/1/comm; grep NoNewPrivs /proc/self/status; df -k /dev/shm"
    )
    shown = own.docker(
        "run", "--name", "all", "--add-host", "gate:host-gateway", "-p", "80", "busybox", "sh", "-c", script
    )
    for words in (
        "inet 10.236.0.12", "/24 ", "inet6 fd00:236::", "1400\n", "nameserver 192.0.2.53\n",
        "search lan.example\n", "options ndots:3\n", "192.0.2.9\tgate\n", "\n64\n128\n", "NoNewPrivs:\t1",
        " 32768 ",
    ):  # fmt: skip
        assert words in shown, shown
    assert "\nsh\n" not in shown, "pid 1 is to be the init"
    host = json.loads(own.docker("inspect", "-f", "{{json .HostConfig}}", "all"))
    assert (host["IpcMode"], host["CgroupnsMode"], host["ShmSize"]) == ("shareable", "host", 32 << 20)
    assert host["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "3"}}
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 64, "Hard": 128}]
    assert (host["Dns"], host["SecurityOpt"], "Init" in host) == ([], None, False)
    own.docker("rm", "all")


@NEEDS_DOCKER
@pytest.mark.root
def test_the_daemon_shows_its_settings_and_networks_are_cut_from_its_pools(own: Daemon):
    info = json.loads(own.docker("info", "-f", "{{json .}}"))
    assert info["Labels"] == ["place=here"]
    assert info["DefaultAddressPools"] == [{"Base": "10.237.0.0/16", "Size": 24}]
    assert {"name=no-new-privileges"} == set(info["SecurityOptions"]) - {"name=seccomp,profile=builtin"}
    bridge = json.loads(own.docker("network", "inspect", "bridge"))[0]
    assert bridge["IPAM"]["Config"] == [
        {"Subnet": "10.236.0.0/24", "IPRange": "10.236.0.128/25", "Gateway": "10.236.0.1"},
        {"Subnet": "fd00:236::/64", "Gateway": "fd00:236::1"},
    ]
    options = bridge["Options"]
    assert options["com.docker.network.bridge.enable_icc"] == "false"
    assert options["com.docker.network.bridge.host_binding_ipv4"] == "127.0.0.1"
    own.docker("network", "create", "cut")
    subnet = own.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}}", "cut")
    assert subnet.startswith("10.237.")
    assert subnet.endswith(".0/24\n")
    own.docker("run", "-d", "--name", "web", "--network", "cut", "busybox", "sleep", "60")
    own.docker("network", "connect", "bridge", "web")
    assert set(lines(own.docker("exec", "web", "ls", "/sys/class/net"))) >= {"lan0", "eth0"}
    own.docker("rm", "-f", "web")
    own.docker("network", "rm", "cut")


@NEEDS_DOCKER
@pytest.mark.root
def test_a_signal_has_the_file_read_again(own: Daemon, file: Path):
    with own.docker_start("events", "--since", "0", "--filter", "event=reload") as events:
        file.write_text(json.dumps({"labels": ["place=there"], "mtu": 1300}))  # that is a flag too
        os.kill(own.pid, signal.SIGHUP)
        while "the configuration stays as it is: unable to configure the daemon" not in own.log.read_text():
            pass
        assert own.docker("info", "-f", "{{json .Labels}}") == '["place=here"]\n'
        file.write_text(json.dumps({"labels": ["b=c"]}))
        os.kill(own.pid, signal.SIGHUP)
        assert b"daemon reload" in events.stdout.readline()
        events.terminate()
        events.communicate()
    assert own.docker("info", "-f", "{{json .Labels}}") == '["b=c"]\n'
