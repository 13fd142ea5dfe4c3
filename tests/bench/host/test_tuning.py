"""Whatever comes between (a crash, a foreign change, a second tuner), what was before is there after."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bench.host import tuning
from bench.host.settings import SETTINGS, plan
from bench.host.tuning import BOOT, RECORD, TuneError, Tuner, undisturbed

GOVERNOR = "sys/devices/system/cpu/cpufreq/policy{}/scaling_governor"
TREE = {
    GOVERNOR.format(0): "powersave",
    GOVERNOR.format(1): "schedutil",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "0",
    "sys/devices/system/cpu/online": "0-3",
    "proc/sys/kernel/numa_balancing": "1",
    "proc/sys/vm/swappiness": "60",
    "proc/irq/9/smp_affinity_list": "0-3",
    "proc/irq/10/smp_affinity_list": "2",
    BOOT: "boot-1",
}
TUNED = {
    GOVERNOR.format(0): "performance",
    GOVERNOR.format(1): "performance",
    "sys/devices/system/cpu/intel_pstate/no_turbo": "1",
    "proc/sys/kernel/numa_balancing": "0",
    "proc/sys/vm/swappiness": "1",
    "proc/irq/9/smp_affinity_list": "2-3",
}
"""What tune makes of the tree when the arms have CPUs 0 and 1."""


def make(root: Path) -> Path:
    for name, text in TREE.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def read(root: Path) -> dict[str, str]:
    return {name: (root / name).read_text().strip() for name in TREE}


@pytest.fixture
def root(tmp_path):
    return make(tmp_path)


@pytest.fixture
def tuner(root):
    return Tuner(root, cpus=(0, 1))


def states(done) -> list[str]:
    return [one.state for one in done]


def test_tuned_inside_and_as_before_afterwards(root, tuner):
    with tuner.held():
        assert read(root) == TREE | TUNED
    assert read(root) == TREE
    assert tuner.record() is None


def test_put_back_after_an_exception_too(root, tuner):
    with pytest.raises(KeyboardInterrupt), tuner.held():
        raise KeyboardInterrupt
    assert read(root) == TREE


def test_every_change_is_on_disk_before_it_is_made(root, tuner, monkeypatch):
    seen = []

    def write(path: Path, value: str) -> None:
        recorded = {change.path: change.before for change in tuner.record().changes}
        seen.append(recorded[str(path.relative_to(root))] == path.read_text().strip())
        path.write_text(value + "\n")

    monkeypatch.setattr(tuner, "_write", write)
    tuner.tune()
    assert len(seen) == len(TUNED)
    assert all(seen)


def test_what_a_killed_process_left_is_put_back_by_the_next(root, tuner):
    with tuner.locked():
        tuner.tune()
    with Tuner(root, cpus=(0, 1)).held() as (left, done):
        assert states(left) == ["put back"] * len(TUNED)
        assert states(done) == ["changed"] * len(TUNED)
    assert read(root) == TREE


def test_kept_tuning_outlives_its_process_and_other_tuners(root, tuner):
    tuner.tune(kept=True)
    with Tuner(root, cpus=(0, 1)).held() as (left, done):
        assert (left, done) == ([], [])
    assert read(root) == TREE | TUNED
    assert set(states(tuner.put_back())) == {"put back"}
    assert read(root) == TREE


def test_somebody_elses_change_is_left_and_reported(root, tuner):
    tuner.tune(kept=True)
    (root / "proc/sys/vm/swappiness").write_text("30\n")
    done = {one.path: one for one in tuner.put_back()}
    assert done["/proc/sys/vm/swappiness"].state == "foreign"
    assert "it was 60" in done["/proc/sys/vm/swappiness"].words
    assert read(root) == TREE | {"proc/sys/vm/swappiness": "30"}


def test_a_setting_that_went_away_is_reported(root, tuner):
    tuner.tune(kept=True)
    (root / GOVERNOR.format(1)).unlink()
    assert states(tuner.put_back()).count("gone") == 1
    assert tuner.record() is None


def test_a_record_of_an_earlier_boot_changes_nothing(root, tuner):
    tuner.tune(kept=True)
    (root / BOOT).write_text("boot-2\n")
    assert tuner.record() is None
    assert tuner.put_back() == []
    assert read(root) == TREE | TUNED | {BOOT: "boot-2"}
    assert not (tuner.directory / RECORD).exists()


def test_what_the_kernel_refuses_is_reported_and_not_recorded(root, tuner, monkeypatch):
    def write(path: Path, value: str) -> None:
        if "irq" in str(path):
            raise OSError(5, "Input/output error")
        path.write_text(value + "\n")

    monkeypatch.setattr(tuner, "_write", write)
    assert states(tuner.tune()).count("failed") == 1
    assert "irq" not in tuner.record().words()


def test_what_cannot_be_put_back_stays_recorded(root, tuner, monkeypatch):
    tuner.tune()
    with monkeypatch.context() as patch:
        patch.setattr(tuner, "_write", lambda path, value: (_ for _ in ()).throw(OSError(5, "no")))
        assert set(states(tuner.put_back())) == {"failed"}
    assert len(tuner.record().changes) == len(TUNED)
    tuner.put_back()
    assert read(root) == TREE


def test_a_value_the_kernel_makes_another_of_is_taken_back(root, tuner, monkeypatch):
    def write(path: Path, value: str) -> None:
        path.write_text(("7" if value == "1" and "swappiness" in str(path) else value) + "\n")

    monkeypatch.setattr(tuner, "_write", write)
    assert states(tuner.tune()).count("failed") == 1
    assert read(root)["proc/sys/vm/swappiness"] == "60"


def test_only_one_tunes_at_a_time(root, tuner):
    with tuner.held():
        assert tuner.busy()
        with pytest.raises(TuneError), Tuner(root).held():
            pass
        assert read(root) == TREE | TUNED
    assert not tuner.busy()


def test_a_record_that_cannot_be_read_is_not_forgotten(root, tuner):
    tuner.directory.mkdir(parents=True)
    (tuner.directory / RECORD).write_text("{")
    with pytest.raises(TuneError, match=re.escape(str(tuner.directory / RECORD))):
        tuner.record()
    assert tuning.check(tuner).state == "warn"


def test_signals_wait_until_all_is_back():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGTERM)
            assert came == []
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_interrupts_stay_where_every_cpu_is_planned(root):
    (root / "sys/devices/system/cpu/online").write_text("0-1\n")
    found = [item for item in plan(root, (0, 1)) if item.setting == "interrupts"]
    assert [(item.do, item.why) for item in found] == [("absent", "every CPU is planned for the arms")]


def test_a_smaller_figure_is_left(root):
    (root / "proc/sys/vm/swappiness").write_text("0\n")
    assert [item.do for item in plan(root) if item.setting == "swappiness"] == ["fine"]


def test_on_a_bare_tree_there_is_nothing_to_tune(tmp_path):
    assert {item.do for item in plan(tmp_path)} == {"absent"}
    assert {item.setting for item in plan(tmp_path)} == {one.name for one in SETTINGS}


@pytest.mark.parametrize(
    ("prepare", "state", "says"),
    [
        (lambda tuner: None, "ok", "6 settings could be"),
        (lambda tuner: tuner.tune(kept=True), "warn", "until `ninetynine untune`"),
        (lambda tuner: tuner.tune(), "warn", "which was killed"),
    ],
)
def test_the_doctor_shows_what_is_tuned(tuner, prepare, state, says):
    prepare(tuner)
    found = tuning.check(tuner)
    assert found.state == state
    assert says in found.found


def test_the_doctor_shows_who_tunes_now(tuner):
    with tuner.held():
        assert f"while process {os.getpid()} runs" in tuning.check(tuner).found


class CrashError(BaseException):
    """Stands for a kill -9: nothing of ours runs after it."""


class Crashing(Tuner):
    """Dies before its n-th write of a setting or a record."""

    left = 0

    def _tick(self) -> None:
        if self.left == 0:
            raise CrashError
        self.left -= 1

    def _write(self, path: Path, value: str) -> None:
        self._tick()
        super()._write(path, value)

    def _write_record(self, record: tuning.TuneRecord) -> None:
        self._tick()
        super()._write_record(record)


class Machine(RuleBasedStateMachine):
    """A host with people on it. `expected` is what its owner wants to find again."""

    def __init__(self) -> None:
        super().__init__()
        self.room = tempfile.TemporaryDirectory()
        self.root = make(Path(self.room.name))
        self.expected = dict(TREE)
        self.kept = False

    def teardown(self) -> None:
        Tuner(self.root, (0, 1)).put_back()
        assert read(self.root) == self.expected
        self.room.cleanup()

    @rule(kept=st.booleans())
    def tune_and_stay(self, kept: bool) -> None:
        tuner = Tuner(self.root, (0, 1))
        tuner.settle()
        tuner.tune(kept=kept or self.kept)
        self.kept = kept or self.kept

    @rule()
    def hold(self) -> None:
        tuner = Tuner(self.root, (0, 1))
        with tuner.held():
            pass
        assert (tuner.record() is not None) == self.kept, "all is put back, unless it is meant to stay"

    @rule(writes=st.integers(0, 9), kept=st.booleans())
    def crash_while_tuning(self, writes: int, kept: bool) -> None:
        tuner = Crashing(self.root, (0, 1))
        Tuner(self.root, (0, 1)).settle()
        tuner.left = writes
        with contextlib.suppress(CrashError):
            tuner.tune(kept=kept or self.kept)
        record = tuner.record()
        self.kept = record is not None and record.kept

    @rule(writes=st.integers(0, 7))
    def crash_while_putting_back(self, writes: int) -> None:
        tuner = Crashing(self.root, (0, 1))
        tuner.left = writes
        with contextlib.suppress(CrashError):
            tuner.put_back()
        if tuner.record() is None:
            self.kept = False

    @rule()
    def untune(self) -> None:
        Tuner(self.root, (0, 1)).put_back()
        self.kept = False

    @rule(name=st.sampled_from(sorted(TUNED)), value=st.sampled_from(["5", "3", "ondemand"]))
    def somebody_else_changes(self, name: str, value: str) -> None:
        (self.root / name).write_text(value + "\n")
        self.expected[name] = value

    @rule(permanent=st.sampled_from(["60", "1"]))
    def reboot(self, permanent: str) -> None:
        """Settings are what the machine boots with, perhaps what tune wants; the record is on a disk."""
        make(self.root)
        self.expected = TREE | {BOOT: self.expected[BOOT] + "x", "proc/sys/vm/swappiness": permanent}
        for name in (BOOT, "proc/sys/vm/swappiness"):
            (self.root / name).write_text(self.expected[name] + "\n")
        self.kept = False

    @invariant()
    def untouched_unless_recorded(self) -> None:
        if Tuner(self.root, (0, 1)).record() is None:
            assert read(self.root) == self.expected


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


REAL = Tuner()


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="writing the kernel's settings needs root")
def test_this_hosts_own_settings_are_back_afterwards():
    """On the real /proc and /sys; skipped where there is nothing to change or somebody is tuning."""
    able = {item.path: item.present for item in REAL.plan() if item.do == "change"}
    if not able or REAL.busy() or REAL.record() is not None:
        pytest.skip("nothing to change here, or the host is tuned already")
    with REAL.held() as (left, done):
        assert left == []
        changed = {one.path.lstrip("/") for one in done if one.state == "changed"}
        assert changed
        for item in plan(Path("/")):
            if item.path in changed:
                assert item.do == "fine"
    assert {path: (Path("/") / path).read_text().strip() for path in able} == able


def test_a_record_is_plain_json(tuner):
    tuner.tune(kept=True)
    found = msgspec.json.decode((tuner.directory / RECORD).read_bytes())
    assert {change["path"]: change["before"] for change in found["changes"]} == {
        name: TREE[name] for name in TUNED
    }
