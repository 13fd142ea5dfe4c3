"""What goes wrong is told in one clear sentence, with a status that is not 0, and nothing is lost by it."""

from __future__ import annotations

import functools
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench import journal, store
from bench.backends.registry import BACKENDS
from bench.cli import app, setup
from bench.cli.dependencies import Dependencies, use
from bench.host import fingerprint, noise
from bench.model import NotMeasured
from bench.testing import fake_backends, fake_image, fake_scenarios
from tests.paths import REPOSITORY
from vm import Harness, VmUnavailableError

FILES = ("run.json", "samples.parquet", "verdicts.json", str(journal.NAME))
NOBODY = "65534"
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="it takes root to give rights up, or to mount")


def call(*line: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(one) for one in line],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=240,
    )


def nn(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "runtime.cli.start.nn", "--root", root, *arguments)


def as_nobody(*line: object) -> subprocess.CompletedProcess[str]:
    """Run as another user, who may read everything (Python may be installed below /root) and do nothing."""
    drop = f"--reuid={NOBODY} --regid={NOBODY} --clear-groups".split()
    read = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    return call("setpriv", *drop, *read, sys.executable, "-m", *line)


# ---- wrong words -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backends", "host,hots"), "'hots': .*host, runtime, nnd, vm"),
        (("--families", "gpu"), "'gpu': .*startup, cpu, memory, network, disk"),
        (("--profile", "fast"), "'fast': .*smoke, quick, full"),
        (("--seed", "-1"), "Invalid value for '--seed'"),
    ],
)
def test_unknown_words_are_answered_with_the_known_ones(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    status, told = invoke("run", "--profile", "smoke", "--out", tmp_path / "run", *arguments)
    assert status == 2
    assert re.search(message, " ".join(told.replace("│", "").split()))
    assert not (tmp_path / "run").exists()


# ---- missing rights and tools ----------------------------------------------------------------------------


@pytest.mark.root
@needs_root
def test_without_root_nothing_begins_and_the_way_out_is_named() -> None:
    run = as_nobody("bench", "run", "--profile", "smoke", "--out", "/var/tmp/nne2e-never")
    assert run.returncode == 1
    assert "sudo" in run.stderr
    assert not Path("/var/tmp/nne2e-never").exists()
    container = as_nobody("runtime.cli.start.nn", "--local", "run", "debian", "true")
    assert container.returncode == 125
    assert "sudo" in container.stderr


@pytest.mark.root
@needs_root
def test_without_root_each_backend_says_why_it_is_not_measured() -> None:
    listed = as_nobody("bench", "list", "backends", "--json")
    assert listed.returncode == 0
    found = {row["backend"]: row["found"] for row in json.loads(listed.stdout)}
    assert found.keys() == BACKENDS.keys()
    assert all("root" in found[name] for name in ("host", "runtime", "vm"))


@pytest.mark.programs
def test_without_qemu_the_vm_is_listed_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    listed = CliRunner().invoke(app, ["list", "backends", "--json"])
    assert listed.exit_code == 0
    found = {row["backend"]: row for row in json.loads(listed.stdout)}
    assert "QEMU is not installed" in found["vm"]["found"]
    assert found["vm"]["state"] != "ok"


@pytest.mark.root
@needs_root
def test_without_mmdebstrap_the_image_cannot_be_built_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cp").symlink_to(shutil.which("cp"))  # without it the host is not available at all
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    line = ("run", "--profile", "smoke", "--backends", "host,runtime", "--out", tmp_path / "run")
    status, told = invoke(*line)
    assert status == 1
    assert "apt-get install mmdebstrap" in told
    assert not (tmp_path / "run").exists()


def test_without_libvirt_the_vm_is_not_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libvirt", None)
    _, missing = setup.probe({"vm": BACKENDS["vm"](tmp_path)}, lambda text: None)
    assert missing == [NotMeasured(arm="vm", metric="", reason=missing[0].reason)]
    assert "pip install libvirt-python" in missing[0].reason


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("uri", ["qemu:///system?socket=/nonexistent/libvirt-sock", "nowhere:///"])
def test_a_libvirt_that_cannot_be_reached_is_named(tmp_path: Path, uri: str) -> None:
    pytest.importorskip("libvirt")
    root = Path(f"/var/tmp/nne2e-{os.getpid()}")
    refused = pytest.raises(VmUnavailableError, match=f"{re.escape(uri)}: .*qemu:///embed")
    with refused, Harness(root, tmp_path, "tcg", uri) as harness:
        harness.version()
    root.rmdir()  # nothing is left in it


# ---- damaged files ---------------------------------------------------------------------------------------


def invoke(*arguments: object) -> tuple[int, str]:
    """Run the command line in this process: (status, standard error)."""
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run on fakes; not to be written to. Meanwhile pages are of a usual size, but not drawn."""
    base = tmp_path_factory.mktemp("damaged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("reports.page.build", lambda evidence, target: "a page".ljust(1 << 20))
        patch.setattr(fingerprint, "host_tools", functools.cache(fingerprint.host_tools))
        patch.setattr(noise, "WATCHED_S", 0.01)
        patch.setenv("NINETYNINE_CACHE", str(base / "cache"))
        use(Dependencies.fake(fake_backends(), fake_scenarios(), fake_image()))
        status, told = invoke("run", "--profile", "smoke", "--seed", 1, "--out", base / "run")
        assert status == 0, told
        yield base / "run"
        use(None)


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def cuts(size: int, rng: random.Random) -> list[int]:
    """Where to cut: at both ends and anywhere. (Without its last newline a JSON file is still whole.)"""
    return sorted({0, 1, size - 2, *(rng.randrange(size - 1) for _ in range(5))})


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_at_any_byte_is_named_and_no_other_is_touched(
    finished: Path, tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    whole = contents(run)
    for at in cuts(len(whole[run / name]), random.Random(name)):
        os.truncate(run / name, at)
        status, told = invoke("show", run, "--json")
        assert status == 1, f"cut at {at}"
        assert f"ninetynine: error: {run / name}: " in told, f"cut at {at}: {told}"
        assert contents(run) == whole | {run / name: whole[run / name][:at]}
        (run / name).write_bytes(whole[run / name])


@pytest.mark.parametrize("name", FILES)
def test_judge_makes_a_cut_file_whole_without_losing_a_sample(
    finished: Path, tmp_path: Path, name: str
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    size = (run / name).stat().st_size
    for at in (0, size // 3, size - 2):
        os.truncate(run / name, at)
        invoke("judge", run, "--json")
        assert invoke("show", run, "--json") == (0, ""), f"cut at {at}"
        assert store.load(run).samples.equals(store.load(finished).samples)


def test_samples_and_journal_both_cut_are_both_named_and_nothing_is_written(
    finished: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    for name in (store.SAMPLES, journal.NAME):
        os.truncate(run / name, (run / name).stat().st_size // 2)
    before = contents(run)
    for verb in ("show", "judge", "report"):
        status, told = invoke(verb, run)
        assert status == 1
        assert str(run / store.SAMPLES) in told
        assert str(run / journal.NAME) in told
        assert contents(run) == before


# ---- damaged images --------------------------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A root of `nn` with the image `tiny`, whose one layer is its largest blob."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/data").write_bytes(random.Random(1).randbytes(20_000))
    done = nn(tmp_path / "root", "import", tmp_path / "tree", "tiny")
    assert done.returncode == 0, done.stderr
    return tmp_path / "root"


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.root
@needs_root
def test_a_changed_blob_is_named_and_not_unpacked(images: Path) -> None:
    blob = max((images / "images/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    flip_a_byte(blob)
    checked = nn(images, "verify", "tiny")
    assert checked.returncode == 1
    assert str(blob) in checked.stderr
    for layer in (images / "images/layers").iterdir():
        shutil.rmtree(layer)  # unpacked at import; now `run` has to do it from the blob
    started = nn(images, "run", "--net", "none", "tiny", "/data")
    assert started.returncode == 125
    assert str(blob) in started.stderr

    assert list((images / "images/layers").iterdir()) == []


@pytest.mark.root
@needs_root
def test_a_changed_unpacked_layer_is_named(images: Path) -> None:
    (layer,) = (images / "images/layers").iterdir()
    flip_a_byte(layer / "tree/data")
    checked = nn(images, "verify", "tiny")
    assert checked.returncode == 1
    assert str(layer) in checked.stderr


# ---- full disks ------------------------------------------------------------------------------------------


@contextmanager
def small_disk(path: Path, kib: int) -> Iterator[Path]:
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "nn-e2e", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("kib", [8, 20, 40, 60, 70, 78, 100, 140])  # from the plan to the page
def test_a_full_disk_is_named_and_with_more_space_the_way_out_that_it_names_works(
    finished: Path, tmp_path: Path, kib: int
) -> None:
    with small_disk(tmp_path / "disk", kib) as disk:
        run = disk / "run"
        line = ("run", "--profile", "smoke", "--seed", 1, "--out", run)
        status, told = invoke(*line)
        assert status == 1
        assert str(run) in told
        assert "No space left on device" in told
        kept = journal.read(run / journal.NAME).samples if run.exists() else ()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        assert invoke(*way_out(told, run, line))[0] in (0, 3)
        assert journal.read(run / journal.NAME).samples[: len(kept)] == kept


def way_out(told: str, run: Path, line: tuple[object, ...]) -> tuple[object, ...]:
    """The command that the message advises."""
    ways = {"--resume`": ("run", "--resume", run), "report ": ("report", run), "judge ": ("judge", run)}
    for words, way in ways.items():
        if f"ninetynine {way[0]} {words}" in told or f"ninetynine {words}" in told:
            return way
    assert not run.exists(), told
    return line


@pytest.mark.root
@needs_root
def test_an_import_on_a_full_disk_says_so_and_the_store_stays_good(tmp_path: Path) -> None:
    for name, size in (("small", 20_000), ("large", 2_000_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data").write_bytes(random.Random(2).randbytes(size))
    with small_disk(tmp_path / "disk", 512) as root:
        assert nn(root, "import", tmp_path / "small", "small").returncode == 0
        before = contents(root / "images")
        full = nn(root, "import", tmp_path / "large", "large")
        assert full.returncode == 1
        assert "no space left on device" in full.stderr
        assert "nn rmi" in full.stderr
        assert contents(root / "images") == before
        assert nn(root, "verify", "small").returncode == 0
        assert nn(root, "import", tmp_path / "small", "again").returncode == 0
