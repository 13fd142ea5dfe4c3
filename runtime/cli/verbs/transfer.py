"""`nn pull`, `push`, `save`, `load`, `import`, `export`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from runtime.cli.connection.http import PIECE, quote
from runtime.cli.connection.session import write
from runtime.cli.errors import CliError
from runtime.cli.flags.parser import QUIET, Verb
from runtime.cli.output import progress, units
from runtime.cli.verbs.images import split_tag
from runtime.cli.verbs.registries import header, host_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag

_NO_AUTH = (("X-Registry-Auth", "e30="),)  # {}: docker's daemon requires the header
_BYTES = (("Content-Type", "application/x-tar"),)


# ---- registries --------------------------------------------------------------------------------------------


def pull(client: Client, args: CommandLine) -> int:
    """Pull an image."""
    name = args.words[0]
    if args.on("all-tags") and split_tag(name)[1]:
        raise CliError(f"-a pulls every tag, but {name} names one; leave out one of them", 1)
    quiet = args.on("quiet")
    if not split_tag(name)[1] and not args.on("all-tags") and not quiet:
        print("Using default tag: latest")
    pull_image(client, name, platform=args.text("platform"), quiet=quiet, every=args.on("all-tags"), out=1)
    print(full_name(name, tagged=not args.on("all-tags")))
    return 0


def pull_image(
    client: Client, name: str, *, platform: str = "", quiet: bool = False, every: bool = False, out: int = 2
) -> None:
    """Pull an image; show progress on standard output or (out=2) standard error."""
    repository, tag = split_tag(name)
    query: Query = {
        "fromImage": repository,
        "tag": None if every else tag or "latest",
        "platform": platform or None,
    }
    lines = client.lines("POST", "/images/create", query, headers=header(name))
    stream = sys.stdout if out == 1 else sys.stderr
    extras = progress.follow(lines, quiet=quiet, out=stream)
    if not quiet:
        stream.writelines(travelled(extras))


def full_name(name: str, *, tagged: bool = True) -> str:
    """`debian` → `docker.io/library/debian:latest`."""
    repository, tag = split_tag(name)
    if not host_of(repository):
        repository = f"docker.io/{'' if '/' in repository else 'library/'}{repository}"
    if not tagged:
        return repository
    return f"{repository}@{tag}" if ":" in tag else f"{repository}:{tag or 'latest'}"


def push(client: Client, args: CommandLine) -> int:
    """Push an image."""
    name = args.words[0]
    repository, tag = split_tag(name)
    every, quiet = args.on("all-tags"), args.on("quiet")
    if every and tag:
        raise CliError(f"-a pushes every tag, but {name} names one; leave out one of them", 1)
    if not tag and not every and not quiet:
        print("Using default tag: latest")
    query: Query = {"tag": None if every else tag or "latest", "platform": args.text("platform") or None}
    path = f"/images/{quote(repository, b'/:')}/push"
    lines = client.lines("POST", path, query, headers=header(name) or _NO_AUTH)
    extras = progress.follow(lines, quiet=quiet)
    if quiet:
        print(full_name(name, tagged=not every))
    else:
        sys.stdout.writelines(travelled(extras))
    return 0


def travelled(extras: Iterable[progress.Message]) -> Iterator[str]:
    """Yield what each pull or push moved, as our daemon reports: `Received 60MB: 2 blobs; 1 was here`."""
    for extra in extras:
        found = extra["aux"].get("Transfer") if isinstance(extra["aux"], dict) else None
        if not found:
            continue
        way, place = ("Sent", "there") if found["sent"] > found["received"] else ("Received", "here")
        size = units.size(max(found["sent"], found["received"]), 3)
        parts = [f"{found['moved']} blob{'s' if found['moved'] != 1 else ''}"]
        parts += [f"{found['present']} {'was' if found['present'] == 1 else 'were'} {place}"] * bool(
            found["present"]
        )
        parts += [f"{found['mounted']} mounted from another repository"] * bool(found["mounted"])
        yield f"{way} {size}: {'; '.join(parts)}\n"


# ---- files -------------------------------------------------------------------------------------------------


def save(client: Client, args: CommandLine) -> int:
    """Write images to a file."""
    _check_output(args)
    query: Query = {"names": args.words, "platform": args.text("platform") or None}
    answer = client.open("GET", "/images/get", query)
    return _keep(args, answer.pieces(), "saving")


def export(client: Client, args: CommandLine) -> int:
    """Write a container's files to a file."""
    _check_output(args)
    answer = client.open("GET", f"/containers/{quote(args.words[0])}/export")
    return _keep(args, answer.pieces(), "exporting")


