"""Each check tells what it found, what that does, and what helps; none fails on a bare tree."""

import fnmatch
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.host import cpu, memory, noise, preflight, storage, system, tools
from bench.host.check import chosen, cpu_list, cpu_set
from bench.scenarios.registry import FAMILIES, METRICS

CPU = "sys/devices/system/cpu"


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def state(found, name: str) -> str:
    return next(one.state for one in found if one.name == name)


def test_on_a_bare_tree_nothing_is_claimed(tmp_path):
    found = preflight.host_checks(tmp_path, tmp_path, cpus=(0, 1))
    told = {"root", "cgroups", "virtualization", "placement", "tuning", "disk space"}
    assert {one.name for one in found if one.state != "unknown"} <= told
    assert state(found, "cgroups") == "bad"


def test_names_are_unique_and_each_worry_has_a_fix(tmp_path):
    found = preflight.host_checks(tmp_path)
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert one.found
        assert one.state in ("ok", "unknown") or one.fix


def test_every_effect_begins_with_what_it_touches(tmp_path):
    """A family, a metric, a backend, or all of them: what a reader can look up."""
    found = [*preflight.host_checks(tmp_path), *tools.checks({}), tools.kvm(tmp_path, None)]
    backends = {"vm", "docker", "crun", "runtime"}
    for one in found:
        touched, colon, what = one.effect.partition(":")
        assert colon, one
        assert what.strip(), one
        for name in touched.split(", "):
            known = name == "all metrics" or name in FAMILIES or name in backends
            assert known or fnmatch.filter(METRICS, f"{name}*"), (one.name, name)


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": "1"}, "ok"),
        ("turbo", {f"{CPU}/intel_pstate/no_turbo": "0"}, "warn"),
        ("turbo", {f"{CPU}/cpufreq/boost": "1"}, "warn"),
        ("turbo", {f"{CPU}/cpufreq/boost": "0"}, "ok"),
        ("governor", {f"{CPU}/cpu0/cpufreq/scaling_governor": "performance"}, "ok"),
        (
            "governor",
            {
                f"{CPU}/cpu0/cpufreq/scaling_governor": "performance",
                f"{CPU}/cpu1/cpufreq/scaling_governor": "powersave",
            },
            "warn",
        ),
        ("smt", {f"{CPU}/cpu0/topology/thread_siblings_list": "0-1"}, "warn"),
        ("smt", {f"{CPU}/cpu0/topology/thread_siblings_list": "0,64"}, "warn"),
        ("smt", {f"{CPU}/cpu0/topology/thread_siblings_list": "0"}, "ok"),
        ("smt", {f"{CPU}/smt/control": "notsupported"}, "ok"),
        ("numa", {"sys/devices/system/node/node0/cpulist": "0-7"}, "ok"),
        (
            "numa",
            {"sys/devices/system/node/node0/cpulist": "0,2", "sys/devices/system/node/node1/cpulist": "1,3"},
            "warn",
        ),
        ("thermal", {f"{CPU}/cpu0/thermal_throttle/core_throttle_count": "0"}, "ok"),
        ("thermal", {f"{CPU}/cpu1/thermal_throttle/core_throttle_count": "7"}, "warn"),
        ("thermal", {"sys/class/thermal/thermal_zone0/temp": "96000"}, "warn"),
        ("placement", {f"{CPU}/isolated": "0-1"}, "ok"),
        ("clocksource", {"sys/devices/system/clocksource/clocksource0/current_clocksource": "hpet"}, "warn"),
        ("clocksource", {"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc"}, "ok"),
        ("nmi watchdog", {"proc/sys/kernel/nmi_watchdog": "1"}, "warn"),
        ("kernel", {"proc/sys/kernel/version": "#1 SMP PREEMPT_DYNAMIC"}, "ok"),
    ],
)
def test_processors(tmp_path, name, files, expected):
    assert state(cpu.checks(put(tmp_path, files), (0, 1)), name) == expected


