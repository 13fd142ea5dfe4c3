"""`POST /nn/run`: create, attach, start, wait and remove a container in one exchange. Only our daemon has it.

Request: `Upgrade: nn-run` and a JSON body `{"Name": "", "Platform": "", "DetachKeys": "", "Create": {…}}`.
Create is the body of `POST /containers/create`: AttachStdin, AttachStdout, AttachStderr, OpenStdin and Tty
set what is attached, HostConfig.AutoRemove whether the container is removed at its end.

Answer: an error of create or start as the API has it, `{"message": …}` with its status (404 for the image);
a container that could not be started stays only without AutoRemove. Otherwise, when the program runs, `101`
with the container's id in the header `Nn-Container`; from then on frames both ways, each with an 8 byte head
(kind, three zeros, length big-endian):

| to the client | |
|---|---|
| 1, 2 | standard output (and all of a tty), standard error |
| 4 | the end: `{"StatusCode": 0, "Error": ""}`, after the last output (and the removal, with AutoRemove) |

| to the daemon | |
|---|---|
| 0 | standard input; an empty frame is its end |
| 5 | a signal, its number in one byte |
| 6 | the terminal's size: rows and columns, two bytes each, big-endian |

Ending the connection before kind 4 detaches: the container keeps running.
"""

from runtime.docker_syntax.frames import END, RESIZE, SIGNAL, STDERR, STDIN, STDOUT, FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator


class RunExchange:
    """The client's side of the exchange, after the answer's head. status: None until the program ended."""

    signals = True
    __slots__ = ("_end", "_frames", "error", "rest", "sock", "status")

    def __init__(self, sock: "_socket.socket", rest: bytes) -> None:
        self.sock = sock
        self.rest = rest
        self.status: int | None = None
        self.error = ""
        self._frames = FrameReader()
        self._end = b""

    def split(self, data: bytes) -> "Iterator[tuple[int, memoryview]]":
        """Yield the pieces for our standard output (1) and standard error (2); keep the end's status."""
        for kind, piece, ended in self._frames.split(data):
            if kind in (STDOUT, STDERR):
                yield kind, piece
            elif kind == END:
                self._end += piece
                if ended:
                    self._read_end()
                    return

    def _read_end(self) -> None:
        if self._end.replace(b" ", b"") == b'{"StatusCode":0,"Error":""}':
            self.status = 0  # the usual end, without loading a library
            return
        from runtime.cli.connection import jsontext

        document = jsontext.loads(self._end)
        self.status, self.error = int(document["StatusCode"]), str(document.get("Error") or "")

    @property
    def over(self) -> bool:
        """Whether the end has arrived."""
        return self.status is not None

    def input(self, data: bytes) -> bytes:
        """Return the frame of input; b"" is its end."""
        return frame(STDIN, data)

    def signal(self, number: int) -> bytes:
        """Return the frame of a signal."""
        return frame(SIGNAL, bytes((number,)))

    def resize(self, rows: int, columns: int) -> bytes:
        """Return the frame of the terminal's size."""
        return frame(RESIZE, rows.to_bytes(2, "big") + columns.to_bytes(2, "big"))
