"""A daemon whose part a test plays, in the frames of `nn run`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

from runtime.docker_syntax.frames import END, frame
from tests.runtime.tiny_server import Request, TinyServer, on_unix

END_0 = frame(END, b'{"StatusCode": 0, "Error": ""}')


def end(status: int, error: str = "") -> bytes:
    return frame(END, json.dumps({"StatusCode": status, "Error": error}).encode())


def read_frame(request: Request) -> tuple[int, bytes]:
    head = exactly(request, 8)
    return head[0], exactly(request, int.from_bytes(head[4:], "big"))


def exactly(request: Request, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = request.sock.recv(size - len(data))
        if not more:
            raise ConnectionError
        data += more
    return data


Play = Callable[[Request], None]


class PlayedDaemon:
    """A server that does what a test plays, at the routes that it has a play for."""

    def __init__(self, path: Path) -> None:
        self.play: dict[str, Play] = {}
        self.over = threading.Event()
        self.server: TinyServer = on_unix(path, self._answer)
        self.host = f"unix://{path}"

    def _answer(self, request: Request) -> None:
        play = self.play.get(f"{request.method} {request.path}")
        if play is None:
            request.reply('{"message":"page not found"}', 404)
        else:
            play(request)

    def run(self, play: Play) -> None:
        def upgraded(request: Request) -> None:
            request.upgrade(Nn_Container="c" * 64)
            play(request)

        self.play["POST /nn/run"] = upgraded