def test_the_kernels_tick_comes_from_its_configuration(tmp_path):
    files = {"proc/sys/kernel/osrelease": "6.1.0", "boot/config-6.1.0": "CONFIG_X=y\nCONFIG_HZ=250"}
    assert "250 Hz" in cpu.kernel(put(tmp_path, files)).found


def test_one_planned_cpu_is_a_worry(tmp_path):
    assert cpu.placement(tmp_path, (3,)).state == "warn"


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("memory", {"proc/meminfo": "MemAvailable: 1024 kB"}, "warn"),
        ("memory", {"proc/meminfo": "MemAvailable: 99999999 kB"}, "ok"),
        ("swap", {"proc/meminfo": "SwapTotal: 1048576 kB\nSwapFree: 0 kB"}, "warn"),
        ("swap", {"proc/meminfo": "SwapTotal: 0 kB\nSwapFree: 0 kB"}, "ok"),
        ("thp", {"sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never"}, "ok"),
        ("thp", {"sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never"}, "warn"),
        ("aslr", {"proc/sys/kernel/randomize_va_space": "2"}, "ok"),
        ("aslr", {"proc/sys/kernel/randomize_va_space": "0"}, "warn"),
        ("numa balancing", {"proc/sys/kernel/numa_balancing": "1"}, "warn"),
        ("ksm", {"sys/kernel/mm/ksm/run": "1"}, "warn"),
    ],
)
def test_memory(tmp_path, name, files, expected):
    assert state(memory.checks(put(tmp_path, files)), name) == expected


def process(pid: int, name: str, ticks: int) -> dict[str, str]:
    return {f"proc/{pid}/stat": f"{pid} ({name}) R {' 0' * 10} {ticks} 0 0 0 20 0 1"}


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("load", {"proc/loadavg": "0.00 0 0 1/1 1"}, "ok"),
        ("load", {"proc/loadavg": "9999.0 0 0 1/1 1"}, "warn"),
        ("load", {"proc/loadavg": "strange"}, "unknown"),
        ("pressure cpu", {"proc/pressure/cpu": "some avg10=0.40 avg60=0 total=1"}, "ok"),
        ("pressure cpu", {"proc/pressure/cpu": "some avg10=40.00 avg60=0 total=1"}, "warn"),
        ("pressure memory", {"proc/pressure/memory": "some avg10=11.00 avg60=0 total=1"}, "warn"),
        ("pressure io", {"proc/pressure/io": "some avg10=1.00 avg60=0 total=1"}, "ok"),
        ("other work", process(7, "quiet (or so)", 5), "ok"),
    ],
)
def test_noise(tmp_path, name, files, expected):
    assert state(noise.checks(put(tmp_path, files)), name) == expected


def test_the_busiest_are_named_and_we_are_not(tmp_path):
    ours, theirs = os.getpid(), 4
    before = noise.read(put(tmp_path, process(theirs, "cc1 x)", 100) | process(ours, "us", 100)))
    hz = os.sysconf("SC_CLK_TCK")
    after = noise.read(put(tmp_path, process(theirs, "cc1 x)", 100 + hz) | process(ours, "us", 100 + hz)))
    found = noise.busiest(before, after, seconds=2.0)
    assert found.state == "warn"
    assert found.found == "cc1 x) (4) 50% of a CPU"


def test_stolen_time_is_a_share_of_what_passed(tmp_path):
    before = noise.read(put(tmp_path, {"proc/stat": "cpu 100 0 0 100 0 0 0 10 0 0"}))
    after = noise.read(put(tmp_path, {"proc/stat": "cpu 150 0 0 140 0 0 0 20 0 0"}))
    found = noise.steal(before, after)
    assert (found.state, found.found) == ("warn", "10.0 % of CPU time stolen")


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("/dev/sda1 / ext4 rw 0 0", "ok"),
        ("tmpfs / tmpfs rw 0 0", "warn"),
        ("overlay / overlay rw 0 0", "warn"),
        ("srv:/x / nfs4 rw 0 0", "warn"),
        ("", "unknown"),
    ],
)
def test_layers_need_a_disk_that_carries_them(tmp_path, mount, expected):
    put(tmp_path, {"proc/self/mounts": mount, "proc/filesystems": "nodev\toverlay\n\text4"})
    assert storage.filesystem(tmp_path, tmp_path).state == expected


