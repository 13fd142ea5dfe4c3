"""`run`, `create` and `start` by the requests that docker's command makes, for any daemon."""

from __future__ import annotations

import sys

from runtime.cli.connection.attach_stream import AttachStream
from runtime.cli.connection.session import serve
from runtime.cli.errors import CANNOT_EXECUTE, NOT_FOUND, OUR_FAILURE, CliError, DaemonError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client


def create(client: Client, name: str, platform: str, body: dict[str, Any]) -> str:
    """Make a container; return its id. DaemonError with code 404 when the image is missing."""
    made = client.post("/containers/create", {"name": name or None, "platform": platform or None}, body)
    for warning in made.get("Warnings") or ():
        print(f"WARNING: {warning}", file=sys.stderr)
    return str(made["Id"])


def start(client: Client, container: str) -> None:
    """Start it. CliError with docker's exit status when its program cannot be executed."""
    try:
        client.post(f"/containers/{container}/start")
    except DaemonError as error:
        raise failure(error) from None


def failure(error: DaemonError) -> CliError:
    """Return the error for a container that did not start, with docker's exit status."""
    text = error.message.lower()
    status = OUR_FAILURE
    if "executable file not found" in text or "no such file or directory" in text or "cannot find" in text:
        status = NOT_FOUND
    elif "permission denied" in text or "is a directory" in text or "exec format error" in text:
        status = CANNOT_EXECUTE
    return CliError(error.message, status)


def run(client: Client, container: str, body: dict[str, Any], *, keys: str, proxy: bool) -> int:
    """Attach, wait, start, in this order, so that nothing is lost; return the exit status.

    With our input alone (`-a stdin`): print the id, and end when the input has ended.
    """
    removed = bool(body["HostConfig"].get("AutoRemove"))
    waiting = Waiting(client, container, "removed" if removed else "next-exit")
    streams = {
        "stdin": body["AttachStdin"],
        "stdout": body["AttachStdout"],
        "stderr": body["AttachStderr"],
        "detachKeys": keys or None,
    }
    answer = client.hijack(f"/containers/{container}/attach", {"stream": True, **streams})
    heard = body["AttachStdout"] or body["AttachStderr"]
    if not heard:
        print(container, flush=True)
    link = AttachStream(client, answer, f"/containers/{container}", tty=body["Tty"], heard=heard)
    try:
        start(client, container)
    except CliError:
        answer.connection.close()
        raise
    served = serve(link, stdin=body["AttachStdin"], tty=body["Tty"], keys=keys, proxy=proxy)
    return waiting.status() if served else 0


class Waiting:
    """A wait for a container's end, requested before its start."""

    def __init__(self, client: Client, container: str, condition: str) -> None:
        self._answer = client.open("POST", f"/containers/{container}/wait", {"condition": condition})

    def status(self) -> int:
        """Wait for the end; return the exit status."""
        from runtime.cli.connection import jsontext

        document = jsontext.loads(self._answer.read())
        self._answer.connection.close()
        fault = (document.get("Error") or {}).get("Message")
        if fault:
            raise CliError(str(fault))
        return int(document["StatusCode"])