def _check_output(args: CommandLine) -> None:
    if not args.text("output") and sys.stdout.isatty():
        raise CliError("cowardly refusing to save to a terminal; use the -o flag or redirect the output", 1)


def _keep(args: CommandLine, pieces: Iterable[bytes], what: str) -> int:
    """Write a stream to -o FILE, which appears when it is complete, or to standard output."""
    target = args.text("output")
    if not target:
        for piece in pieces:
            write(1, piece)
        return 0
    path = Path(target)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb", buffering=0) as file:
            for piece in progress.counted(pieces, f"{what} {target}"):
                write(file.fileno(), piece)
        temporary.replace(path)
    except OSError as error:
        raise CliError(f"write {target}: {error.strerror}", 1) from error
    finally:
        temporary.unlink(missing_ok=True)
    return 0


def load(client: Client, args: CommandLine) -> int:
    """Load images that save wrote."""
    source = args.text("input")
    if not source and sys.stdin.isatty():
        raise CliError(
            "requested load from stdin, but stdin is empty: give -i FILE, or redirect the input", 1
        )
    quiet = args.on("quiet")
    query: Query = {"quiet": "1" if quiet or not sys.stdout.isatty() else "0"}
    body = progress.counted(read(source or "-"), "loading", size_of(source), quiet=quiet)
    progress.follow(client.lines("POST", "/images/load", query, body, _BYTES))
    return 0


def import_tar(client: Client, args: CommandLine) -> int:
    """Make an image from a tar, a directory or a URL; print its id."""
    source, *target = args.words
    repository, tag = split_tag(target[0]) if target else ("", "")
    remote = source.startswith(("http://", "https://"))
    query: Query = {
        "fromSrc": source if remote else "-",
        "repo": repository or None,
        "tag": tag or None,
        "message": args.text("message") or None,
        "changes": args.many("change"),
        "platform": args.text("platform") or None,
    }
    body: Iterator[bytes] | None = None
    if not remote:
        body = progress.counted(read(source), f"importing {source}", size_of(source))
    progress.follow(client.lines("POST", "/images/create", query, body, () if remote else _BYTES))
    return 0


def size_of(source: str) -> int | None:
    """Return a file's size in bytes, None when it is unknown."""
    path = Path(source or "-")
    return path.stat().st_size if path.is_file() else None


def read(source: str) -> Iterator[bytes]:
    """Yield a file, standard input (`-`), or a directory as a tar. CliError when it cannot be opened."""
    if source != "-" and Path(source).is_dir():
        from runtime.cli.verbs import packing

        root = Path(source)
        return packing.pack((path, name.removeprefix("./") or ".") for path, name in packing.tree(root, "."))
    try:
        fd = 0 if source == "-" else os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CliError(f"read {source}: {error.strerror}", 1) from error
    return _read(fd)


def _read(fd: int) -> Iterator[bytes]:
    try:
        while data := os.read(fd, PIECE):
            yield data
    finally:
        if fd:
            os.close(fd)


_PLATFORM: Flag = ("platform", "", "text", "OS/ARCH", "which of an image's platforms")
_ALL: Flag = ("all-tags", "a", "bool", "", "every tag of the repository")
_TRUST: Flag = ("disable-content-trust", "", "bool", "", "accepted and ignored: nn has no content trust")
_OUTPUT: Flag = ("output", "o", "text", "FILE", "write to a file, not to standard output")
_IMPORT_FLAGS: tuple[Flag, ...] = (
    ("change", "c", "many", "LINE", "a Dockerfile instruction, as in 'CMD [\"sh\"]'"),
    ("message", "m", "text", "TEXT", "a comment"),
    _PLATFORM,
)
_LOAD_FLAGS: tuple[Flag, ...] = (("input", "i", "text", "FILE", "read a file, not standard input"), QUIET)
PULL = Verb(pull, "IMAGE[:TAG]", (_ALL, _TRUST, _PLATFORM, QUIET), example="nn pull debian:12")
PUSH = Verb(push, "IMAGE[:TAG]", (_ALL, _TRUST, _PLATFORM, QUIET), example="nn push 127.0.0.1:5000/app:1")
SAVE = Verb(save, "IMAGE...", (_OUTPUT, _PLATFORM), example="nn save -o app.tar app:1 app:2")
LOAD = Verb(load, "", _LOAD_FLAGS, example="nn load -i app.tar")
IMPORT = Verb(import_tar, "FILE|DIR|URL|- [NAME[:TAG]]", _IMPORT_FLAGS, example="nn import rootfs.tar debian")
EXPORT = Verb(export, "CONTAINER", (_OUTPUT,), example="nn export -o web.tar web")
