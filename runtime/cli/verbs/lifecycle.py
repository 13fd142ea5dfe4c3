"""`nn stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `wait`."""

from __future__ import annotations

from runtime.cli.connection.client import Client
from runtime.cli.connection.http import quote
from runtime.cli.flags.parser import Verb
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

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


def _each(
    verb: str, query: Callable[[CommandLine], Query] = lambda _: {}
) -> Callable[[Client, CommandLine], int]:
    """Return what POSTs the same request for every container, in parallel."""

    def run(client: Client, args: CommandLine) -> int:
        asked = query(args)

        def act(name: str) -> None:
            Client(client.endpoint).post(f"/containers/{quote(name)}/{verb}", asked)

        return batch.in_parallel(args.words, act)

    return run


def _signal(args: CommandLine) -> Query:
    return {"signal": args.text("signal") or None}


def _ending(args: CommandLine) -> Query:
    return {"t": args.number("time"), **_signal(args)}


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
STOP = Verb(_each("stop", _ending), _WORDS, (_TIME, _SIGNAL), example="nn stop -t 30 web")
RESTART = Verb(_each("restart", _ending), _WORDS, (_TIME, _SIGNAL), example="nn restart web")
KILL = Verb(_each("kill", _signal), _WORDS, (_SIGNAL,), example="nn kill -s HUP web")
PAUSE = Verb(_each("pause"), _WORDS, example="nn pause web")
UNPAUSE = Verb(_each("unpause"), _WORDS, example="nn unpause web")
RM = Verb(remove, _WORDS, _RM_FLAGS, example="nn rm -fv web")
WAIT = Verb(wait, _WORDS, example="nn wait job")
