"""`nn run` and `nn create`."""

import posix

from runtime.cli.errors import OUR_FAILURE, CliError, DaemonError
from runtime.cli.flags import run_flags
from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine

    T = TypeVar("T")

_PULL = ("missing", "always", "never")


def run(client: "Client", args: "CommandLine") -> int:
    """Create a container and run a program in it; return the program's exit status."""
    detach = args.on("detach")
    if detach and client.private:
        raise CliError("-d: with --local a container ends with the command; leave out one of them")
    body = _prepare(args, detach, joins=not detach)
    if detach or not (body["AttachStdout"] or body["AttachStderr"]):
        return _in_steps(client, args, body, detach=detach)
    asked = {
        "Name": args.text("name"),
        "Platform": args.text("platform"),
        "DetachKeys": args.text("detach-keys"),
        "Create": body,
    }
    try:
        answer = _with_image(client, args, lambda: client.hijack("/nn/run", body=asked, kind="nn-run"))
    except DaemonError as error:
        if error.code == 404 and "page not found" in error.message.lower():
            return _in_steps(client, args, body)  # Docker's own daemon
        from runtime.cli.verbs.docker_run import failure

        raise failure(error) from None
    _note_id(args, answer.headers.get("nn-container", ""))
    from runtime.cli.connection.run_exchange import RunExchange
    from runtime.cli.connection.session import serve

    link = RunExchange(answer.connection.sock, answer.connection.rest)
    keys, proxy = args.text("detach-keys"), args.on("sig-proxy", True)
    if not serve(link, stdin=body["AttachStdin"], tty=body["Tty"], keys=keys, proxy=proxy):
        return 0
    if link.status is None:
        raise CliError(
            "the daemon's connection ended before the program did; see `nn ps -a` and the daemon's log"
        )
    if link.error:
        raise CliError(link.error, link.status or OUR_FAILURE)
    return link.status


def _in_steps(client: "Client", args: "CommandLine", body: "dict[str, Any]", *, detach: bool = False) -> int:
    """Create and start by Docker's own requests. detach: print the id, do not attach."""
    from runtime.cli.verbs import docker_run

    try:
        container = _created(client, args, body)
    except DaemonError as error:
        raise docker_run.failure(error) from None
    if detach:
        docker_run.start(client, container)
        print(container)
        return 0
    keys, proxy = args.text("detach-keys"), args.on("sig-proxy", True)
    return docker_run.run(client, container, body, keys=keys, proxy=proxy)


def _created(client: "Client", args: "CommandLine", body: "dict[str, Any]") -> str:
    """Create a container, after a pull where its image is missing; return its id."""
    from runtime.cli.verbs import docker_run

    name, platform = args.text("name"), args.text("platform")
    container = _with_image(client, args, lambda: docker_run.create(client, name, platform, body))
    _note_id(args, container)
    return container


def _prepare(args: "CommandLine", detach: bool, *, joins: bool) -> "dict[str, Any]":
    """Check what needs no daemon; return the body of create. joins: nn will attach its terminal."""
    if args.text("pull", "missing") not in _PULL:
        raise CliError(f'--pull "{args.text("pull")}": write missing, always or never')
    if detach and args.given("attach"):
        raise CliError("Conflicting options: -a and -d; leave out one of them", 1)
    terminal = joins and args.on("tty") and args.on("interactive")
    if terminal and not _is_terminal(0):
        raise CliError("the input device is not a TTY; leave out -t, or run nn in a terminal", 1)
    if terminal or args.given("detach-keys"):
        from runtime.cli.flags import flag_values

        flag_values.choose_detach_keys(args, terminal=terminal)
    path = args.text("cidfile")
    if path and _exists(path):
        raise CliError(f"--cidfile {path}: the file exists; remove it, or name another")
    body = run_flags.body(args, detach=detach)
    _warn(body["HostConfig"])
    return body


def _warn(host: "dict[str, Any]") -> None:
    """Print the warnings of docker's command."""
    import sys

    if host.get("OomKillDisable") and not host.get("Memory"):
        text = "Disabling the OOM killer on containers without setting a '-m/--memory' limit"
        print(f"WARNING: {text} may be dangerous.", file=sys.stderr)
    for address in host.get("Dns", ()):
        if address == "::1" or address.startswith("127."):
            text = f"Localhost DNS setting (--dns={address}) may fail in containers."
            print(f"WARNING: {text}", file=sys.stderr)
            break


def _is_terminal(fd: int) -> bool:
    try:
        return posix.isatty(fd)
    except OSError:
        return False


def _exists(path: str) -> bool:
    try:
        posix.stat(path)
    except OSError:
        return False
    return True


def _note_id(args: "CommandLine", container: str) -> None:
    """Write the container's id to --cidfile."""
    path = args.text("cidfile")
    if not path:
        return
    try:
        with open(path, "x", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import
            file.write(container)
    except OSError as error:
        raise CliError(f"--cidfile {path}: {error.strerror}") from error


def _with_image(client: "Client", args: "CommandLine", act: "Callable[[], T]") -> "T":
    """Do what needs an image; pull the image when it is missing, or always, as --pull asks."""
    when = args.text("pull", "missing")
    if when == "always":
        _pull(client, args)
    try:
        return act()
    except DaemonError as error:
        unfit = (
            "no such image",
            "image with reference",
        )  # the second: the image here is for another platform
        if when != "missing" or error.code != 404 or not error.message.lower().startswith(unfit):
            raise
        if not args.on("quiet"):
            import sys

            from runtime.cli.verbs.transfer import full_name

            known = full_name(args.words[0]).removeprefix("docker.io/").removeprefix("library/")
            print(f"Unable to find image '{known}' locally", file=sys.stderr)
    _pull(client, args)
    return act()


def _pull(client: "Client", args: "CommandLine") -> None:
    from runtime.cli.verbs import transfer

    transfer.pull_image(client, args.words[0], platform=args.text("platform"), quiet=args.on("quiet"))


def create(client: "Client", args: "CommandLine") -> int:
    """Create a container and print its id."""
    body = _prepare(args, False, joins=False)
    try:
        print(_created(client, args, body))
    except DaemonError as error:
        raise CliError(error.message, 1) from None
    return 0


_EXAMPLES = """nn run -it --rm debian bash
         nn run -d --name web -p 8080:80 -v www:/srv:ro --memory 256m --restart always nginx
         nn run --rm --network none --read-only --cap-drop ALL debian id"""
_USAGE = "IMAGE [COMMAND] [ARG...]"
RUN = Verb(run, _USAGE, run_flags.RUN, program=True, example=_EXAMPLES)
CREATE = Verb(
    create, _USAGE, run_flags.CREATE, program=True, example="nn create --name db -v data:/var/lib/db db"
)
