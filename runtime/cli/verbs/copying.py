"""`nn cp`, with docker's rules: https://docs.docker.com/reference/cli/docker/container/cp/."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import sys
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from runtime.cli.connection import jsontext
from runtime.cli.connection.http import PIECE, quote
from runtime.cli.connection.session import write
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags.parser import Verb
from runtime.cli.output import units
from runtime.cli.verbs import packing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag

_DIRECTORY, _LINK = 1 << 31, 1 << 27  # Go's bits of os.FileMode
_AS_DIRECTORY = ("/", "/.")
"""Ends of a path that names a directory."""


class Place(NamedTuple):
    """One side of a copy. container: "" for this host. path: as written, with `/` or `/.` at its end."""

    container: str
    path: str


def place(text: str) -> Place:
    """`web:/etc/hosts`, `./a:b`, `-` → its place."""
    container, colon, path = text.partition(":")
    if not colon or text.startswith((".", "/")) or not container:
        return Place("", text)
    return Place(container, path or "/")


def copy(client: Client, args: CommandLine) -> int:
    """Copy between a container and this host."""
    source, target = (place(word) for word in args.words)
    if source.container and target.container:
        raise CliError("copying between containers is not supported; copy to this host first", 1)
    if not (source.container or target.container):
        raise CliError(
            "must specify at least one container source or target; write CONTAINER:PATH for one", 1
        )
    if source.container:
        count = _out(client, args, source, target.path)
    else:
        count = _in(client, args, source.path, target)
    quiet = args.on("quiet") if args.given("quiet") else not sys.stdout.isatty()
    if not quiet and "-" not in args.words:
        print(f"Successfully copied {units.size(count)} to {args.words[1]}", file=sys.stderr)
    return 0


def _archive(container: str) -> str:
    return f"/containers/{quote(container)}/archive"


def _stat_of(headers: dict[str, str]) -> dict[str, Any]:
    text = headers.get("x-docker-container-path-stat", "")
    found: dict[str, Any] = jsontext.loads(base64.b64decode(text))
    return found


def _stat(client: Client, container: str, path: str) -> dict[str, Any] | None:
    """Return the stat of a container's path, None when it does not exist."""
    try:
        answer = client.open("HEAD", _archive(container), {"path": path})
    except DaemonError as error:
        if error.code != 404:
            raise
        client.get(f"/containers/{quote(container)}/json")  # raises when the container does not exist
        return None
    client.keep(answer)
    return _stat_of(answer.headers)


def _followed(client: Client, container: str, path: str) -> str:
    """Return a path with the link at its end followed."""
    found = _stat(client, container, path)
    if found is None or not found["mode"] & _LINK or not found.get("linkTarget"):
        return path
    return str(PurePosixPath(path.rstrip("/")).parent / found["linkTarget"])


# ---- out of a container --------------------------------------------------------------------------------


def _out(client: Client, args: CommandLine, source: Place, target: str) -> int:
    path = _followed(client, source.container, source.path) if args.on("follow-link") else source.path
    answer = client.open("GET", _archive(source.container), {"path": path})
    if target == "-":
        if sys.stdout.isatty():
            raise CliError("a terminal cannot show a tar; redirect the output", 1)
        for piece in answer.pieces():
            write(1, piece)
        return 0
    directory = bool(_stat_of(answer.headers)["mode"] & _DIRECTORY)
    base, content_only = _target_of(source.path, target, directory)
    stream = packing.IteratorFile(answer.pieces())
    _unpack(stream, base, content_only=content_only, keep_owner=args.on("archive"))
    while stream.read(PIECE):  # what follows the tar's end
        pass
    return stream.count


def _target_of(source: str, target: str, directory: bool) -> tuple[Path, bool]:
    """Return the path of the tar's topmost name here, and whether only a directory's content is copied."""
    path = _link_target(Path(target))
    if path.is_dir():
        content_only = PurePosixPath(source).name in ("", ".") or source.endswith("/.")
        return (path, True) if content_only else (path / _last(source), False)
    if path.exists() and directory:
        raise CliError(f"copy {source} to {target}: cannot copy directory over a file", 1)
    if path.exists() and target.endswith(_AS_DIRECTORY):
        raise CliError(f"copy {source} to {target}: not a directory, but it ends in /", 1)
    if _needs_directory(target, directory):
        raise CliError(f"copy {source} to {target}: there is no such directory; make it first", 1)
    if not path.parent.is_dir():
        raise CliError(f"copy {source} to {target}: there is no directory {path.parent}; make it first", 1)
    return path, False


def _needs_directory(target: str, directory: bool) -> bool:
    """Whether a missing target must be an existing directory: copying one creates `new/`, but not `new/.`."""
    return target.endswith("/.") or (target.endswith("/") and not directory)


def _link_target(path: Path) -> Path:
    """Return what a link at a target's end leads to; it need not exist, and the link stays."""
    if not path.is_symlink():
        return path
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise CliError(f"copy to {path}: too many symlinks: they lead in a circle", 1)
    return target


def _last(source: str) -> str:
    return PurePosixPath(source).name


