from __future__ import annotations

import json
import os
import platform
from pathlib import Path

import msgspec
import pytest

from runtime.engine.config import bind
from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.containers import to_config
from runtime.engine.service.containers.create import complete
from runtime.engine.service.containers.to_config import Surroundings, environment, hostname_of, start_of
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.record import ContainerRecord, MountPoint, State
from runtime.engine.service.model.request import Config, DeviceMapping, HostConfig, Ulimit
from runtime.engine.service.model.signals import number_of
from runtime.engine.service.rules.security import apparmor_of, capabilities_of, parse_security, seccomp_of
from runtime.engine.spawner.protocol import Endpoint, Start
from runtime.oci import defaults
from runtime.oci.options import parse_options
from runtime.spawn import capabilities
from runtime.spawn.cgroups import DeviceRule

ID = "c0ffee" + "0" * 58
FACTS = host_facts()


def record(
    config: Config | None = None, mounts: tuple[MountPoint, ...] = (), **host: object
) -> ContainerRecord:
    config = config or Config()
    return ContainerRecord(
        id=ID,
        name="web",
        created="2026-01-31T12:00:00Z",
        image="busybox",
        image_id="sha256:" + "1" * 64,
        config=config,
        host_config=complete(HostConfig(network_mode=str(host.pop("network_mode", "bridge")), **host), FACTS),
        path="sh",
        args=("-c", "true"),
        networks={},
        mounts=mounts,
        state=State(),
    )


def start(
    config: Config | None = None,
    mounts: tuple[MountPoint, ...] = (),
    *,
    layer: Path | None = None,
    **host: object,
) -> Start:
    around = Surroundings(
        layers=(layer or Path("/nowhere"),),
        home=Path("/root/containers") / ID / "layer",
        files=Path("/root/containers") / ID,
        volumes={"data": Path("/volumes/data/_data")},
        joined={"network": "d" * 64} if str(host.get("network_mode", "")).startswith("container:") else {},
    )
    return start_of(record(config, mounts, **host), around, FACTS)


def test_a_plain_container_is_dockers():
    made = start()
    config = made.config
    assert (made.id, config.home) == (ID, f"/root/containers/{ID}/layer")
    assert (config.image, config.rootfs, config.cgroup_view) == ("", "", True)
    assert config.argv == ("sh", "-c", "true")
    assert set(config.caps or ()) == set(capabilities.DEFAULT)
    assert (config.seccomp, config.no_new_privs, config.privileged) == ("default", False, False)
    assert (config.network, config.namespaces) == ("none", defaults.NAMESPACES)
    assert config.hostname == ID[:12]
    assert (config.masked_paths, config.readonly_paths) == (defaults.MASKED, defaults.READONLY)
    shown = start(masked_paths=list(defaults.MASKED_BY_DOCKER)).config  # as records have it
    assert shown.masked_paths == defaults.MASKED
    for privileged in (False, True):
        asked = start(masked_paths=["/proc/keys"], privileged=privileged).config
        assert asked.masked_paths == ("/proc/keys",)
    assert config.shm_bytes == 64 << 20
    assert dict(config.sysctl)["net.ipv4.ip_unprivileged_port_start"] == "0"
    assert [mount.destination for mount in config.mounts] == [
        "/etc/hosts",
        "/etc/resolv.conf",
        "/etc/hostname",
    ]


@pytest.mark.parametrize(
    ("host", "shared"),
    [
        ({}, False),
        ({"ipc_mode": "shareable"}, False),
        ({"ipc_mode": f"container:{'d' * 64}"}, False),
        ({"ipc_mode": "host"}, True),
        ({"ipc_mode": "host", "tmpfs": {"/dev/shm": "size=1m"}}, False),
    ],
)
def test_the_hosts_shared_memory_belongs_to_its_ipc_namespace(host, shared):
    mounts = start(**host).config.mounts
    assert (mounts[0] == bind("/dev/shm", "/dev/shm")) is shared
    assert sum(mount.destination == "/dev/shm" for mount in mounts) <= 1


