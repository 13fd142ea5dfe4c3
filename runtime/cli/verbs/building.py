"""`nn build`: send the context as a tar to the daemon's classic builder."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from runtime.cli.connection import jsontext
from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import Verb
from runtime.cli.output import progress, units
from runtime.cli.verbs.build_context import from_directory, from_input, from_repository
from runtime.cli.verbs.registries import all_headers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, TextIO

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag


def build(client: Client, args: CommandLine) -> int:
    """Build an image; print the steps' output, with -q only the image's id."""
    context, file = args.words[0], args.text("file")
    query = _query(args)
    if file == "-" == context:
        raise CliError("invalid argument: can't use stdin for both build context and dockerfile", 1)
    if args.given("iidfile"):
        _write_id(args, "")
    if context == "-":
        return _send(client, args, query, *from_input(file))
    if os.path.lexists(context):
        return _send(client, args, query, *from_directory(context, file))
    from runtime.cli.verbs import cloning  # slow to import

    if cloning.is_git(context):
        with cloning.cloned(context) as root:
            return _send(client, args, query, *from_repository(root, file))
    if context.startswith(("http://", "https://")):
        query["remote"] = context
        return _send(client, args, query, None, file)
    raise CliError(
        f'unable to prepare context: path "{context}" not found; '
        "name a directory, a URL, or - for standard input",
        1,
    )


def _send(
    client: Client, args: CommandLine, query: Query, body: Iterator[bytes] | None, dockerfile: str
) -> int:
    """Send a context and the Dockerfile's name in it; show the build."""
    query["dockerfile"] = dockerfile or None
    out = io.StringIO() if args.on("quiet") else sys.stdout
    body = _with_progress(body, out) if body is not None else None
    headers = (("Content-Type", "application/x-tar"), *all_headers())
    lines = client.lines("POST", "/build", query, body, headers)
    try:
        extras = progress.follow(_identity_of(lines) if args.on("quiet") else lines, out=out)
    except CliError as error:
        if isinstance(out, io.StringIO):
            sys.stderr.write(out.getvalue())  # with -q the output is shown only when the build fails
        if any(repr(name) in error.message for name in args.many("tag")):
            raise CliError(error.message) from error  # a wrong flag, which only the daemon finds: status 125
        raise
    return _finish(args, extras)


def _with_progress(pieces: Iterator[bytes], out: TextIO) -> Iterator[bytes]:
    """Yield a context's pieces and show progress; without a terminal only the total at the end."""
    if out is sys.stdout and sys.stderr.isatty():
        yield from progress.counted(pieces, "sending build context")
        return
    done = 0
    for piece in pieces:
        yield piece
        done += len(piece)
    print(f"Sending build context to the daemon  {units.size(done)}", file=out, flush=True)


def _identity_of(lines: Iterator[progress.Message]) -> Iterator[progress.Message]:
    """Turn the stream of q=1, which is the id alone or the output of a failed build, into messages."""
    for line in lines:
        text = str(line.get("stream") or "").strip()
        yield {"aux": {"ID": text}} if text.startswith("sha256:") else line


def _finish(args: CommandLine, extras: list[progress.Message]) -> int:
    ids = [one["aux"]["ID"] for one in extras if isinstance(one["aux"], dict) and one["aux"].get("ID")]
    if args.on("quiet") and ids:
        print(ids[-1])
    if args.given("iidfile") and ids:
        _write_id(args, ids[-1])
    return 0


def _write_id(args: CommandLine, identity: str) -> None:
    """Write the image's id to --iidfile; for "" remove the file, so that a failed build leaves no old id."""
    path = Path(args.text("iidfile"))
    try:
        if identity:
            path.write_text(identity)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise CliError(f"--iidfile {path}: {error.strerror}", 1) from error


