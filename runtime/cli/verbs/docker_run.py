"""`run`, `create` and `start` in the API's own requests, as docker makes them, for any daemon."""

from __future__ import annotations

import sys

from runtime.cli.connection.attach_stream import Attached
from runtime.cli.connection.session import serve
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.verbs.running import failure, note_id, with_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Options


def create(client: Client, options: Options, body: dict[str, Any]) -> str:
    """Make a container; return its id. DaemonError with code 404 when the image is missing."""
    query = {"name": options.text("name") or None, "platform": options.text("platform") or None}
    made = client.post("/containers/create", query, body)
    for warning in made.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    note_id(options, made["Id"])
    return str(made["Id"])


def start(client: Client, container: str) -> None:
    """Start it. CliError with docker's exit status when its program cannot be executed."""
    try:
        client.post(f"/containers/{container}/start")
    except DaemonError as error:
        raise failure(error) from None


def run(client: Client, options: Options, body: dict[str, Any]) -> int:
    """Create, attach, wait, start, in this order, so that nothing is lost; return the exit status.

    With our input alone (`-a stdin`): print the id, and go when the input has ended.
    """
    try:
        container = with_image(client, options, lambda: create(client, options, body))
    except DaemonError as error:
        raise failure(error) from None
    removed = bool(body["HostConfig"].get("AutoRemove"))
    waiting = Waiting(client, container, "removed" if removed else "next-exit")
    streams = {
        "stdin": body["AttachStdin"],
        "stdout": body["AttachStdout"],
        "stderr": body["AttachStderr"],
        "detachKeys": options.text("detach-keys") or None,
    }
    answer = client.hijack(f"/containers/{container}/attach", {"stream": True, **streams})
    heard = body["AttachStdout"] or body["AttachStderr"]
    if not heard:
        print(container, flush=True)
    link = Attached(client, answer, f"/containers/{container}", tty=body["Tty"], heard=heard)
    try:
        start(client, container)
    except CliError:
        answer.wire.close()
        raise
    return waiting.status() if serve(link, options, stdin=body["AttachStdin"], tty=body["Tty"]) else 0


class Waiting:
    """A wait that was asked for before the container is started."""

    def __init__(self, client: Client, container: str, condition: str) -> None:
        self._answer = client.open("POST", f"/containers/{container}/wait", {"condition": condition})

    def status(self) -> int:
        """Return the exit status when it has come."""
        from runtime.cli.connection import jsontext

        document = jsontext.loads(self._answer.read())
        self._answer.wire.close()
        fault = (document.get("Error") or {}).get("Message")
        if fault:
            raise CliError(str(fault))
        return int(document["StatusCode"])
