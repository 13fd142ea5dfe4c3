from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
    UnavailableError,
)
from runtime.engine.service.host.facts import host_facts
from runtime.engine.service.model.record import MountPoint
from runtime.engine.service.model.request import (
    BindOptions,
    Config,
    DeviceRequest,
    Healthcheck,
    HostConfig,
    IpamConfig,
    LogConfig,
    MountRequest,
    PortBinding,
    Resources,
    RestartPolicy,
    TmpfsOptions,
    Ulimit,
    UpdateRequest,
    VolumeOptions,
)
from runtime.engine.service.rules.image_defaults import merge, merge_healthcheck, program_of
from runtime.engine.service.rules.limits import check_resources, limits_of, merge_resources, parse_set
from runtime.engine.service.rules.mounting import parse_bind, plan_mounts
from runtime.engine.service.rules.validate import check_host_config
from runtime.image.documents import Execution
from runtime.image.errors import ImageNotFoundError
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    IMAGE_ID,
    create,
    open_service,
    request,
    told,
)
from tests.waiting import in_loop

FACTS = msgspec.structs.replace(
    host_facts(), cpus=2, cpu_list="0-1", node_list="0", cgroup_version=2, swap_limit=True
)

UID7 = TmpfsOptions(options=[["uid", "7"]])


def part(subpath: str, source: str = "named") -> MountRequest:
    options = VolumeOptions(subpath=subpath)
    return MountRequest(type="volume", source=source, target="/x", volume_options=options)


def root_bind(*, read_only: bool = False, **options: bool) -> MountRequest:
    return MountRequest(
        type="bind", source="/", target="/x", read_only=read_only, bind_options=BindOptions(**options)
    )


# ---- what an image adds ---------------------------------------------------------------------------------

IMAGE = Execution(
    entrypoint=["/entry"],
    cmd=["serve"],
    env=["PATH=/bin", "LANG=C"],
    user="www",
    working_dir="/srv",
    labels={"a": "image", "b": "image"},
    exposed_ports={"80/tcp": {}},
    volumes={"/data": {}},
    stop_signal="SIGQUIT",
)


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "expected"),
    [
        (None, None, ["/entry", "serve"]),
        (None, ["other", "arg"], ["/entry", "other", "arg"]),
        (["/mine"], None, ["/mine"]),
        (["/mine"], ["arg"], ["/mine", "arg"]),
        ("/mine", "arg with space", ["/mine", "arg with space"]),
        ([""], ["sh", "-c", "x"], ["sh", "-c", "x"]),
        ([], None, ["/entry", "serve"]),
    ],
)
def test_program_is_made_of_entrypoint_and_command_as_docker_does(entrypoint, cmd, expected):
    path, args = program_of(merge(Config(entrypoint=entrypoint, cmd=cmd), IMAGE))
    assert [path, *args] == expected


def test_nothing_to_run_is_refused_in_dockers_words():
    with pytest.raises(BadParameterError, match=r"^no command specified$"):
        merge(Config(), Execution())
    with pytest.raises(BadParameterError, match="no command specified"):
        merge(Config(entrypoint=[""]), IMAGE)


def test_what_was_asked_wins_over_the_image_and_the_rest_is_taken_from_it():
    asked = Config(env=["LANG=de", "X=1", "GONE"], labels={"a": "mine"}, volumes={"/more": {}})
    merged = merge(asked, IMAGE)
    assert merged.env == ["LANG=de", "X=1", "GONE", "PATH=/bin"]
    assert merged.labels == {"a": "mine", "b": "image"}
    assert merged.volumes == {"/data": {}, "/more": {}}
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("www", "/srv", "SIGQUIT")
    assert merge(Config(user="0", working_dir="/"), IMAGE).user == "0"


def test_a_healthcheck_takes_from_the_image_what_it_leaves_open():
    image = {"Test": ["CMD", "probe"], "Interval": 7_000_000_000, "Retries": 5}
    assert merge_healthcheck(None, image) == Healthcheck(
        test=["CMD", "probe"], interval=7_000_000_000, retries=5
    )
    mixed = merge_healthcheck(Healthcheck(retries=2), image)
    assert mixed is not None
    assert (mixed.test, mixed.retries, mixed.interval) == (["CMD", "probe"], 2, 7_000_000_000)
    assert merge_healthcheck(None, {"Test": 5}) is None


