"""Output that fits its place: widths, encodings, hints that can be pasted, names that drive no terminal."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cli import console
from tests.paths import REPOSITORY


def ninetynine(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
    )


@pytest.mark.parametrize(("columns", "widest"), [("60", 60), ("40", 40), ("", 80), ("0", 80), ("wide", 80)])
def test_a_pipe_is_as_wide_as_COLUMNS_says_and_80_else(columns, widest):  # noqa: N802
    shown = ninetynine("list", "metrics", COLUMNS=columns).stdout.decode()
    lengths = [len(line.rstrip()) for line in shown.splitlines()]
    assert widest - 25 < max(lengths) <= widest


def test_a_pipe_has_no_colour_and_a_terminal_has_none_with_NO_COLOR(monkeypatch):  # noqa: N802
    assert b"\x1b" not in ninetynine("list", "scenarios").stdout
    assert b"\x1b[3" not in ninetynine("list", "scenarios", NO_COLOR="1", FORCE_COLOR="1").stdout


def test_a_reader_that_has_enough_makes_no_error():
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m bench list metrics | head -1"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_ascii_terminal_gets_ascii_and_no_escapes():
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from bench.cli.console import make_writable; make_writable()\n"
            "print('\\xb7 5 \\xb5s \\u2013 x\\u2026')",
        ],
        cwd=REPOSITORY,
        env={**os.environ, **ascii_only},
        capture_output=True,
    )
    assert done.stdout == b"- 5 us - x...\n"


def test_the_version_is_printed():
    assert ninetynine("--version").stdout.startswith(b"ninetynine 0.")


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("m/a b", "'m/a b'"),
        ("plain", "plain"),
        ("a\nb\x1b[31m", r"$'a\x0ab\x1b[31m'"),
        ("it's\t", r"$'it\'s\x09'"),
    ],
)
def test_a_hint_survives_the_shell(word, shown):
    assert console.quoted(word) == shown
    echoed = subprocess.run(["bash", "-c", f"printf %s {shown}"], capture_output=True, text=True)
    assert echoed.stdout == word


def test_hints_name_the_program_as_it_has_to_be_typed(monkeypatch, tmp_path):
    script = tmp_path / "venv" / "bin" / "ninetynine"
    script.parent.mkdir(parents=True)
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script.with_name("python")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert console.command("show", Path("a b")) == "venv/bin/ninetynine show 'a b'"
    assert console.pasteable("try `ninetynine doctor`") == "try `venv/bin/ninetynine doctor`"
    monkeypatch.setenv("PATH", str(script.parent))
    assert console.command("show") == "ninetynine show"
    script.unlink()
    assert console.command("show") == f"{script.with_name('python')} -m bench show"


def test_a_path_does_not_drive_the_terminal(tmp_path):
    done = ninetynine("show", f"{tmp_path}/a\x1b[31m")
    assert done.returncode in (1, 2)
    assert b"\x1b" not in done.stderr
    assert rb"\x1b[31m" in done.stderr
