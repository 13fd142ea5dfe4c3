"""What the prose promises: verbs are documented, errors have headings, the README holds two commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.error_templates import OWN, all_messages, lacks_a_cure, matches
from tests.paths import REPOSITORY

WALK = (REPOSITORY / "docs" / "cli.md").read_text()
README = (REPOSITORY / "README.md").read_text()
PAGES = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]


def verbs(module: str) -> set[str]:
    """The verbs a command line offers, by its own help."""
    shown = subprocess.run(
        [sys.executable, "-m", module, "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^[│ ]{1,4}([a-z]+) {2,}\S", shown, re.M)) - {"positional"}


@pytest.mark.programs
@pytest.mark.parametrize(("module", "command"), [("bench", "ninetynine"), ("runtime.cli.start.nn", "nn")])
def test_every_verb_is_in_the_walk_through(module: str, command: str):
    offered = verbs(module)
    assert len(offered) >= 5, f"the help of {command} was not understood: {offered}"
    missing = {verb for verb in offered if not re.search(rf"{command}\b.* {verb}\b", WALK)}
    assert not missing, f"docs/cli.md shows no {command} {sorted(missing)}"


ERRORS = re.findall(r"^#{3,4} `(.+)`$", (REPOSITORY / "docs" / "errors.md").read_text(), re.M)


@pytest.mark.parametrize("heading", ERRORS)
def test_every_heading_of_the_page_of_errors_is_part_of_a_message(heading: str):
    assert any(matches(heading, message) for message in all_messages()), "remove the heading, or correct it"


@pytest.mark.parametrize("kind", OWN)
def test_the_commands_own_errors_say_what_to_do(kind: str):
    own = [message for message, kinds in all_messages().items() if kind in kinds]
    assert own, f"nothing raises {kind}; correct OWN"
    bare = [one for one in own if lacks_a_cure(one) and not any(matches(heading, one) for heading in ERRORS)]
    assert not bare, "end these with `; what to do`, or give them a heading in docs/errors.md"


def test_the_readme_has_exactly_the_two_commands_and_each_installs_nox():
    marked = re.findall(r"<!-- (\w+) -->\n```sh\n(.+?)\n```\n<!-- end -->", README, re.S)
    assert [name for name, _ in marked] == ["bench", "tests"]
    for name, command in marked:
        assert "pip install -q nox" in command
        assert command.endswith(f"nox -s {name}")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_no_link_of_a_page_leads_nowhere():
    for page in PAGES:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
            aim = page.parent / target if target else page
            assert aim.exists(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors(aim), f"{page.name} links to {target}#{anchor}"


def prose(page: Path) -> str:
    """A page without its blocks of code, which may make files of their own."""
    return re.sub(r"^```.*?^```", "", page.read_text(), flags=re.S | re.M)


def test_pages_name_only_files_that_are_there():
    roots = [REPOSITORY / one for one in ("bench", "runtime", "vm", "reports", "tests")]
    paths = [f"/{path.relative_to(REPOSITORY)}" for root in roots for path in (root, *root.rglob("*"))]
    paths += [f"/{path.name}" for pattern in ("*.toml", "*.py") for path in REPOSITORY.glob(pattern)]
    gone = {
        (page.name, name)
        for page in PAGES
        for name in re.findall(r"[`( ]([a-z_0-9/]+\.(?:py|c|toml))\b(?!/)", prose(page))
        if page.name != "CHANGELOG.md" and not any(path.endswith(f"/{name}") for path in paths)
    }
    folders = re.findall(r"`([a-z_0-9/]+)/`", (REPOSITORY / "ARCHITECTURE.md").read_text())
    assert len(folders) > 20
    gone |= {
        ("ARCHITECTURE.md", one) for one in folders if not any(path.endswith(f"/{one}") for path in paths)
    }
    assert not gone
