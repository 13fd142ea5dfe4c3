"""Real cgroups, in any layout: nothing here depends on v1 or v2."""

from __future__ import annotations

import mmap
import os
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.spawn.cgroups import (
    Cgroup,
    CgroupError,
    CgroupManager,
    IoLimit,
    Layout,
    Limits,
    find_layout,
    sweep,
)
from runtime.spawn.cgroups.oom import OomWatch
from tests.waiting import eventually

pytestmark = pytest.mark.root

PREFIX = "nncgtest"


def leftovers() -> list[Path]:
    layout = find_layout()
    mounts = {*layout.v1.values(), *([layout.v2] if layout.v2 else [])}
    return [path for mount in mounts for path in Path(mount).glob(f"{PREFIX}-{os.getpid()}-*")]


@pytest.fixture(params=["as it is", "v1 alone"])
def manager(request: pytest.FixtureRequest) -> Iterator[CgroupManager]:
    """In the layout of this machine; where it is hybrid, also as if the v2 tree were not there."""
    layout = find_layout()
    if request.param == "v1 alone":
        if layout.kind != "hybrid":
            pytest.skip(f"this machine has {layout.kind} anyway")
        layout = Layout(v1=layout.v1, v2=None)
    made = CgroupManager(PREFIX, pool_size=2, layout=layout)
    yield made
    made.close()
    assert leftovers() == []


