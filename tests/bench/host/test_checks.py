"""Each check tells what it found, what that does, and what helps; none fails on a bare tree."""

from pathlib import Path

import pytest

from bench.host import checks


def put(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return root


def test_on_a_bare_tree_nothing_is_claimed(tmp_path):
    states = {one.name: one.state for one in checks.host_checks(tmp_path, tmp_path)}
    for name in (
        "load",
        "cpu pressure",
        "steal",
        "governor",
        "turbo",
        "smt",
        "clocksource",
        "memory",
        "swap",
    ):
        assert states[name] == "unknown"


def test_on_this_host_each_worry_has_an_effect_and_a_fix(tmp_path):
    for one in checks.host_checks(tmp_path):
        assert one.found
        assert one.state in ("ok", "unknown") or (one.effect and one.fix)


@pytest.mark.parametrize(
    ("check", "name", "text", "state"),
    [
        (checks.load, "proc/loadavg", "0.00 0 0 1/1 1", "ok"),
        (checks.load, "proc/loadavg", "9999.0 0 0 1/1 1", "warn"),
        (checks.pressure, "proc/pressure/cpu", "some avg10=0.40 avg60=0 avg300=0 total=1", "ok"),
        (checks.pressure, "proc/pressure/cpu", "some avg10=40.00 avg60=0 avg300=0 total=1", "warn"),
        (checks.governor, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance", "ok"),
        (checks.governor, "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave", "warn"),
        (checks.turbo, "sys/devices/system/cpu/intel_pstate/no_turbo", "1", "ok"),
        (checks.turbo, "sys/devices/system/cpu/cpufreq/boost", "1", "warn"),
        (checks.smt, "sys/devices/system/cpu/smt/control", "on", "warn"),
        (
            checks.clocksource,
            "sys/devices/system/clocksource/clocksource0/current_clocksource",
            "hpet",
            "warn",
        ),
        (checks.memory, "proc/meminfo", "MemAvailable: 1024 kB", "warn"),
        (checks.swap, "proc/meminfo", "SwapTotal: 1048576 kB\nSwapFree: 0 kB", "warn"),
        (checks.cgroups, "proc/self/mounts", "c /sys/fs/cgroup cgroup2 rw 0 0", "ok"),
        (checks.cgroups, "proc/self/mounts", "c /sys/fs/cgroup/cpu cgroup rw 0 0", "warn"),
        (checks.virtualization, "proc/cpuinfo", "flags : fpu hypervisor", "warn"),
    ],
)
def test_states(tmp_path, check, name, text, state):
    assert check(put(tmp_path, name, text)).state == state


def test_without_root_nothing_can_be_measured():
    found = checks.privilege(uid=1000)
    assert (found.state, found.fix) == ("bad", "run it again with sudo")


def test_a_cache_in_memory_is_a_worry(monkeypatch, tmp_path):
    monkeypatch.setattr(checks.facts, "filesystem", lambda path: "tmpfs (tmpfs)")
    monkeypatch.setattr(checks, "NEEDED_DISK", 0)
    assert checks.disk(tmp_path).state == "warn"