def test_a_healthcheck_of_no_known_kind_is_warned_of_and_taken():
    config = Config(healthcheck=Healthcheck(test=["true"]))
    (said,) = check_host_config(config, HostConfig(), FACTS)
    assert said.startswith("Unknown healthcheck type 'true' (expected 'CMD')")


# ---- mounts ---------------------------------------------------------------------------------------------


def planned(config: Config | None = None, **host: object) -> dict[str, MountPoint]:
    found = plan_mounts(config or Config(), HostConfig(**host), lambda ref: ())
    return {one.point.destination: one.point for one in found}


@pytest.mark.parametrize(
    ("text", "kind", "source", "read_only", "propagation"),
    [
        ("/src:/dst", "bind", "/src", False, "rprivate"),
        ("/src/../x:/dst/", "bind", "/x", False, "rprivate"),
        ("/src:/dst:ro,rslave", "bind", "/src", True, "rslave"),
        ("/src:/dst:Z", "bind", "/src", False, "rprivate"),
        ("name:/dst:ro", "volume", "", True, ""),
        ("name:/dst:nocopy", "volume", "", False, ""),
    ],
)
def test_a_bind_is_read_as_docker_reads_it(text, kind, source, read_only, propagation):
    point = parse_bind(text)
    assert (point.type, point.source, point.read_only, point.propagation) == (
        kind,
        source,
        read_only,
        propagation,
    )
    assert point.destination == "/dst"


def test_the_mode_of_a_bind_is_shown_as_docker_shows_it():
    assert [parse_bind(text).mode for text in ("/src:/dst", "name:/dst", "name:/dst:ro", "/dst")] == [
        "", "z", "ro", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (IpamConfig(ipv4_address="10.0.0.9"), {"IPv4Address": "10.0.0.9"}),
        (Healthcheck(test=["NONE"]), {"Test": ["NONE"]}),
        (
            MountRequest(source="data", target="/d", volume_options=VolumeOptions(no_copy=True)),
            {"Type": "volume", "Source": "data", "Target": "/d", "VolumeOptions": {"NoCopy": True}},
        ),
    ],
)
def test_what_was_left_open_is_left_out_as_docker_does(part, told):
    assert msgspec.to_builtins(part) == told


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:b:c:d", "invalid volume specification: 'a:b:c:d'"),
        (":/x", "invalid volume specification: ':/x'"),
        ("/x:rel", "mount path must be absolute"),
        ("/x:/", "destination can't be '/'"),
        ("/x:/y:bogus", "invalid mode: bogus"),
        ("/x:/y:ro,rw", "invalid mode: ro,rw"),
        ("vol:/y:rslave", 'invalid mount config for type "volume": field BindOptions must not be specified'),
        ("rel", "mount path must be absolute"),
    ],
)
def test_a_bind_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(BadParameterError, match=re.escape(message)):
        parse_bind(text)