def run_in(group: Cgroup, work: Callable[[], object]) -> int:
    """Fork a child that joins as a container does, works, and ends with 0 unless `work` raises."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            for fd in group.join_fds:
                os.write(fd, b"0")
            if group.v2_dir:
                Path(group.v2_dir, "cgroup.procs").write_text("0")
            work()
            code = 0
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_counts_what_a_child_uses(manager: CgroupManager) -> None:
    group = manager.create("counts")
    assert ended(run_in(group, lambda: sum(i for i in range(300_000)) and bytearray(20 << 20))) == 0
    stats = group.stats()
    group.remove()
    assert stats.cpu_usage_ns and stats.cpu_usage_ns > 1_000_000
    assert stats.memory_peak and stats.memory_peak > 20 << 20
    assert stats.pids == 0
    assert stats.oom_kills == 0


def test_memory_limit_kills_and_is_counted(manager: CgroupManager) -> None:
    group = manager.create("oom", Limits(memory_max=16 << 20, swap_max=0))
    assert ended(run_in(group, lambda: bytearray(64 << 20))) == -signal.SIGKILL
    assert group.stats().oom_kills == 1
    group.remove()


def test_running_out_of_memory_is_reported_while_others_live_on(manager: CgroupManager) -> None:
    group = manager.create("told", Limits(memory_max=16 << 20, swap_max=0))
    joined, go = os.pipe(), os.pipe()

    def wait() -> None:
        os.write(joined[1], b".")
        os.read(go[0], 1)

    living = run_in(group, wait)
    os.read(joined[0], 1)
    watch = OomWatch(living, manager.layout)
    try:
        assert not watch.happened()
        assert ended(run_in(group, lambda: bytearray(64 << 20))) == -signal.SIGKILL
        assert select.select([watch.fd], [], [], 60.0)[0]
        assert watch.happened()
        assert not watch.happened(), "each time is told once"
        late = OomWatch(living, manager.layout)
        assert late.happened() and not late.happened(), "what was before is told to who comes later"
        late.close()
        os.write(go[1], b".")
        assert ended(living) == 0
        group.remove()
        with pytest.raises(OSError):  # the end of a cgroup is none of its memory, and can be heard for ever
            watch.happened()
    finally:
        watch.close()
        for fd in (*joined, *go):
            os.close(fd)


def test_pids_limit_refuses_a_fork(manager: CgroupManager) -> None:
    group = manager.create("pids", Limits(pids_max=1))
    assert ended(run_in(group, os.fork)) == 1
    group.remove()


def test_cpu_quota_throttles(manager: CgroupManager) -> None:
    group = manager.create("quota", Limits(cpu_quota_us=5_000, cpu_period_us=50_000))

    def burn() -> None:
        while time.process_time() < 0.05:
            pass

    assert ended(run_in(group, burn)) == 0
    assert (group.stats().throttled_periods or 0) > 0
    group.remove()


def test_cpuset_confines(manager: CgroupManager) -> None:
    last = max(os.sched_getaffinity(0))
    group = manager.create("set", Limits(cpuset_cpus=str(last)))

    def check() -> None:
        assert os.sched_getaffinity(0) == {last}

    assert ended(run_in(group, check)) == 0
    group.remove()


def test_unlisted_device_is_refused_unless_unconfined(manager: CgroupManager) -> None:
    if not Path("/dev/kmsg").exists():
        pytest.skip("no /dev/kmsg here")

    def try_open() -> None:
        os.close(os.open("/dev/null", os.O_RDWR))
        os.close(os.open("/dev/kmsg", os.O_RDONLY))

    closed, opened = manager.create("closed"), manager.create("open", Limits(confine_devices=False))
    assert len(closed.join_fds) == len(opened.join_fds)
    assert (ended(run_in(closed, try_open)), ended(run_in(opened, try_open))) == (1, 0)
    closed.remove()
    opened.remove()


def test_io_is_limited(manager: CgroupManager, tmp_path: Path) -> None:
    device = tmp_path.stat().st_dev
    major, minor = os.major(device), os.minor(device)
    if not Path(f"/sys/dev/block/{major}:{minor}/queue").exists():
        pytest.skip("the temporary directory is on no whole disk: only those have limits")
    group = manager.create("io", Limits(io=(IoLimit(major=major, minor=minor, write_bps=64 << 20),)))

    def write() -> None:
        fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT | os.O_DIRECT)
        os.write(fd, mmap.mmap(-1, 1 << 20))

    assert ended(run_in(group, write)) == 0
    names = ("io.max", "blkio.throttle.write_bps_device")
    files = [Path(path, name) for path in group.dirs for name in names]
    texts = [file.read_text() for file in files if file.exists()]
    assert any(str(64 << 20) in text for text in texts)
    group.remove()


def test_kill_takes_a_family_and_remove_succeeds_at_once(manager: CgroupManager) -> None:
    group = manager.create("family")

    def family() -> None:
        os.fork()
        os.fork()
        time.sleep(60)

    pid = run_in(group, family)
    eventually(lambda: len(group.procs()), 4)
    group.kill()
    assert ended(pid) == -signal.SIGKILL
    assert group.procs() == ()
    group.remove()
    assert not any(Path(path).exists() for path in group.dirs)


def test_freeze_stops_and_thaw_goes_on(manager: CgroupManager) -> None:
    group = manager.create("ice")
    read, write = os.pipe()

    def tick() -> None:
        while True:
            os.write(write, b".")
            time.sleep(0.001)

    pid = run_in(group, tick)
    os.read(read, 1)
    group.freeze()
    os.set_blocking(read, False)
    while True:
        try:
            os.read(read, 65536)
        except BlockingIOError:
            break
    time.sleep(0.05)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    group.thaw()
    os.set_blocking(read, True)
    assert os.read(read, 1) == b"."
    group.kill()
    ended(pid)
    group.remove()
    os.close(read)
    os.close(write)


def test_pooled_and_plain_cgroups_behave_alike(manager: CgroupManager) -> None:
    plain = manager.create("plain", Limits(pids_max=7))
    manager.refill(["pooled"])
    pooled = manager.create("pooled", Limits(pids_max=7))
    assert len(pooled.join_fds) == len(plain.join_fds)
    assert pooled.container_id == "pooled"
    assert ended(run_in(pooled, lambda: None)) == 0
    for group in (plain, pooled):
        group.remove()
        group.remove()  # idempotent


def test_update_raises_and_lowers(manager: CgroupManager) -> None:
    group = manager.create("moving", Limits(memory_max=32 << 20, swap_max=0))
    group.update(Limits(memory_max=64 << 20, swap_max=0))
    group.update(Limits(memory_max=8 << 20, swap_max=0, pids_max=3))
    assert ended(run_in(group, lambda: bytearray(32 << 20))) == -signal.SIGKILL
    group.remove()


def test_cgroups_made_inside_go_too(manager: CgroupManager) -> None:
    group = manager.create("nested")
    places = [Path(path) for path in group.dirs]
    for place in places:
        (place / "inner/most").mkdir(parents=True)
    group.remove()
    assert places and not any(place.exists() for place in places)


def test_a_failed_create_leaves_nothing(manager: CgroupManager) -> None:
    with pytest.raises(CgroupError, match=r"EINVAL|ERANGE|ENOSPC"):
        manager.create("bad", Limits(cpuset_cpus="9999"))
    assert not [path for base in leftovers() for path in base.glob("bad")]
    manager.create("bad").remove()


def test_a_taken_or_impossible_id_says_so(manager: CgroupManager) -> None:
    group = manager.create("twice")
    with pytest.raises(CgroupError, match="twice: EEXIST"):
        manager.create("twice")
    group.remove()
    with pytest.raises(CgroupError, match=r"'\.\./etc'"):
        manager.create("../etc")


def test_swap_alone_cannot_be_limited_on_v1(manager: CgroupManager) -> None:
    if "memory" not in manager.layout.v1:
        pytest.skip("v2 can")
    with pytest.raises(CgroupError, match="memory_max"):
        manager.create("swap", Limits(swap_max=0))


def test_sweep_frees_the_dead_and_spares_the_living(manager: CgroupManager) -> None:
    script = (
        "import os, time; from runtime.spawn.cgroups import CgroupManager;"
        f"m = CgroupManager('{PREFIX}'); g = m.create('left');"
        "pid = os.fork();"
        "[open(f'{d}/cgroup.procs', 'w').write('0') for d in g.dirs] if pid == 0 else None;"
        "print(os.getpid(), flush=True) if pid == 0 else None;"
        "time.sleep(60)"
    )
    owner = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    orphan = int(owner.stdout.readline())
    mine = manager.create("mine")
    assert not [path for path in sweep(PREFIX) if f"-{owner.pid}-" in path]
    owner.kill()
    owner.wait()
    swept = sweep(PREFIX)
    assert swept and all(f"-{owner.pid}-" in path for path in swept)
    eventually(lambda: not Path(f"/proc/{orphan}").exists())
    assert not any(Path(path).exists() for path in swept)
    assert all(Path(path).is_dir() for path in mine.dirs)
    mine.remove()


def beneath(parent: str) -> list[Path]:
    layout = find_layout()
    mounts = {*layout.v1.values(), *([layout.v2] if layout.v2 else [])}
    return [path for mount in mounts for path in Path(mount).glob(parent) if path.is_dir()]


def test_a_parent_is_made_and_shared_and_goes_with_the_last() -> None:
    parent = f"{PREFIX}-parent"
    upper, lower = (CgroupManager(PREFIX, parent=path) for path in (f"/{parent}", f"{parent}/deep/"))
    group = lower.create("one", Limits(memory_max=1 << 30))
    assert ended(run_in(group, lambda: None)) == 0
    assert all(f"/{parent}/deep/{PREFIX}-" in path for path in group.dirs)
    group.remove()
    upper.close()
    assert beneath(parent)
    lower.close()
    assert beneath(f"{parent}/*") == []
    for path in beneath(parent):
        path.rmdir()


def test_what_the_dead_left_below_a_parent_is_found() -> None:
    parent = f"{PREFIX}-parent"
    script = f"""
