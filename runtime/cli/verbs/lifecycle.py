"""`nn stop`, `restart`, `kill`, `pause`, `unpause`, `rm`, `wait`."""

from __future__ import annotations

from runtime.cli.connection.client import Client
from runtime.cli.connection.http import quote
from runtime.cli.flags.parser import Verb
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Query
    from runtime.cli.flags.parser import Flag, Options

_TIME: Flag = ("time|timeout", "t", "int", "SECONDS", "time to stop before it is killed; -1: wait forever")
_SIGNAL: Flag = ("signal", "s", "text", "SIGNAL", "signal to send")


def _change(client: Client, options: Options, verb: str, query: Query | None = None) -> int:
    """POST the same to every container, at once."""

    def act(name: str) -> None:
        Client(client.endpoint).post(f"/containers/{quote(name)}/{verb}", query)

    return batch.in_parallel(options.words, act)


def stop(client: Client, options: Options) -> int:
    """Stop containers."""
    return _change(client, options, "stop", _ending(options))


def restart(client: Client, options: Options) -> int:
    """Stop and start containers."""
    return _change(client, options, "restart", _ending(options))


def _ending(options: Options) -> Query:
    return {"t": options.number("time"), "signal": options.text("signal") or None}


def kill(client: Client, options: Options) -> int:
    """Send a signal to containers."""
    return _change(client, options, "kill", {"signal": options.text("signal") or None})


def pause(client: Client, options: Options) -> int:
    """Freeze containers."""
    return _change(client, options, "pause")


def unpause(client: Client, options: Options) -> int:
    """Thaw containers."""
    return _change(client, options, "unpause")


def remove(client: Client, options: Options) -> int:
    """Remove containers."""
    query: Query = {"force": options.on("force"), "v": options.on("volumes"), "link": options.on("link")}

    def act(name: str) -> None:
        Client(client.endpoint).delete(f"/containers/{quote(name.lstrip('/'))}", query)

    return batch.in_parallel(options.words, act, forced=options.on("force"))


def wait(client: Client, options: Options) -> int:
    """Wait for containers; print their exit statuses."""

    def act(name: str) -> str:
        return str(Client(client.endpoint).post(f"/containers/{quote(name)}/wait")["StatusCode"])

    return batch.in_parallel(options.words, act)


_WORDS = "CONTAINER..."
_RM_FLAGS: tuple[Flag, ...] = (
    ("force", "f", "bool", "", "kill it when it runs"),
    ("link", "l", "bool", "", "remove the link of that name, not the container"),
    ("volumes", "v", "bool", "", "remove its anonymous volumes, too"),
)
STOP = Verb(stop, _WORDS, (_TIME, _SIGNAL), least=1, most=-1, example="nn stop -t 30 web")
RESTART = Verb(restart, _WORDS, (_TIME, _SIGNAL), least=1, most=-1, example="nn restart web")
KILL = Verb(kill, _WORDS, (_SIGNAL,), least=1, most=-1, example="nn kill -s HUP web")
PAUSE = Verb(pause, _WORDS, least=1, most=-1, example="nn pause web")
UNPAUSE = Verb(unpause, _WORDS, least=1, most=-1, example="nn unpause web")
RM = Verb(remove, _WORDS, _RM_FLAGS, least=1, most=-1, example="nn rm -fv web")
WAIT = Verb(wait, _WORDS, least=1, most=-1, example="nn wait job")