def test_a_network_namespace_comes_from_the_pool_of_the_first_network():
    first, second = (Endpoint(network=one, interface="", address="", mac="") for one in "ab")
    around = Surroundings(layers=(), home=Path("/h"), files=Path("/f"), endpoints=(first, second))
    assert start_of(record(), around, FACTS).config.network == "a"
    assert start(network_mode="host").config.network == "host"
    assert start(network_mode=f"container:{'d' * 64}").config.network == "none"


def test_what_is_privileged_is_left_at_the_engines_own_defaults():
    config = start(privileged=True, cap_drop=["ALL"], security_opt=["seccomp=unconfined"]).config
    assert config.privileged
    assert (config.caps, config.seccomp) == (capabilities.DEFAULT, "default")


# ---- the program's variables ------------------------------------------------------------------------------


def test_the_environment_has_what_docker_puts_there(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text(
        "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"
    )
    layers = (str(tmp_path),)
    plain = dict(one.split("=", 1) for one in environment(record(), layers))
    assert plain == {"PATH": defaults.PATH.partition("=")[2], "HOSTNAME": ID[:12], "HOME": "/root"}
    config = Config(env=["PATH=/bin", "A=b=c", "HOSTNAME"], user="alice", tty=True)
    own = dict(one.split("=", 1) for one in environment(record(config), layers))
    assert own == {"PATH": "/bin", "A": "b=c", "TERM": "xterm", "HOME": "/home/alice"}


def test_a_later_variable_wins_over_an_earlier_one():
    found = environment(record(Config(env=["A=1", "A=2", "HOME=/h"])), ())
    assert "A=2" in found and "A=1" not in found and "HOME=/h" in found


@pytest.mark.parametrize(
    ("config", "host", "expected"),
    [
        (Config(), {}, ID[:12]),
        (Config(hostname="mine"), {}, "mine"),
        (Config(), {"network_mode": "host"}, platform.node()),
        (Config(), {"uts_mode": "host"}, platform.node()),
    ],
)
def test_host_names(config, host, expected):
    assert hostname_of(record(config, **host)) == expected


# ---- namespaces -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "without"),
    [
        ({"network_mode": "host"}, "network"),
        ({"pid_mode": "host"}, "pid"),
        ({"ipc_mode": "host"}, "ipc"),
        ({"uts_mode": "host"}, "uts"),
        ({"cgroupns_mode": "host"}, "cgroup"),
    ],
)
def test_shared_namespaces_are_left_out(host, without):
    config = start(**host).config
    assert without not in config.namespaces
    assert set(config.namespaces) == set(defaults.NAMESPACES) - {without}
    assert config.network == ("host" if without == "network" else "none")


def test_a_joined_network_is_nobodys_to_set_up():
    made = start(network_mode="container:" + "d" * 64)
    assert made.joined == {"network": "d" * 64}
    assert made.config.sysctl == ()


# ---- mounts ---------------------------------------------------------------------------------------------


def test_mounts_are_in_order_of_depth_and_files_in_etc_give_way(tmp_path: Path):
    points = (
        MountPoint(type="bind", destination="/a/b", source="/host", read_only=True, propagation="rslave"),
        MountPoint(type="volume", destination="/v", name="data"),
        MountPoint(type="bind", destination="/etc/hosts", source="/my/hosts"),
        MountPoint(type="bind", destination="/n", source="/host", non_recursive=True),
    )
    mounts = start(None, points, tmpfs={"/run": "size=1m"}).config.mounts
    depths = [mount.destination.count("/") for mount in mounts[:-2]]
    assert depths == sorted(depths)
    by_place = {mount.destination: mount for mount in mounts}
    assert by_place["/a/b"].options == ("rbind", "ro", "rslave")
    assert by_place["/n"].options[0] == "bind"
    assert by_place["/v"].source == "/volumes/data/_data"
    assert by_place["/etc/hosts"].source == "/my/hosts"
    assert (by_place["/run"].type, "size=1m" in by_place["/run"].options) == ("tmpfs", True)
    assert [mount.destination for mount in mounts].count("/etc/hosts") == 1


