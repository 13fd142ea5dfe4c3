"""`nn build URL.git[#REF[:DIR]]`: cloned here, as docker's client does, with the host's git.

Whose repository it is, is not known: git gets no shell and no word that could be an option, asks nobody for a
password, and takes no way but those of docker's; links of the repository lead nowhere outside of it.
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
    """Whether docker takes a context for a repository to clone."""
    return _URL.fullmatch(context) is not None


@contextlib.contextmanager
def cloned(url: str) -> Iterator[Path]:
    """Clone into a directory that goes in the end; yield the one to build in. CliError (1) if it fails."""
    remote, reference, directory = parse(url)
    found = shutil.which("git")
    if found is None or not Path(found).is_absolute():  # a PATH with an empty part names where we are
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
    """`URL#REF:DIR` → the URL, what to check out (`master` for want of another), the directory in it."""
    remote, _, fragment = url.partition("#")
    fragment = fragment if remote.startswith("git@") else unquote(fragment)  # scp's form is no URL
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
        """Run it; return what it says when it fails, "" else."""
        done = subprocess.run(
            [self._program, *words],
            cwd=self._root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = done.stdout.decode(errors="replace").strip()
        return (said or f"exit status {done.returncode}") if done.returncode else ""


def _clone(git: _Git, remote: str, reference: str) -> None:
    """Get one commit and its submodules, by docker's steps."""
    _must("failed to init repo", git.run("init"))
    _must("failed add origin repo", git.run("remote", "add", "--", "origin", remote))
    if git.run("fetch", "--depth", "1", "origin", "--", reference):
        # a server of plain files cannot cut the history short
        _must("error fetching", git.run("fetch", "origin", "--", reference))
    said = git.run("checkout", reference, "--")
    if said and git.run("checkout", "FETCH_HEAD", "--"):
        _must(f"error checking out {reference}", said)
    submodules = ("submodule", "update", "--init", "--recursive", "--depth=1")
    _must("error initializing submodules", git.run(*submodules))


def _must(step: str, said: str) -> None:
    if said:
        raise CliError(f"unable to prepare context: unable to 'git clone' to a directory: {step}: {said}", 1)


def _inside(root: Path, directory: str) -> Path:
    """Return a directory of a clone, whose links are followed as if the clone were all there is."""
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
    """Refuse a .dockerignore that is a link out of the clone: its lines may be sent."""
    for path in root.rglob("*.dockerignore"):
        if not Path(os.path.realpath(path)).is_relative_to(root):  # resolve() raises for a loop of links
            raise CliError(
                f"unable to prepare context: {path.relative_to(root)} leads out of the repository", 1
            )
