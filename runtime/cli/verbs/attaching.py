"""`nn attach`, `nn exec`, `nn start`: join our terminal or pipes to a program that the daemon runs."""

from __future__ import annotations

import sys

from runtime.cli.connection.attach_stream import AttachStream
from runtime.cli.connection.http import quote
from runtime.cli.connection.session import serve
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import Verb
from runtime.cli.flags.run_flags import environment
from runtime.cli.verbs import batch, docker_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag

_KEYS: Flag = ("detach-keys", "", "text", "KEYS", "keys to detach, as in ctrl-p,ctrl-q")
_PROXY: Flag = ("sig-proxy", "", "bool", "", "pass signals on (on by default)")


def _need_terminal(stdin: bool, tty: bool) -> None:
    if stdin and tty and not sys.stdin.isatty():
        raise CliError("the input device is not a TTY; leave out -t, or run nn in a terminal", 1)


def attach(client: Client, args: CommandLine) -> int:
    """Join a running container; return its exit status if it ends meanwhile, else 0."""
    name = args.words[0]
    found = client.get(f"/containers/{quote(name)}/json")
    state = found["State"]
    if not state["Running"]:
        raise CliError(f"You cannot attach to a stopped container, start it first: nn start -ai {name}", 1)
    if state.get("Paused"):
        raise CliError(f"You cannot attach to a paused container, unpause it first: nn unpause {name}", 1)
    if state.get("Restarting"):
        raise CliError("You cannot attach to a restarting container, wait until it is running", 1)
    stdin = bool(found["Config"].get("OpenStdin")) and not args.on("no-stdin")
    return _attached(client, args, found, stdin=stdin, begin=False)


def _attached(client: Client, args: CommandLine, found: dict[str, Any], *, stdin: bool, begin: bool) -> int:
    """Attach to a container, start it if `begin`, and serve it to its end."""
    container, tty = found["Id"], bool(found["Config"].get("Tty"))
    _need_terminal(stdin, tty)
    flag_values.choose_detach_keys(args, terminal=stdin and tty)
    keys = args.text("detach-keys")
    waiting = docker_run.Waiting(client, container, _until(found, begin))
    query = {"stream": True, "stdin": stdin, "stdout": True, "stderr": True, "detachKeys": keys or None}
    answer = client.hijack(f"/containers/{container}/attach", query)
    if begin:
        docker_run.start(client, container)
    link = AttachStream(client, answer, f"/containers/{container}", tty=tty)
    proxy = args.on("sig-proxy", True)
    return waiting.status() if serve(link, stdin=stdin, tty=tty, keys=keys, proxy=proxy) else 0


def _until(found: dict[str, Any], begin: bool) -> str:
    if not begin:
        return "not-running"
    return "removed" if found.get("HostConfig", {}).get("AutoRemove") else "next-exit"


def start(client: Client, args: CommandLine) -> int:
    """Start containers; with -a or -i, one and attached."""
    if args.on("attach") or args.on("interactive"):
        if len(args.words) != 1:
            raise CliError("you cannot start and attach multiple containers at once; name one", 1)
        found = client.get(f"/containers/{quote(args.words[0])}/json")
        stdin = args.on("interactive") and bool(found["Config"].get("OpenStdin"))
        return _attached(client, args, found, stdin=stdin, begin=not found["State"]["Running"])
    if client.private:
        raise CliError("start: with --local a container ends with the command; give -a or -i")
    return batch.in_order(args.words, lambda name: client.post(f"/containers/{quote(name)}/start"))


def execute(client: Client, args: CommandLine) -> int:
    """Run a program in a running container; return its exit status."""
    detach, tty = args.on("detach"), args.on("tty")
    stdin = args.on("interactive") and not detach
    _need_terminal(stdin, tty)
    flag_values.choose_detach_keys(args, terminal=stdin and tty)
    made = client.post(f"/containers/{quote(args.words[0])}/exec", body=_exec_body(args, stdin, detach))
    path = f"/exec/{made['Id']}"
    if detach:
        client.post(path + "/start", body={"Detach": True, "Tty": tty})
        return 0
    body: dict[str, Any] = {"Detach": False, "Tty": tty}
    if tty:
        from runtime.cli.connection import terminal

        if size := terminal.size():
            body["ConsoleSize"] = size
    try:
        answer = client.hijack(path + "/start", body=body)
    except DaemonError as error:
        known = docker_run.failure(error)
        raise CliError(error.message, known.status if known.status != 125 else 1) from None
    link = AttachStream(client, answer, path, tty=tty, signals=False)
    if not serve(link, stdin=stdin, tty=tty, keys=args.text("detach-keys")):
        return 0
    return int(client.get(path + "/json")["ExitCode"] or 0)


def _exec_body(args: CommandLine, stdin: bool, detach: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "AttachStdin": stdin,
        "AttachStdout": not detach,
        "AttachStderr": not detach,
        "Cmd": args.words[1:],
        "Tty": args.on("tty"),
        "Privileged": args.on("privileged"),
        "DetachKeys": args.text("detach-keys"),
        "User": args.text("user"),
        "WorkingDir": args.text("workdir"),
    }
    if args.given("env") or args.given("env-file"):
        body["Env"] = environment(args)
    return body


_EXEC_FLAGS: tuple[Flag, ...] = (
    ("detach", "d", "bool", "", "run it in the background"),
    _KEYS,
    ("env", "e", "many", "NAME[=VALUE]", "set a variable"),
    ("env-file", "", "many", "FILE", "set variables, one a line"),
    ("interactive", "i", "bool", "", "keep standard input open"),
    ("privileged", "", "bool", "", "give it all rights"),
    ("tty", "t", "bool", "", "give it a terminal"),
    ("user", "u", "text", "USER[:GROUP]", "names from the image, or numbers"),
    ("workdir", "w", "text", "DIR", "working directory"),
)
_START_FLAGS: tuple[Flag, ...] = (
    ("attach", "a", "bool", "", "attach to its output and signals, exit with its status"),
    ("interactive", "i", "bool", "", "attach standard input, too"),
    _KEYS,
    _PROXY,
)
_ATTACH_FLAGS: tuple[Flag, ...] = (
    ("no-stdin", "", "bool", "", "do not attach standard input"),
    _KEYS,
    _PROXY,
)
ATTACH = Verb(attach, "CONTAINER", _ATTACH_FLAGS, example="nn attach web")
EXEC = Verb(execute, "CONTAINER COMMAND [ARG...]", _EXEC_FLAGS, program=True, example="nn exec -it web sh")
START = Verb(start, "CONTAINER...", _START_FLAGS, example="nn start -ai shell")
