"""The context that `nn build` sends: a directory without what .dockerignore names, or standard input."""

from __future__ import annotations

import itertools
import os
import secrets
import sys
from pathlib import Path

from runtime.cli.errors import CliError
from runtime.cli.verbs import packing
from runtime.cli.verbs.transfer import read
from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.ignore import Fits, Ignored
from runtime.docker_syntax.ignore import read as read_patterns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def from_directory(context: str, file: str) -> tuple[Iterator[bytes], str]:
    """Return the tar of a directory and the Dockerfile's name in it."""
    root = Path(context)
    if not root.is_dir():
        raise CliError(
            f"unable to prepare context: context must be a directory: {context}; "
            "or name a URL, or - for standard input",
            1,
        )
    if file == "-":
        return _with_dockerfile(root, sys.stdin.buffer.read())
    dockerfile = Path(file) if file else _usual(root)
    if file and not dockerfile.is_file() and (root / file).is_file():
        dockerfile = root / file
    name = _within(root, dockerfile)
    return _with_dockerfile(root, dockerfile.read_bytes()) if name is None else _packed(root, name)


def from_repository(root: Path, file: str) -> tuple[Iterator[bytes], str]:
    """The same for a clone; its Dockerfile has to be inside it."""
    if file == "-":
        return _with_dockerfile(root, sys.stdin.buffer.read())
    name = _within(root, root / file if file else _usual(root))
    if name is None:
        raise CliError(
            f"unable to prepare context: the Dockerfile ({file}) must be within the build context", 1
        )
    return _packed(root, name)


def _usual(root: Path) -> Path:
    """Return the Dockerfile when -f does not name one; docker accepts `dockerfile`, too."""
    small = root / "dockerfile"
    return small if small.exists() and not os.path.lexists(root / "Dockerfile") else root / "Dockerfile"


def _within(root: Path, dockerfile: Path) -> str | None:
    """Return the Dockerfile's name in a context, None when it is outside."""
    whole, top = Path(os.path.realpath(dockerfile)), root.resolve()
    inside = whole.is_relative_to(top)
    if not whole.is_file():
        raise CliError(f"there is no Dockerfile {dockerfile}; name another with -f FILE", 1)
    return whole.relative_to(top).as_posix() if inside else None


def _packed(root: Path, name: str) -> tuple[Iterator[bytes], str]:
    return packing.pack(context_files(root, rules(root, name)), root_owned=True), name


def _with_dockerfile(root: Path, data: bytes) -> tuple[Iterator[bytes], str]:
    """Return a context with a Dockerfile from elsewhere: first, under a free name that is not copied."""
    name = f".dockerfile.{secrets.token_hex(8)}"
    files = (one for one in context_files(root, rules(root, name)) if one[1] != ".dockerignore")
    path = root / ".dockerignore"
    text = (path.read_bytes() if path.is_file() else b".dockerignore") + f"\n{name}\n".encode()
    added = itertools.chain(packing.single(name, data), packing.single(".dockerignore", text))
    return itertools.chain(added, packing.pack(files, root_owned=True)), name


def from_input(file: str) -> tuple[Iterator[bytes], str]:
    """Return what standard input has: an archive, by its first bytes, or a Dockerfile without a context."""
    pieces = read("-")
    first = b""
    for piece in pieces:
        first += piece
        if len(first) >= 512:
            break
    packed = first.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"))
    if packed or first[257:262] == b"ustar":
        return itertools.chain((first,), pieces), file or "Dockerfile"
    if file:
        raise CliError("ambiguous Dockerfile source: both stdin and flag correspond to Dockerfiles", 1)
    text = first + b"".join(pieces)
    return itertools.chain(packing.single("Dockerfile", text), (bytes(2 * 512),)), "Dockerfile"


# ---- files -----------------------------------------------------------------------------------------------


def rules(root: Path, dockerfile: str) -> Ignored:
    """Return the rules of DOCKERFILE.dockerignore, or else of .dockerignore.

    The daemon needs both files, so they are always sent; it removes them if a rule names them.
    """
    paths = (root / f"{dockerfile}.dockerignore", root / ".dockerignore")
    text = next((path.read_text("utf-8", "surrogateescape") for path in paths if path.is_file()), "")
    try:
        patterns = read_patterns(text)
        for name in (".dockerignore", dockerfile):
            if Ignored(patterns)(name):
                patterns.append(f"!{name}")
        return Ignored(patterns)
    except MalformedError as error:
        raise CliError(f".dockerignore: {error}", 1) from error


def context_files(root: Path, ignored: Ignored) -> Iterator[tuple[Path, str]]:
    """Yield the files of a directory to send, as (path, name), sorted."""
    yield from _below(root, "", ignored, None)


def _below(directory: Path, base: str, ignored: Ignored, above: Fits | None) -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise CliError(f"read {directory}: {error.strerror}", 1) from error
    for entry in entries:
        name = f"{base}{entry.name}"
        skipped, fits = ignored.judge(name, above)
        if not skipped:
            yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False) and (not skipped or ignored.may_hold(name)):
            yield from _below(Path(entry.path), f"{name}/", ignored, fits)
