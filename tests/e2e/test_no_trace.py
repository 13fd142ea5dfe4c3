"""Runs that end well, by Ctrl-C and by kill -9 leave the host as it was, and lose nothing they measured."""

from __future__ import annotations

import signal
import tempfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from bench import journal, store
from bench.cli import dependencies, setup
from bench.store import Loaded
from bench.testing import fake_image
from tests.e2e.leftovers import Room, kinds
from tests.e2e.real_runs import Finished, Ninetynine, steps_of
from tests.waiting import eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]

SMOKE = ("run", "--profile", "smoke", "--seed", 7, "--families", "network")


def test_only_what_has_come_and_stays_is_left(room: Room) -> None:
    """Another test's links may still be there at the first census, and go during the run."""
    old, new = room.path / "tmp/old", room.path / "tmp/new"
    old.mkdir(parents=True)
    before = room.census()
    old.rmdir()
    assert not room.left(before)
    new.mkdir()
    eventually(lambda: room.left(before, patience_s=0), {f"file: {new}"})
    new.rmdir()


def test_a_run_that_ends_well_leaves_nothing(smoke: Finished) -> None:
    assert smoke.status == 0, smoke.stderr
    assert {"mount", "cgroup", "link", "process", "file"} <= kinds(smoke.seen)
    assert not smoke.left


def test_ctrl_c_and_kill_9_leave_nothing_and_resume_completes_the_run(
    ninetynine: Ninetynine, room: Room, tmp_path: Path
) -> None:
    """One run, cut twice. What kill -9 leaves is cleaned up by the next start."""
    run, before = tmp_path / "run", room.census()
    child = ninetynine.start(*SMOKE, "--backends", "host,runtime,vm", "--out", run)
    eventually(lambda: steps_of(run) >= 2, child=child, every_s=0.2)
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate()
    assert child.returncode == 130, stderr
    assert f"ninetynine run --resume {run}" in stdout.replace(" \\\n        ", " ")
    assert not room.left(before)
    interrupted, done = store.load(run), steps_of(run)
    assert interrupted.run.status == "interrupted"
    assert {path.name for path in run.iterdir()} >= {"run.json", "samples.parquet", "verdicts.json"}

    child = ninetynine.start("run", "--resume", run)
    eventually(lambda: steps_of(run) > done and guests(room), child=child, every_s=0.5)
    child.kill()
    child.communicate()
    # Its cgroups may be gone already: the next engine on this host takes those of dead owners away.
    assert {"mount", "file"} <= kinds(room.census() - before)
    assert start_and_end(room) == []
    assert not room.left(before)
    descriptors = descriptors_open()  # the first start of a process opens what it keeps
    assert start_and_end(room) == []
    assert descriptors_open() == descriptors
    killed = store.load(run)
    assert killed.run.status == "running"

    status, _, stderr = ninetynine.run("run", "--resume", run)
    assert status == 0, stderr
    assert not room.left(before)
    whole = store.load(run)
    assert (whole.run.status, whole.run.plan) == ("complete", interrupted.run.plan)
    for cut in (interrupted, killed):
        assert_kept(cut, whole)
    assert_every_step_once(run, whole)


def test_kill_9_in_the_middle_of_a_copy_does_not_hinder_the_next_start(
    ninetynine: Ninetynine, room: Room, tmp_path: Path
) -> None:
    before = room.census()
    child = ninetynine.start(*SMOKE, "--backends", "host,runtime", "--out", tmp_path / "run")
    eventually(lambda: any(room.path.glob("backends/host/*/root/usr")), child=child)
    child.kill()
    child.communicate()
    assert start_and_end(room) == []
    assert not room.left(before)


def test_ctrl_c_in_the_middle_of_a_copy_leaves_nothing(
    ninetynine: Ninetynine, room: Room, tmp_path: Path
) -> None:
    before = room.census()
    child = ninetynine.start(*SMOKE, "--backends", "host,runtime", "--out", tmp_path / "run")
    eventually(lambda: any(room.path.glob("backends/host/*/root/usr")), child=child)
    child.send_signal(signal.SIGINT)
    child.communicate()
    assert child.returncode == 130
    assert not (tmp_path / "run").exists()
    assert not room.left(before)


def descriptors_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def guests(room: Room) -> bool:
    return any("guest=nv" in item for item in room.census())


def start_and_end(room: Room) -> list[str]:
    """All that a start of `ninetynine run` does before it measures, and its end; the sweep's complaints.

    Of the image only what is mounted on is copied: whole copies take most of the time of these tests.
    """
    said: list[str] = []
    with tempfile.TemporaryDirectory() as root:
        for name in ("proc", "sys", "dev/shm"):
            (Path(root) / name).mkdir(parents=True)
        image = msgspec.structs.replace(fake_image(), rootfs=Path(root))
        deps = msgspec.structs.replace(dependencies.real(), build_image=lambda cache, say: image)
        with setup.stage(deps, ["host"], room.path, said.append):
            pass
    return [text for text in said if "could not" in text]


def assert_kept(cut: Loaded, whole: Loaded) -> None:
    """All samples that there were at a cut are there in the end."""
    kept = whole.samples[whole.samples["order"].isin(cut.samples["order"])]
    assert kept.reset_index(drop=True).equals(
        cut.samples.sort_values("order", kind="stable", ignore_index=True)
    )


def assert_every_step_once(run: Path, whole: Loaded) -> None:
    """Every step of the plan was taken once, or is reported as dropped."""
    contents = journal.read(run / journal.NAME)
    dropped = {order for line in contents.dropped for order in line.orders}
    assert contents.done | dropped == {step.order for step in whole.run.plan.steps}
    assert max(Counter(_orders(run)).values()) == 1
    assert len(whole.samples) == len(contents.samples)


def _orders(run: Path) -> list[int]:
    """The order of every step line of the journal, as often as it is there."""
    lines = [msgspec.json.decode(line) for line in (run / journal.NAME).read_bytes().splitlines()]
    return [line["order"] for line in lines if line["type"] == "step"]