def _query(args: CommandLine) -> Query:
    """Flags → the query of `POST /build`."""
    arguments: dict[str, Any] = {}
    for text in args.many("build-arg"):
        name, equals, value = text.partition("=")
        arguments[name] = value if equals else os.environ.get(name)
    query: Query = {
        "t": args.many("tag"),
        "buildargs": jsontext.dumps(arguments) if arguments else None,
        "labels": jsontext.dumps(flag_values.labels(args.many("label"))) if args.given("label") else None,
        "cachefrom": jsontext.dumps(args.many("cache-from")) if args.given("cache-from") else None,
        "extrahosts": [flag_values.extra_host(text) for text in args.many("add-host")],
        "target": args.text("target") or None,
        "networkmode": args.text("network") or None,
        "platform": args.text("platform") or None,
        "nocache": args.on("no-cache"),
        "pull": args.on("pull"),
        "q": args.on("quiet"),
        "squash": args.on("squash"),
        "rm": "1" if args.on("rm", True) else "0",
        "forcerm": args.on("force-rm"),
        "cgroupparent": args.text("cgroup-parent") or None,
        "securityopt": args.many("security-opt"),
        "cpuperiod": args.number("cpu-period"),
        "cpuquota": args.number("cpu-quota"),
        "cpushares": args.number("cpu-shares"),
        "cpusetcpus": args.text("cpuset-cpus") or None,
        "cpusetmems": args.text("cpuset-mems") or None,
        "version": "1",
    }
    for key, name in (("memory", "memory"), ("memory-swap", "memswap"), ("shm-size", "shmsize")):
        if args.given(key):
            query[name] = flag_values.size("--" + key, args.text(key))
    if args.given("ulimit"):
        limits = [flag_values.ulimit("--ulimit", text) for text in args.many("ulimit")]
        query["ulimits"] = jsontext.dumps(limits)
    return query


_FLAGS: tuple[Flag, ...] = (
    ("add-host", "", "many", "NAME:IP", "add a line to /etc/hosts"),
    ("build-arg", "", "many", "NAME[=VALUE]", "set a variable of ARG"),
    ("cache-from", "", "many", "IMAGE", "images whose steps may be reused"),
    ("cgroup-parent", "", "text", "CGROUP", "parent cgroup of the steps"),
    ("compress", "", "bool", "", "accepted and ignored: the context is not compressed"),
    ("cpu-period", "", "int", "US", "period of the CPU quota"),
    ("cpu-quota", "", "int", "US", "CPU time in each period"),
    ("cpu-shares", "c", "int", "N", "relative weight, 1024 is usual"),
    ("cpuset-cpus", "", "text", "LIST", "cores it may run on, as in 0-1,3"),
    ("cpuset-mems", "", "text", "LIST", "memory nodes it may use"),
    ("disable-content-trust", "", "bool", "", "accepted and ignored: nn has no content trust"),
    ("file", "f", "text", "FILE", "the Dockerfile, - for standard input"),
    ("force-rm", "", "bool", "", "remove a failed step's container, too"),
    ("iidfile", "", "text", "FILE", "write the image's id to a file"),
    ("isolation", "", "text", "KIND", "only 'default' is supported"),
    ("label", "", "many", "NAME=VALUE", "set a label"),
    ("memory", "m", "text", "BYTES", "memory limit of a step"),
    ("memory-swap", "", "text", "BYTES", "limit of memory and swap together"),
    ("network", "", "text", "NETWORK", "network of RUN's containers"),
    ("no-cache", "", "bool", "", "run every step again"),
    ("platform", "", "text", "OS/ARCH", "which of an image's platforms"),
    ("pull", "", "bool", "", "get newer base images"),
    ("quiet", "q", "bool", "", "print the image's id only"),
    ("rm", "", "bool", "", "remove steps' containers (on by default)"),
    ("security-opt", "", "many", "OPTION", "security option of the steps"),
    ("shm-size", "", "text", "BYTES", "size of /dev/shm"),
    ("squash", "", "bool", "", "make one layer of all steps"),
    ("tag", "t", "many", "NAME[:TAG]", "give it a name"),
    ("target", "", "text", "STAGE", "build up to this stage"),
    ("ulimit", "", "many", "NAME=SOFT[:HARD]", "a resource limit"),
)
BUILD = Verb(build, "DIR|URL|-", _FLAGS, example="nn build -t app:1 --build-arg VERSION=2 .")
