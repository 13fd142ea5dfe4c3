from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from clients import eventually
from host_traces import cgroups_of
from local_calls import Nn, command

pytestmark = pytest.mark.root


def test_a_directory_and_a_tar_give_the_same_program(nn: Nn, state: Path, tmp_path: Path) -> None:
    rootfs = state.parent / "rootfs"
    subprocess.run(["tar", "-C", rootfs, "-cf", tmp_path / "r.tar", "."], check=True)
    done = nn("import", tmp_path / "r.tar", "from-tar:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("from-tar:1 sha256:")
    assert nn("run", "--net", "none", "from-tar:1", "echo", "yes").stdout == "yes\n"
    listed = json.loads(nn("images", "--json").stdout)
    assert {"from-tar:1", "busy:latest"} <= {image["reference"] for image in listed}
    assert "from-tar:1" in nn("images").stdout
    assert nn("verify", "from-tar:1").stdout == "unchanged: from-tar:1\n"
    assert nn("rmi", "from-tar:1").returncode == 0


def test_import_from_standard_input(state: Path, nn: Nn) -> None:
    rootfs = state.parent / "rootfs"
    line = " ".join(command(state))
    shell = f"tar -C {rootfs} -cz bin etc | {line} import - piped"
    subprocess.run(shell, shell=True, check=True, capture_output=True)
    assert nn("rmi", "piped").returncode == 0


def test_errors_are_one_line_and_status_1(nn: Nn, tmp_path: Path) -> None:
    (tmp_path / "bad.tar").write_bytes(b"\x1f\x8bgarbage")
    for arguments in (
        ("import", tmp_path / "bad.tar", "x"),
        ("import", tmp_path / "nowhere", "x"),
        ("import", tmp_path, "BAD NAME"),
        ("import", tmp_path),
        ("rmi", "nothere"),
        ("verify", "nothere"),
    ):
        done = nn(*arguments)
        assert done.returncode != 0
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("nn: ")


def test_one_missing_image_does_not_spare_the_others(nn: Nn, state: Path) -> None:
    nn("import", state.parent / "rootfs/etc", "etc-only")
    done = nn("rmi", "nothere", "etc-only")
    assert done.returncode == 1
    assert done.stdout == "removed: etc-only\n"


def test_an_image_in_use_is_not_removed(nn: Nn, state: Path) -> None:
    line = [*command(state), "run", "--net", "none", "busy", "sh", "-c", "echo ready; sleep 60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        done = nn("rmi", "busy")
        process.kill()
    assert (done.returncode, "running container" in done.stderr) == (1, True)


def test_sweep_frees_what_a_killed_run_left(nn: Nn, state: Path) -> None:
    line = [*command(state), "run", "-v", f"{state.parent}:/s", "busy", "sh", "-c", "echo ready; sleep 60"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        inside = [
            pid for path in cgroups_of(process.pid) for pid in (path / "cgroup.procs").read_text().split()
        ]
        process.kill()
    assert inside
    assert nn("sweep").returncode == 0
    assert cgroups_of(process.pid) == []
    eventually(lambda: all(ended(int(pid)) for pid in inside), True)


def ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    line = [sys.executable, "-m", "runtime.cli.nn", "--root", str(tmp_path / "file/x"), "images"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("nn: open image store")
