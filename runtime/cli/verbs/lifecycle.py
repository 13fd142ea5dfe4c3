"""`nn stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `wait`."""

from __future__ import annotations

from runtime.cli.connection.client import Client
from runtime.cli.connection.http import quote
from runtime.cli.flags.parser import Verb
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Query
    from runtime.cli.flags.parser import CommandLine, Flag

_TIME: Flag = (
    "time|timeout",
    "t",
    "int",
    "SECONDS",
    "time it may take to stop before KILL; -1: wait forever",
)
_SIGNAL: Flag = ("signal", "s", "text", "SIGNAL", "signal to send")


def _change(client: Client, args: CommandLine, verb: str, query: Query | None = None) -> int:
    """POST the same request for every container, in parallel."""

    def act(name: str) -> None:
        Client(client.endpoint).post(f"/containers/{quote(name)}/{verb}", query)

    return batch.in_parallel(args.words, act)


def stop(client: Client, args: CommandLine) -> int:
    """Stop containers."""
    return _change(client, args, "stop", _ending(args))


def restart(client: Client, args: CommandLine) -> int:
    """Stop and start containers."""
    return _change(client, args, "restart", _ending(args))


def _ending(args: CommandLine) -> Query:
    return {"t": args.number("time"), "signal": args.text("signal") or None}


def kill(client: Client, args: CommandLine) -> int:
    """Send a signal to containers."""
    return _change(client, args, "kill", {"signal": args.text("signal") or None})


def pause(client: Client, args: CommandLine) -> int:
    """Freeze containers."""
    return _change(client, args, "pause")


def unpause(client: Client, args: CommandLine) -> int:
    """Thaw containers."""
    return _change(client, args, "unpause")


def remove(client: Client, args: CommandLine) -> int:
    """Remove containers."""
    query: Query = {"force": args.on("force"), "v": args.on("volumes"), "link": args.on("link")}

    def act(name: str) -> None:
        Client(client.endpoint).delete(f"/containers/{quote(name.lstrip('/'))}", query)

    return batch.in_parallel(args.words, act, forced=args.on("force"))


def wait(client: Client, args: CommandLine) -> int:
    """Wait for containers; print their exit statuses."""

    def act(name: str) -> str:
        return str(Client(client.endpoint).post(f"/containers/{quote(name)}/wait")["StatusCode"])

    return batch.in_parallel(args.words, act)


_WORDS = "CONTAINER..."
_RM_FLAGS: tuple[Flag, ...] = (
    ("force", "f", "bool", "", "kill it if it runs"),
    ("link", "l", "bool", "", "remove the link of that name, not the container"),
    ("volumes", "v", "bool", "", "remove its anonymous volumes, too"),
)
STOP = Verb(stop, _WORDS, (_TIME, _SIGNAL), example="nn stop -t 30 web")
RESTART = Verb(restart, _WORDS, (_TIME, _SIGNAL), example="nn restart web")
KILL = Verb(kill, _WORDS, (_SIGNAL,), example="nn kill -s HUP web")
PAUSE = Verb(pause, _WORDS, example="nn pause web")
UNPAUSE = Verb(unpause, _WORDS, example="nn unpause web")
RM = Verb(remove, _WORDS, _RM_FLAGS, example="nn rm -fv web")
WAIT = Verb(wait, _WORDS, example="nn wait job")