def _unpack(stream: io.RawIOBase, base: Path, *, content_only: bool, keep_owner: bool) -> None:
    """Extract a tar with `base` as its topmost name. Nothing is written outside of it."""
    try:
        with tarfile.open(fileobj=io.BufferedReader(stream, PIECE), mode="r|") as archive:
            for member in archive:
                _extract(archive, member, base, content_only, keep_owner)
    except (OSError, tarfile.TarError) as error:
        raise CliError(f"copy to {base}: {error}", 1) from error


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, base: Path, content_only: bool, keep_owner: bool
) -> None:
    if content_only and not _below_top(member.name).parts:
        return
    target = _target(base, member.name)
    if target.is_dir() and not target.is_symlink() and not member.isdir():
        raise CliError(f"copy to {target}: cannot replace a directory with a file", 1)
    if member.islnk():
        source = _target(base, member.linkname)
        target.unlink(missing_ok=True)
        os.link(source, target, follow_symlinks=False)
        return
    if target.is_symlink() or (target.exists() and not (target.is_dir() and member.isdir())):
        target.unlink()
    if not keep_owner:
        member.uid, member.gid = os.getuid(), os.getgid()
    member.uname = member.gname = ""
    member.name = target.name
    trusted = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
    archive.extract(member, target.parent, numeric_owner=True, **trusted)  # type: ignore[arg-type]


def _target(base: Path, name: str) -> Path:
    """Return the path for a name of the tar. CliError when it is outside of `base`, links followed."""
    rest = _below_top(name)
    target = base / rest
    within = base.resolve() if rest.parts else base.parent.resolve()
    if ".." in rest.parts or not target.parent.resolve().is_relative_to(within):
        raise CliError(f"copy to {base}: the tar holds {name}, which is outside; nothing more is copied", 1)
    return target


def _below_top(name: str) -> PurePosixPath:
    """Return a member's name without its topmost part, which tars of `dir/.` do not have."""
    path = PurePosixPath(name)
    parts = [part for part in path.parts if part not in ("/", ".")]
    dotted = name.startswith("./") or name == "."
    return PurePosixPath(*parts) if dotted else PurePosixPath(*parts[1:])


# ---- into a container ----------------------------------------------------------------------------------


def _in(client: Client, args: CommandLine, source: str, target: Place) -> int:
    path = _followed(client, target.container, target.path)
    found = _stat(client, target.container, path)
    directory = found is not None and bool(found["mode"] & _DIRECTORY)
    counted = Counted()
    if source == "-":
        if not directory:
            raise CliError(
                f"{target.container}:{target.path} is not a directory, where a tar could be unpacked", 1
            )
        _put(client, args, target.container, path, counted.count(_standard_input()))
        return counted.bytes
    local = _source(source, follow=args.on("follow-link"))
    where, name = _into(local, source, path, exists=found is not None, directory=directory)
    entries = packing.tree(local, name)
    _put(client, args, target.container, where, counted.count(packing.pack(entries)))
    return counted.bytes


def _source(text: str, *, follow: bool) -> Path:
    path = Path(text)
    if not path.exists() and not path.is_symlink():
        raise CliError(f"{text} does not exist here", 1)
    if text.endswith("/") and not path.is_dir():
        raise CliError(f"{text} is not a directory", 1)
    return path.resolve() if follow or text.endswith(("/", "/.")) or text in (".", "..") else path


def _into(local: Path, source: str, path: str, *, exists: bool, directory: bool) -> tuple[str, str]:
    """Return the container's directory to unpack in, and the name that the source gets there."""
    is_dir = local.is_dir() and not local.is_symlink()
    if directory:
        content_only = source.endswith("/.") or source == "."
        return path, "." if content_only else (Path(source).name or local.name)
    if exists and is_dir:
        raise CliError(f"copy {source} to {path}: cannot copy directory over a file", 1)
    if not exists and _needs_directory(path, is_dir):
        raise CliError(f"copy {source} to {path}: there is no such directory; make it first", 1)
    pure = PurePosixPath(path)
    return str(pure.parent), pure.name


def _put(client: Client, args: CommandLine, container: str, path: str, pieces: Iterator[bytes]) -> None:
    query = {
        "path": path,
        "noOverwriteDirNonDir": "true",
        "copyUIDGID": "true" if args.on("archive") else None,
    }
    headers = (("Content-Type", "application/x-tar"),)
    answer = client.open("PUT", _archive(container), query, pieces, headers)
    answer.read()
    client.keep(answer)


def _standard_input() -> Iterator[bytes]:
    with contextlib.suppress(BrokenPipeError):
        while data := os.read(0, PIECE):
            yield data


class Counted:
    """Counts the bytes of a stream."""

    def __init__(self) -> None:
        self.bytes = 0

    def count(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Yield the pieces."""
        for piece in pieces:
            self.bytes += len(piece)
            yield piece


_FLAGS: tuple[Flag, ...] = (
    ("archive", "a", "bool", "", "keep owners"),
    ("follow-link", "L", "bool", "", "follow a link at the source's end"),
    ("quiet", "q", "bool", "", "print nothing, as without a terminal"),
)
CP = Verb(copy, "SOURCE TARGET", _FLAGS, example="nn cp web:/etc/hosts . && nn cp ./site web:/srv")