def test_four_ways_to_a_mount_and_who_wins(tmp_path: Path):
    config = Config(volumes={"/data": {}, "/bound": {}, "/mem": {}, "/lib": {}})
    found = planned(
        config,
        binds=["/host:/bound"],
        mounts=[
            MountRequest(type="volume", source="named", target="/lib"),
            MountRequest(type="bind", source=str(tmp_path), target="/there", read_only=True),
            MountRequest(type="tmpfs", target="/t", tmpfs_options=TmpfsOptions(size_bytes=4096, mode=0o700)),
            MountRequest(type="tmpfs", target="/e", tmpfs_options=TmpfsOptions(options=[["exec"]])),
        ],
        tmpfs={"/mem": ""},
    )
    assert {where: (one.type, one.anonymous) for where, one in found.items()} == {
        "/data": ("volume", True),
        "/bound": ("bind", False),
        "/lib": ("volume", False),
        "/there": ("bind", False),
        "/t": ("tmpfs", False),
        "/e": ("tmpfs", False),
    }
    assert found["/e"].options == ("nosuid", "nodev", "exec")
    assert found["/t"].options == ("nosuid", "nodev", "noexec", "size=4096", "mode=700")
    assert len(found["/data"].name) == 64


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ({"binds": ["/a:/x", "/b:/x/"]}, "Duplicate mount point: /x"),
        ({"binds": ["/a:/x"], "tmpfs": {"/x": ""}}, "Duplicate mount point: /x"),
        ({"mounts": [MountRequest(type="bind", source="/no/such", target="/x")]},
         'invalid mount config for type "bind": bind source path does not exist: /no/such'),
        ({"mounts": [MountRequest(type="bind", source="/", target="")]}, "field Target must not be empty"),
        ({"mounts": [MountRequest(type="bind", target="/x")]}, "field Source must not be empty"),
        ({"mounts": [MountRequest(type="tmpfs", source="a", target="/x")]}, "Source must not be specified"),
        ({"mounts": [MountRequest(type="tmpfs", target="/x", tmpfs_options=UID7)]},
         "invalid option: uid=7"),
        ({"mounts": [MountRequest(type="npipe", target="/x")]}, "mount type unknown"),
        ({"mounts": [part("../../etc")]}, 'type "volume": subpath must be a relative path within the volume'),
        ({"mounts": [part("a/../../b")]}, "subpath must be a relative path within the volume"),
        ({"mounts": [part("/etc")]}, "subpath must be a relative path within the volume"),
        ({"mounts": [part("a", source="")]}, "must not set Subpath when using anonymous volumes"),
        ({"mounts": [MountRequest(type="volume", target="/x", read_only=True)]},
         "must not set ReadOnly mode when using anonymous volumes"),
        ({"mounts": [MountRequest(type="volume", target="/x", bind_options=BindOptions())]},
         "field BindOptions must not be specified"),
        ({"mounts": [MountRequest(type="tmpfs", target="/x", bind_options=BindOptions())]},
         "field BindOptions must not be specified"),
        ({"mounts": [MountRequest(type="bind", source="/", target="/x", volume_options=VolumeOptions())]},
         "field VolumeOptions must not be specified"),
        ({"mounts": [root_bind(read_only_non_recursive=True)]},
         "mount options conflict: !ReadOnly && BindOptions.ReadOnlyNonRecursive"),
        ({"mounts": [root_bind(read_only_force_recursive=True)]},
         "mount options conflict: !ReadOnly && BindOptions.ReadOnlyForceRecursive"),
        ({"mounts": [root_bind(read_only=True, read_only_non_recursive=True,
                               read_only_force_recursive=True)]},
         "mount options conflict: ReadOnlyNonRecursive && BindOptions.ReadOnlyForceRecursive"),
    ],
)  # fmt: skip
def test_mounts_that_cannot_be_are_refused(host, message):
    with pytest.raises(BadParameterError, match=message):
        planned(**host)


def test_what_shows_the_daemons_root_follows_it(tmp_path: Path):
    root = tmp_path / "root"
    (root / "containers").mkdir(parents=True)
    (tmp_path / "root2").mkdir()
    (tmp_path / "link").symlink_to(root)

    def propagation(source: Path, asked: str, *, short: bool) -> str:
        mount = MountRequest(
            type="bind", source=str(source), target="/x", bind_options=BindOptions(propagation=asked)
        )
        words = f"{source}:/x" + (f":{asked}" if asked else "")
        host = HostConfig(binds=[words]) if short else HostConfig(mounts=[mount])
        (found,) = plan_mounts(Config(), host, lambda ref: (), daemon_root=str(root))
        return found.point.propagation

    for short in (True, False):
        for source in (root, root / "containers", tmp_path, Path("/"), tmp_path / "link"):
            assert propagation(source, "", short=short) == "rslave"
            for asked in ("rslave", "rshared"):
                assert propagation(source, asked, short=short) == asked
            for asked in ("private", "rprivate", "slave", "shared"):
                with pytest.raises(BadParameterError, match="when mount source is within the daemon root"):
                    propagation(source, asked, short=short)
        assert propagation(tmp_path / "root2", "", short=short) == "rprivate"
        assert propagation(tmp_path / "root2", "private", short=short) == "private"