def test_a_part_of_a_volume_must_lie_in_it(tmp_path: Path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "out").symlink_to("/etc")
    around = Surroundings(layers=(), home=tmp_path, files=tmp_path, volumes={"data": tmp_path})
    point = MountPoint(type="volume", destination="/v", name="data", options=("subpath=inside",))
    made = start_of(record(None, (point,)), around, FACTS)
    mount = made.config.mounts[0]
    assert (mount.source, mount.options) == (str(tmp_path), ("rbind", "rw", "x-part=inside"))
    assert parse_options(mount.options).part == "inside"
    (tmp_path / "loop").symlink_to("loop")
    for bad, error, message in (
        ("../x", BadParameterError, "path concatenation escapes the base directory"),
        ("out", BadParameterError, "path concatenation escapes the base directory"),
        ("inside/../out/passwd", BadParameterError, "path concatenation escapes the base directory"),
        ("nowhere", NotFoundError, f"cannot access path {tmp_path}/nowhere: no such file or directory"),
        ("loop", NotFoundError, "cannot access path"),
    ):
        wrong = msgspec.structs.replace(point, options=(f"subpath={bad}",))
        with pytest.raises(error, match=message):
            start_of(record(None, (wrong,)), around, FACTS)


def test_what_shows_the_daemons_root_is_a_slave_where_it_can_be(monkeypatch: pytest.MonkeyPatch):
    point = MountPoint(type="bind", destination="/r", source="/", propagation="rslave")
    implied = msgspec.structs.replace(point, propagation_implied=True)
    shallow = MountPoint(type="bind", destination="/r", source="/", read_only_non_recursive=True)
    for can, asked, options in (
        (True, implied, ("rbind", "rw", "rslave")),
        (False, implied, ("rbind", "rw", "rprivate")),
        (False, point, ("rbind", "rw", "rslave")),
        (True, shallow, ("rbind", "rw", "rprivate", "x-shallow")),
    ):
        monkeypatch.setattr(to_config, "can_be_slave", lambda source, can=can: can)
        assert start(None, (asked,)).config.mounts[0].options == options


def test_with_a_read_only_root_the_files_in_etc_are_so_too():
    for read_only, mode in ((False, "rw"), (True, "ro")):
        mounts = start(readonly_rootfs=read_only).config.mounts
        assert {mount.options for mount in mounts} == {("rbind", mode, "rprivate")}


# ---- capabilities, security -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("add", "drop", "has", "lacks"),
    [
        (["NET_ADMIN"], None, {"NET_ADMIN", "CHOWN"}, {"SYS_ADMIN"}),
        (None, ["cap_chown"], {"KILL"}, {"CHOWN"}),
        (["CAP_CHOWN"], ["ALL"], {"CHOWN"}, {"KILL"}),
        (["ALL"], ["SYS_ADMIN"], {"NET_ADMIN", "CHOWN"}, {"SYS_ADMIN"}),
        (None, ["ALL"], set(), {"CHOWN", "KILL"}),
    ],
)
def test_capabilities_are_added_and_dropped_as_docker_does(add, drop, has, lacks):
    found = set(capabilities_of(HostConfig(cap_add=add, cap_drop=drop)))
    assert has <= found and not lacks & found


def test_security_options():
    found = parse_security(["no-new-privileges", "label=disable", "apparmor=x", "seccomp=unconfined"])
    assert (found.no_new_privs, found.seccomp) == (True, "unconfined")
    assert not parse_security(["no-new-privileges:false"]).no_new_privs
    config = start(security_opt=["no-new-privileges=true", "systempaths=unconfined"]).config
    assert (config.no_new_privs, config.masked_paths, config.readonly_paths) == (True, (), ())


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ({}, "nn-default"),
        ({"privileged": True}, "unconfined"),
        ({"security_opt": ["apparmor=unconfined"]}, "unconfined"),
        ({"security_opt": ["apparmor=mine"], "privileged": True}, "mine"),
    ],
)
def test_the_profile_of_apparmor(host: dict[str, object], shown: str):
    assert apparmor_of(HostConfig(**host), is_on=True) == shown
    assert apparmor_of(HostConfig(**host), is_on=False) == ""
    assert start(**host).config.apparmor == "", "this host's facts have none"


