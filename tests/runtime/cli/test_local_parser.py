from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.cli.errors import CliError
from runtime.cli.local.parser import build_parser
from runtime.cli.nn import main


def test_flags_after_the_image_are_the_programs() -> None:
    arguments = build_parser().parse_args(["run", "--rm", "-it", "debian", "ls", "-la", "--rm", "-h"])
    assert (arguments.image, arguments.arguments) == ("debian", ["ls", "-la", "--rm", "-h"])
    assert arguments.interactive and arguments.tty


def test_a_command_may_begin_with_a_dash() -> None:
    assert build_parser().parse_args(["run", "debian", "-c", "x"]).arguments == ["-c", "x"]


def test_h_is_the_hostname_as_with_docker() -> None:
    assert build_parser().parse_args(["run", "-h", "web", "debian"]).hostname == "web"


@pytest.mark.parametrize(
    "flags", [["run", "--memry", "1", "x"], ["run"], ["frobnicate"], [], ["run", "-m", "5x", "i"]]
)
def test_wrong_flags_end_with_125(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--local", *flags]) == 125
    assert capsys.readouterr().err.startswith("nn: ")


def test_abbreviated_flags_are_refused() -> None:
    with pytest.raises(CliError):
        build_parser().parse_args(["run", "--mem", "1g", "debian"])


@pytest.mark.parametrize("verb", ["", "run", "import", "images", "rmi", "verify", "sweep"])
def test_every_help_shows_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--local", *verb.split(), "--help"])
    assert end.value.code == 0
    assert "example" in capsys.readouterr().out


def test_help_imports_nothing_of_the_runtime() -> None:
    script = (
        "import sys\nfrom runtime.cli.nn import main\n"
        "try: main(['--local', '--help'])\nexcept SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith(('runtime.e', 'runtime.n', 'msgspec', 'typer'))])"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[-1] == "[]"


def test_without_root_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    pid = os.fork()
    if pid == 0:
        if os.geteuid() == 0:
            os.setuid(65534)
        os._exit(main(["--local", "run", "debian"]))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 125
    assert capfd.readouterr().err.startswith("nn: needs root")


def test_every_verb_is_documented() -> None:
    text = (Path(__file__).parents[3] / "docs/nn.md").read_text()
    action = next(action for action in build_parser()._actions if action.dest == "command")
    assert all(f"`nn --local {verb}" in text for verb in action.choices or ())