def test_old_clients_expect_read_only_binds_to_be_shallow(tmp_path: Path):
    mounts = [
        MountRequest(type="bind", source=str(tmp_path), target=f"/{one}", read_only=one)
        for one in (True, False)
    ]
    host = HostConfig(binds=["/a:/a:ro", "/b:/b", "v:/v:ro"], mounts=mounts)
    found = plan_mounts(Config(), host, lambda ref: (), shallow=True)
    shallow = {one.point.destination for one in found if one.point.read_only_non_recursive}
    assert shallow == {"/a", "/True"}


def test_a_source_that_is_to_be_made_need_not_exist():
    asked = MountRequest(
        type="bind", source="/no/such", target="/x", bind_options=BindOptions(create_mountpoint=True)
    )
    assert planned(mounts=[asked])["/x"].source == "/no/such"


def test_volumes_from_brings_all_but_tmpfs_and_what_names_its_place_wins():
    others = (
        MountPoint(type="volume", destination="/a", name="one"),
        MountPoint(type="bind", destination="/b", source="/host"),
        MountPoint(type="tmpfs", destination="/t"),
    )
    host = HostConfig(volumes_from=["other:ro"], binds=["/mine:/b"])
    found = {one.point.destination: one.point for one in plan_mounts(Config(), host, lambda ref: others)}
    assert set(found) == {"/a", "/b"}
    assert found["/a"].read_only and found["/b"].source == "/mine"
    assert found["/a"].no_copy, "it keeps what the other one has there"


def test_volumes_from_makes_nothing_writable_and_knows_its_modes():
    others = (MountPoint(type="bind", destination="/a", source="/host", read_only=True),)
    for mode in ("", ":rw", ":rw,z", ":Z"):
        (found,) = plan_mounts(Config(), HostConfig(volumes_from=[f"other{mode}"]), lambda ref: others)
        assert found.point.read_only, mode
    for mode in ("bar", "ro,rw", "shared", "nocopy"):
        with pytest.raises(BadParameterError, match=f"invalid mode: {mode}"):
            plan_mounts(Config(), HostConfig(volumes_from=[f"other:{mode}"]), lambda ref: others)