def test_a_seccomp_profile_in_dockers_form_is_reduced_to_what_counts_here():
    here = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
    profile = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["write"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": [here]}},
            {"names": ["open"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["s390x"]}},
            {"names": ["new"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
            {"names": ["old"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "3.0"}},
            {"name": "single", "action": "SCMP_ACT_ALLOW", "args": None},
        ],
    }
    found = seccomp_of(json.dumps(profile), ("CHOWN",))
    assert not isinstance(found, str)
    assert [one.names for one in found.syscalls] == [
        ("read",), ("clone",), ("write",), ("old",), ("single",),
    ]  # fmt: skip
    assert found.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    with_admin = seccomp_of(json.dumps(profile), ("SYS_ADMIN",))
    assert not isinstance(with_admin, str)
    assert ("mount",) in [one.names for one in with_admin.syscalls]


# ---- devices, limits, signals ---------------------------------------------------------------------------


def test_a_device_is_made_and_allowed():
    config = start(
        devices=[
            DeviceMapping(path_on_host="/dev/null", path_in_container="/dev/mine", cgroup_permissions="r")
        ],
        device_cgroup_rules=["c 10:* rwm"],
    ).config
    (device,) = config.devices
    info = Path("/dev/null").stat()
    assert (device.path, device.type) == ("/dev/mine", "c")
    assert (device.major, device.minor) == (os.major(info.st_rdev), os.minor(info.st_rdev))
    assert config.limits.devices == (
        DeviceRule(kind="c", major=1, minor=3, access="r"),
        DeviceRule(kind="c", major=10, minor=None, access="rwm"),
    )
    for path, why in (
        ("/dev/no-such", "no such file or directory"),
        ("/etc/passwd", "not a device node"),
        ("/etc", "not a device node"),
    ):
        with pytest.raises(BadParameterError, match=why):
            start(devices=[DeviceMapping(path_on_host=path, path_in_container=path)])


def test_limits_of_a_process():
    config = start(
        ulimits=[Ulimit(name="nofile", soft=100, hard=200), Ulimit(name="core", soft=-1, hard=-1)],
        oom_score_adj=500,
        init=True,
        readonly_rootfs=True,
    ).config
    assert [(one.type, one.soft, one.hard) for one in config.rlimits] == [
        ("RLIMIT_NOFILE", 100, 200),
        ("RLIMIT_CORE", -1, -1),
    ]
    assert (config.oom_score_adj, config.init, config.read_only) == (500, True, True)


def test_groups_are_found_in_the_image_by_name(tmp_path: Path):
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    assert start(layer=tmp_path, group_add=["video", "7"]).config.groups == (44, 7)


@pytest.mark.parametrize(
    ("text", "number"),
    [("", 15), ("KILL", 9), ("sigkill", 9), ("SIGHUP", 1), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63)],
)
def test_signals_by_any_name(text, number):
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["BOGUS", "0", "65", "SIG", "RTMIN+99", "-1"])
def test_what_is_not_a_signal_is_refused(text):
    with pytest.raises(BadParameterError, match=f"invalid signal: {text}".replace("+", r"\+")):
        number_of(text)


@pytest.mark.parametrize(
    ("asked", "given"),
    [(None, (0, 0)), ([], (0, 0)), ([7], (7, 0)), ([7, 9, 1], (7, 9)), ([70_000, 5], (65_535, 5))],
)
def test_a_terminal_has_a_size_that_the_kernel_can_keep(asked: list[int] | None, given: tuple[int, int]):
    made = start(console_size=asked)
    assert (made.rows, made.columns) == given
