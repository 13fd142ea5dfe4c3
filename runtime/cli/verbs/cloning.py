"""`nn build URL.git[#REF[:DIR]]`: clone with the host's git, as docker's client does.

The repository is not trusted: git runs without a shell, gets no word that could be an option, does not ask
for a password and uses only the protocols that docker allows; links in the repository cannot lead out of it.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"https?://.*\.git(?:#.+)?|(?:git://|github\.com/|git@).*", re.S)
_SCHEMES = ("git://", "http://", "https://", "git@")
_WAYS = "git:http:https:ssh"
_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR",
            "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_NAMESPACE", "GIT_PREFIX")  # fmt: skip
_MOST_LINKS = 255


def is_git(context: str) -> bool:
    """Whether docker would clone this context."""
    return _URL.fullmatch(context) is not None


@contextlib.contextmanager
def cloned(url: str) -> Iterator[Path]:
    """Clone into a temporary directory; yield the directory to build in. CliError (1) if it fails."""
    remote, reference, directory = parse(url)
    found = shutil.which("git")
    if found is None or not Path(found).is_absolute():  # an empty part of PATH is the working directory
        raise CliError(
            "unable to prepare context: unable to find 'git': executable file not found in $PATH; install it",
            1,
        )
    with tempfile.TemporaryDirectory(prefix="nn-build-git") as name:
        root = Path(name).resolve()
        _clone(_Git(found, root), remote, reference)
        _contain_rules(root)
        yield _inside(root, directory)


def parse(url: str) -> tuple[str, str, str]:
    """`URL#REF:DIR` → the URL, what to check out (default `master`), the directory in it."""
    remote, _, fragment = url.partition("#")
    fragment = fragment if remote.startswith("git@") else unquote(fragment)  # scp's form is not a URL
    reference, _, directory = fragment.partition(":")
    if not remote.startswith(_SCHEMES):
        remote = f"https://{remote}"
    if reference.startswith("-") or "\0" in fragment:
        raise CliError(f"unable to prepare context: invalid refspec: {reference}", 1)
    return remote, reference or "master", directory


class _Git:
    """The command `git`, in the root of one clone."""

    def __init__(self, program: str, root: Path) -> None:
        self._program, self._root = program, root
        kept = {name: value for name, value in os.environ.items() if name not in _ANOTHER}
        self._environment = kept | {
            "GIT_ALLOW_PROTOCOL": _WAYS,
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_TERMINAL_PROMPT": "0",
        }

    def run(self, *words: str) -> str:
        """Run git; return its output when it fails, else ""."""
        done = subprocess.run(
            [self._program, *words],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        output = done.stdout.decode(errors="replace").strip()
        return (output or f"exit status {done.returncode}") if done.returncode else ""


def _clone(git: _Git, remote: str, reference: str) -> None:
    """Fetch one commit and its submodules, in docker's steps."""
    _must("failed to init repo", git.run("init"))
    _must("failed add origin repo", git.run("remote", "add", "--", "origin", remote))
    if git.run("fetch", "--depth", "1", "origin", "--", reference):
        # a server of plain files cannot send a part of the history
        _must("error fetching", git.run("fetch", "origin", "--", reference))
    failure = git.run("checkout", reference, "--")
    if failure and git.run("checkout", "FETCH_HEAD", "--"):
        _must(f"error checking out {reference}", failure)
    submodules = ("submodule", "update", "--init", "--recursive", "--depth=1")
    _must("error initializing submodules", git.run(*submodules))


def _must(step: str, failure: str) -> None:
    if failure:
        raise CliError(
            f"unable to prepare context: unable to 'git clone' to a directory: {step}: {failure}", 1
        )


def _inside(root: Path, directory: str) -> Path:
    """Return a directory of a clone; its links are followed as if the clone were the root."""
    found, rest, links = root, directory.split("/")[::-1], 0
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            found = found if found == root else found.parent
            continue
        found /= part
        if found.is_symlink():
            links += 1
            if links > _MOST_LINKS:
                break
            target = str(found.readlink())
            rest += target.split("/")[::-1]
            found = root if target.startswith("/") else found.parent
    if found.is_symlink() or not found.is_dir():
        raise CliError(
            f"unable to prepare context: error setting git context, not a directory: {directory}", 1
        )
    return found


def _contain_rules(root: Path) -> None:
    """Refuse a .dockerignore that links out of the clone: its lines could be sent."""
    for path in root.rglob("*.dockerignore"):
        if not Path(os.path.realpath(path)).is_relative_to(root):  # resolve() raises for a loop of links
            raise CliError(
                f"unable to prepare context: {path.relative_to(root)} leads out of the repository", 1
            )