@pytest.mark.parametrize(
    ("source", "disk", "turns", "expected"),
    [
        ("/dev/sda2", "sda", "1", "warn"),
        ("/dev/sda2", "sda", "0", "ok"),
        ("/dev/nvme0n1p3", "nvme0n1", "0", "ok"),
        ("/dev/vda", "vda", "1", "ok"),
        ("/dev/mapper/x", "sda", "1", "unknown"),
    ],
)
def test_the_disk_below_the_file_system(tmp_path, source, disk, turns, expected):
    files = {
        "proc/self/mounts": f"{source} / ext4 rw 0 0",
        f"sys/block/{disk}/queue/rotational": turns,
        f"sys/block/{disk}/queue/scheduler": "none [mq-deadline]",
    }
    assert storage.device(tmp_path, put(tmp_path, files)).state == expected


def test_too_little_room_is_a_worry(monkeypatch, tmp_path):
    monkeypatch.setattr(storage, "NEEDED", 1 << 60)
    assert storage.room(tmp_path / "not/yet/made").state == "warn"


@pytest.mark.parametrize(
    ("mounts", "controllers", "expected", "says"),
    [
        ("c /cg cgroup2 rw 0 0", "cpu cpuset memory pids io", "ok", "v2"),
        ("c /cg cgroup2 rw 0 0", "cpu memory", "warn", "missing: cpuset pids io"),
        ("c /c cgroup rw,cpu,cpuset,memory,pids,blkio 0 0", "", "warn", "v1"),
        ("c /cg cgroup2 rw 0 0\nd /d cgroup rw,cpu,cpuset,memory,pids 0 0", "io", "warn", "hybrid"),
    ],
)
def test_cgroups(tmp_path, mounts, controllers, expected, says):
    files = {"proc/self/mounts": mounts, "cg/cgroup.controllers": controllers}
    found = system.cgroups(put(tmp_path, files))
    assert found.state == expected
    assert says in found.found


def test_a_guest_says_so(tmp_path):
    assert system.virtualization(put(tmp_path, {"proc/cpuinfo": "flags : fpu hypervisor"})).state == "warn"


@pytest.mark.parametrize(("cmdline", "expected"), [("quiet", "ok"), ("quiet mitigations=off", "warn")])
def test_mitigations(tmp_path, cmdline, expected):
    files = {f"{CPU}/vulnerabilities/spectre_v2": "Mitigation: IBRS", "proc/cmdline": cmdline}
    assert system.mitigations(put(tmp_path, files)).state == expected


def test_without_root_nothing_can_be_measured():
    found = system.privilege(uid=1000)
    assert (found.state, "sudo" in found.fix) == ("bad", True)


@pytest.mark.parametrize(
    ("device", "accelerator", "expected"),
    [(True, "kvm", "ok"), (True, "tcg", "warn"), (False, "tcg", "warn"), (True, None, "unknown")],
)
def test_kvm_is_usable_only_where_guest_code_ran(tmp_path, device, accelerator, expected):
    if device:
        put(tmp_path, {"dev/kvm": ""})
    assert tools.kvm(tmp_path, accelerator, "not root").state == expected


def test_tools_are_listed_with_their_versions():
    found = {one.name: one for one in tools.checks({"docker": "Docker version 28.1"})}
    assert (found["tool docker"].state, found["tool docker"].found) == ("ok", "Docker version 28.1")
    assert found["tool crun"].state == "unknown"


@given(st.sets(st.integers(0, 300), min_size=1))
def test_cpu_lists_are_read_as_they_are_written(cpus):
    assert cpu_set(cpu_list(cpus)) == cpus


@given(st.text(alphabet="0123456789-, x[]", max_size=12))
def test_any_text_of_the_kernels_is_accepted(text):
    assert isinstance(chosen(text), str)
    assert all(cpu >= 0 for cpu in cpu_set(text))