import os
from runtime.spawn.cgroups import CgroupManager
CgroupManager("{PREFIX}", parent="{parent}").create("left")
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    left = beneath(f"{parent}/{PREFIX}-*")
    assert left
    assert set(map(str, left)) <= set(sweep(PREFIX))
    assert beneath(f"{parent}/*") == []
    for path in beneath(parent):
        path.rmdir()


def test_a_parent_outside_is_refused() -> None:
    with pytest.raises(CgroupError, match=re.escape("a/../../b")):
        CgroupManager(PREFIX, parent="a/../../b")


def test_a_cgroup_is_called_by_its_containers_id_also_when_it_was_ready(manager: CgroupManager) -> None:
    assert manager.refill(["first", "second"])
    made = [manager.create(name) for name in ("second", "new")]
    assert all(path.endswith(f"/{group.container_id}") for group in made for path in group.dirs)
    for group in made:
        group.remove()


def test_what_is_ready_for_those_who_never_come_goes_and_is_in_nobodys_way(manager: CgroupManager) -> None:
    assert not manager.refill(["a", "b", "c"], 1)
    assert manager.refill(["a", "b", "c"])
    there = {path.name for base in leftovers() for path in base.iterdir() if path.is_dir()}
    assert there == {"b", "c"}, "the pool of this manager is of two"
    other = manager.create("b", Limits(confine_devices=False))
    assert all(Path(path).is_dir() for path in other.dirs)
    other.remove()


def test_threads_that_refill_and_create_do_not_meet(manager: CgroupManager) -> None:
    ids = [f"c{number}" for number in range(40)]

    def refill() -> None:
        for one in ids:
            manager.refill([one])

    helper = threading.Thread(target=refill)
    helper.start()
    made = [manager.create(one) for one in ids]
    helper.join()
    for group in made:
        group.remove()
