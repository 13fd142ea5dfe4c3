"""What the prose promises: verbs are documented, errors have headings, the README holds two commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from error_templates import all_messages

ROOT = Path(__file__).resolve().parents[2]
WALK = (ROOT / "docs" / "cli.md").read_text()
README = (ROOT / "README.md").read_text()


def verbs(module: str) -> set[str]:
    """The verbs a command line offers, by its own help."""
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^[│ ]{1,4}([a-z]+) {2,}\S", shown, re.M)) - {"positional"}


@pytest.mark.parametrize(("module", "command"), [("bench", "ninetynine"), ("runtime.cli.nn", "nn")])
def test_every_verb_is_in_the_walk_through(module: str, command: str):
    offered = verbs(module)
    assert len(offered) >= 5, f"the help of {command} was not understood: {offered}"
    missing = {verb for verb in offered if not re.search(rf"{command}\b.* {verb}\b", WALK)}
    assert not missing, f"docs/cli.md shows no {command} {sorted(missing)}"


def test_every_error_message_has_a_heading():
    text = (ROOT / "docs" / "errors.md").read_text()
    headings = {message for _, message in re.findall(r"^### (`{1,2}) ?(.+?) ?\1$", text, re.M)}
    raised = all_messages()
    assert not raised.keys() - headings, "write in docs/errors.md what to do about these"
    assert not headings - raised.keys(), "docs/errors.md explains messages that nothing raises any more"


def test_the_readme_has_exactly_the_two_commands_and_each_installs_nox():
    marked = re.findall(r"<!-- (\w+) -->\n```sh\n(.+?)\n```\n<!-- end -->", README, re.S)
    assert [name for name, _ in marked] == ["bench", "tests"]
    for name, command in marked:
        assert "pip install -q nox" in command
        assert command.endswith(f"nox -s {name}")


def test_no_link_of_a_page_leads_nowhere():
    for page in [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
