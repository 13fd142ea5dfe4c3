"""`nn logs`."""

from __future__ import annotations

from runtime.cli.connection.client import Client
from runtime.cli.connection.frames import Frames
from runtime.cli.connection.http import quote
from runtime.cli.connection.session import write
from runtime.cli.errors import CliError
from runtime.cli.flags import times
from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Query
    from runtime.cli.flags.parser import Flag, Options


def logs(client: Client, options: Options) -> int:
    """Show what a container printed, its errors on our standard error."""
    name = options.words[0]
    query: Query = {
        "stdout": True,
        "stderr": True,
        "follow": options.on("follow"),
        "timestamps": options.on("timestamps"),
        "details": options.on("details"),
        "tail": options.text("tail", "all"),
    }
    for key in ("since", "until"):
        if options.given(key):
            query[key] = times.moment("--" + key, options.text(key))
    answer = client.open("GET", f"/containers/{quote(name)}/logs", query)
    frames = Frames() if _framed(client, name, answer.headers.get("content-type", "")) else None
    for data in answer.pieces():
        if frames is None:
            write(1, data)
            continue
        for kind, piece, _ in frames.split(data):
            write(2 if kind == 2 else 1, piece)
    if frames is not None and frames.within:
        raise CliError(f"read the log of {name}: it ended within a line; see the daemon's log", 1)
    return 0


def _framed(client: Client, name: str, kind: str) -> bool:
    """Whether both streams come in one, in frames; only newer daemons say so in the content type."""
    if "multiplexed" in kind:
        return True
    return not Client(client.endpoint).get(f"/containers/{quote(name)}/json")["Config"].get("Tty")


_FLAGS: tuple[Flag, ...] = (
    ("details", "", "bool", "", "show the log's extra attributes"),
    ("follow", "f", "bool", "", "go on while it runs"),
    ("since", "", "text", "TIME", "from then on: 2026-01-31T10:00:00Z, or 10m ago"),
    ("tail", "n", "text", "N", "the last N lines"),
    ("timestamps", "t", "bool", "", "show when each line was printed"),
    ("until", "", "text", "TIME", "up to then"),
)
LOGS = Verb(logs, "CONTAINER", _FLAGS, least=1, most=1, example="nn logs -f --tail 100 web")