# ---- limits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"memory": 1 << 20}, "Minimum memory limit allowed is 6MB"),
        ({"memory_swap": 1 << 30}, "You should always set the Memory limit"),
        ({"memory": 1 << 30, "memory_swap": 1 << 29}, "Minimum memoryswap limit should be larger"),
        ({"memory": 1 << 24, "memory_reservation": 1 << 25}, "can not be less than memory reservation"),
        ({"nano_cpus": 3_000_000_000}, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs"),
        ({"nano_cpus": 10**9, "cpu_quota": 5000}, "Nano CPUs and CPU Quota cannot both be set"),
        ({"cpu_period": 10}, "CPU cfs period can not be less than 1ms"),
        ({"cpu_quota": 10}, "CPU cfs quota can not be less than 1ms"),
        ({"cpuset_cpus": "0-7"}, "Requested CPUs are not available - requested 0-7, available: 0-1"),
        ({"cpuset_cpus": "a"}, "Invalid value a for cpuset cpus"),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        ({"cpu_shares": -1}, "shares: invalid argument"),
        ({"cpu_shares": 262_145}, "the maximum allowed cpu-shares is 262144"),
        ({"cpu_realtime_runtime": 1000}, "does not support CPU real-time scheduler"),
        ({"memory_swappiness": 101}, "valid memory swappiness range is 0-100"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_dockers_words(asked, message):
    with pytest.raises(BadParameterError, match=message):
        check_resources(Resources(**asked), FACTS)


def test_one_share_is_less_than_v1_takes():
    asked = Resources(cpu_shares=1)
    assert check_resources(asked, FACTS) == []
    with pytest.raises(BadParameterError, match="the minimum allowed cpu-shares is 2"):
        check_resources(asked, msgspec.structs.replace(FACTS, cgroup_version=1))


def test_limits_become_a_cgroups():
    asked = Resources(
        nano_cpus=1_500_000_000,
        cpu_shares=512,
        memory=1 << 28,
        pids_limit=100,
        cpuset_cpus="0",
        blkio_weight=300,
    )
    limits = limits_of(asked, FACTS)
    assert (limits.cpu_quota_us, limits.cpu_period_us, limits.cpu_weight) == (150_000, 100_000, 50)
    assert (limits.memory_max, limits.swap_max, limits.pids_max) == (1 << 28, 1 << 28, 100)
    assert (limits.cpuset_cpus, limits.io_weight) == ("0", 300)
    period = limits_of(Resources(cpu_period=50_000), FACTS)
    assert (period.cpu_quota_us, period.cpu_period_us) == (None, 50_000)
    assert limits_of(Resources(memory=1 << 28, memory_swap=-1), FACTS).swap_max == -1
    assert limits_of(Resources(memory=1 << 28, memory_swap=3 << 27), FACTS).swap_max == 1 << 27
    assert limits_of(Resources(pids_limit=-1), FACTS).pids_max == -1
    assert limits_of(Resources(pids_limit=0), FACTS).pids_max == -1  # an update took the limit away
    assert limits_of(Resources(), FACTS).pids_max is None
    without = msgspec.structs.replace(FACTS, swap_limit=False)
    assert limits_of(Resources(memory=1 << 28), without).swap_max is None
    assert "without swap" in check_resources(Resources(memory=1 << 28), without)[0]


def test_an_update_changes_what_it_names_and_nothing_else():
    kept = HostConfig(memory=1 << 28, memory_swap=1 << 29, cpu_shares=100)
    assert merge_resources(kept, UpdateRequest(cpu_shares=200)) == {"cpu_shares": 200}
    assert merge_resources(kept, UpdateRequest(pids_limit=-1)) == {"pids_limit": 0}
    assert merge_resources(kept, UpdateRequest(pids_limit=0)) == {"pids_limit": 0}
    with pytest.raises(BadParameterError, match="already set memoryswap limit"):
        merge_resources(kept, UpdateRequest(memory=1 << 30))
    with pytest.raises(BadParameterError, match="CPU Quota cannot be updated as NanoCPUs has already"):
        merge_resources(HostConfig(nano_cpus=10**9), UpdateRequest(cpu_quota=5000))
    with pytest.raises(BadParameterError, match="Nano CPUs cannot be updated as CPU Period has already been"):
        merge_resources(HostConfig(cpu_period=10**5), UpdateRequest(nano_cpus=10**9))


def test_sets_are_read_as_the_kernel_writes_them():
    assert parse_set("0-2,5") == {0, 1, 2, 5}


# ---- the whole ------------------------------------------------------------------------------------------


@in_loop
async def test_a_created_container_is_on_disk_with_dockers_defaults(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", cmd=["echo", "hi"], labels={"x": "y"})
    record = service.containers.get("web")
    assert (record.id, record.name, record.image_id) == (made, "web", IMAGE_ID)
    assert (record.path, record.args) == ("echo", ("hi",))
    assert record.config.hostname == made[:12]
    assert record.state.status == "created"
    host = record.host_config
    assert (host.network_mode, host.log_config.type, host.restart_policy.name) == (
        "bridge",
        "json-file",
        "no",
    )
    assert host.shm_size == 64 << 20 and host.masked_paths
    assert (tmp_path / "containers" / made / "record.json").exists()
    assert told(service) == ["create"]
    (event,) = service.events._kept
    assert event.attributes == {"image": "busybox", "name": "web", "x": "y"}


@in_loop
async def test_names_are_checked_unique_and_invented(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "/web")
    with pytest.raises(
        ConflictError, match=f'The container name "/web" is already in use by container "{made}"'
    ):
        await create(service, "web")
    with pytest.raises(BadParameterError, match=r"Invalid container name \(a b\)"):
        await create(service, "a b")
    other = service.containers.get(await create(service))
    assert other.name and other.name != "web"
    assert len(service.containers.list(all=True)) == 2


@in_loop
async def test_an_unknown_image_is_a_404_which_makes_clients_pull(tmp_path: Path):
    service = await open_service(tmp_path)
    with pytest.raises(ImageNotFoundError, match="No such image: nope"):
        await create(service, image="nope")
    with pytest.raises(BadParameterError, match="invalid reference format"):
        await create(service, image="", cmd=["true"])
    with pytest.raises(BadParameterError, match="no command specified"):
        await create(service, image="")


@in_loop
async def test_anonymous_volumes_are_made_filled_and_reported_before_the_container(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, volumes={"/data": {}}, binds=["named:/n"])
    points = {point.destination: point for point in service.containers.get(made).mounts}
    anonymous = points["/data"].name
    assert set(service.volumes.made) == {anonymous, "named"}
    assert service.volumes.made[anonymous]["labels"] == {"com.docker.volume.anonymous": ""}
    assert set(service.volumes.populated) == {(anonymous, "/data"), ("named", "/n")}
    assert points["/n"].source == str(service.volumes.mountpoint("named"))
    assert [event.type for event in service.events._kept] == ["volume", "volume", "container"]
    await service.containers.remove(made, volumes=True)
    assert set(service.volumes.made) == {"named"}


@in_loop
async def test_nothing_stays_of_a_creation_that_fails(tmp_path: Path):
    service = await open_service(tmp_path)
    service.networks.error = EngineError("no such network")
    with pytest.raises(EngineError, match="no such network"):
        await create(service, "web", volumes={"/data": {}})
    service.networks.error = None
    service.volumes.populate = lambda *args: (_ for _ in ()).throw(EngineError("disk full"))
    with pytest.raises(EngineError, match="disk full"):
        await create(service, "web", volumes={"/data": {}})
    assert service.containers.list(all=True) == []
    assert list((tmp_path / "containers").iterdir()) == []
    assert service.volumes.made == {}
    assert told(service) == []
    del service.volumes.populate
    assert service.volumes.mounted == []
    await create(service, "web")


@in_loop
async def test_a_start_that_fails_over_one_volume_leaves_the_users_of_another_alone(tmp_path: Path):
    service = await open_service(tmp_path)
    first = await create(service, "first", binds=["shared:/s"])
    await service.containers.start(first)
    second = await create(service, "second", binds=["broken:/b", "shared:/s"])
    mount = service.volumes.mount

    def fail(name: str) -> Path:
        if name == "broken":
            raise EngineError("failed to mount local volume broken")
        return mount(name)

    service.volumes.mount = fail
    with pytest.raises(EngineError, match="failed to mount local volume broken"):
        await service.containers.start(second)
    assert service.volumes.mounted == ["shared"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"auto_remove": True, "restart_policy": RestartPolicy(name="always")},
         "can't create 'AutoRemove' container with restart policy"),
        ({"restart_policy": RestartPolicy(name="bogus")}, "invalid restart policy"),
        ({"working_dir": "rel"}, "working directory 'rel' is invalid"),
        ({"stop_signal": "BOGUS"}, "invalid signal: BOGUS"),
        ({"cap_add": ["BOGUS"]}, 'invalid CapAdd: unknown capability: "CAP_BOGUS"'),
        ({"security_opt": ["bogus=1"]}, 'invalid --security-opt: "bogus=1"'),
        ({"security_opt": ["seccomp={"]}, "Decoding seccomp profile failed"),
        ({"log_config": LogConfig(type="syslog")}, "error looking up logging plugin syslog"),
        ({"log_config": LogConfig(type="json-file", config={"x": "1"})}, "unknown log opt 'x'"),
        ({"log_config": LogConfig(config={"max-size": "0"})}, "max-size must be a positive number"),
        ({"log_config": LogConfig(config={"max-size": "0.1b"})}, "max-size must be a positive number"),
        ({"log_config": LogConfig(config={"labels-regex": "("})}, r"labels-regex: '\('"),
        ({"log_config": LogConfig(config={"mode": "quick"})}, "logging mode not supported: quick"),
        ({"ulimits": [Ulimit(name="nofile", soft=5, hard=2)]}, "ulimit soft limit must be less"),
        ({"ulimits": [Ulimit(name="nofile", soft=-5, hard=-5)]}, "invalid ulimit: nofile=-5:-5"),
        ({"port_bindings": {"80/tcp": [PortBinding(host_port="90-80")]}}, 'specification: "90-80"'),
        ({"port_bindings": {"80/tcp": [PortBinding(host_port="abc")]}}, 'specification: "abc"'),
        ({"extra_hosts": ["a:b"]}, 'invalid IP address in add-host: "b"'),
        ({"tmpfs": {"/t": "size=1q"}}, r"invalid tmpfs option \['size=1q'\]"),
        ({"sysctls": {"kernel.shm_x": "1"}}, "sysctl 'kernel.shm_x' is not whitelisted"),
        ({"ulimits": [Ulimit(name="bogus", soft=5, hard=9)]}, "invalid ulimit type: bogus"),
        ({"pid_mode": "bogus"}, "invalid PID mode: bogus"),
        ({"ipc_mode": "bogus"}, "invalid IPC mode: bogus"),
        ({"tmpfs": {"t": ""}}, 'type "tmpfs": invalid mount path: \'t\' mount path must be absolute'),
        ({"tmpfs": {"//": ""}}, 'type "tmpfs": invalid specification: destination can\'t be \'/\''),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        ({"oom_score_adj": 1001}, "range for oom score adj"),
        ({"sysctls": {"vm.swappiness": "1"}}, "sysctl 'vm.swappiness' is not whitelisted"),
        ({"sysctls": {"net.core.somaxconn": "1"}, "network_mode": "host"}, "not allowed in host network"),
        ({"runtime": "kata"}, "unknown or invalid runtime name: kata"),
        ({"env": ["=x"]}, "invalid environment variable: =x"),
        ({"healthcheck": Healthcheck(interval=5)}, "Interval in Healthcheck cannot be less than 1ms"),
        ({"device_cgroup_rules": ["x"]}, "invalid device cgroup rule format: 'x'"),
        ({"port_bindings": {"99999/tcp": None}}, 'invalid port specification: "99999/tcp"'),
        ({"annotations": {"": "x"}}, "invalid Annotations: the empty string is not permitted"),
        ({"extra_hosts": ["nohost"]}, "bad format for add-host"),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused_in_dockers_words(tmp_path: Path, fields, message):
    @in_loop
    async def refused() -> None:
        service = await open_service(tmp_path)
        with pytest.raises(BadParameterError, match=message):
            await create(service, "web", **fields)
        assert service.containers.list(all=True) == []

    refused()


@in_loop
async def test_a_joined_namespace_is_kept_by_id_so_that_a_rename_does_not_matter(tmp_path: Path):
    service = await open_service(tmp_path)
    donor = await create(service, "donor")
    made = await create(service, network_mode="container:donor")
    assert service.containers.get(made).host_config.network_mode == f"container:{donor}"
    assert service.containers.get(made).config.hostname == donor[:12]
    early = await create(service, network_mode="container:nobody")
    with pytest.raises(NotFoundError, match="No such container: nobody"):
        await service.containers.start(early)
    with pytest.raises(BadParameterError, match="conflicting options: port publishing"):
        await create(service, network_mode="container:donor", publish_all_ports=True)


@in_loop
async def test_only_an_image_may_expose_ports_in_the_network_of_another(tmp_path: Path):
    service = await open_service(tmp_path)
    service.images.execution = IMAGE
    made = await create(service, network_mode="container:nobody")
    assert service.containers.get(made).config.exposed_ports == {"80/tcp": {}}
    with pytest.raises(BadParameterError, match="conflicting options: port exposing"):
        await create(service, network_mode="container:nobody", exposed_ports={"80/tcp": {}})


@in_loop
async def test_an_image_is_read_once_and_asked_for_each_time(tmp_path: Path):
    service = await open_service(tmp_path)
    for _ in range(3):
        await create(service)
    assert service.images.looked_up == 1


@in_loop
async def test_what_the_host_cannot_do_is_said_so(tmp_path: Path):
    service = await open_service(tmp_path)
    with pytest.raises(UnavailableError, match="storage"):
        await service.containers.create(None, request(storage_opt={"size": "1G"}))
    cdi = DeviceRequest(driver="cdi", capabilities=[["gpu", "compute"], None])
    words = 'could not select device driver "cdi" with capabilities: [[gpu compute] []]'
    with pytest.raises(UnavailableError, match=re.escape(words)):
        await service.containers.create(None, request(device_requests=[cdi]))
