"""`POST /nn/run`: create, attach, start, wait and remove a container in one exchange. Only our daemon has it.

Request: `Upgrade: nn-run` and a JSON body `{"Name": "", "Platform": "", "DetachKeys": "", "Create": {…}}`.
Create is the body of `POST /containers/create`: its AttachStdin, AttachStdout, AttachStderr, OpenStdin and
Tty say what to attach, its HostConfig.AutoRemove whether it goes at the end.

Answer: an error of create or start as the API has it, `{"message": …}` with its status (404 for the image);
a container that could not be started stays only without AutoRemove. Otherwise `101`, with the container's id
in the header `Nn-Container`, once the program runs; from then on frames both ways, each an 8 byte head (kind,
three zeros, length big-endian):

| to the client | |
|---|---|
| 1, 2 | standard output (and all of a tty), standard error |
| 4 | the end: `{"StatusCode": 0, "Error": ""}`, after the last output (and the removal, with AutoRemove) |

| to the daemon | |
|---|---|
| 0 | standard input; without payload its end |
| 5 | a signal, its number in one byte |
| 6 | the terminal's size: rows and columns, two bytes each, big-endian |

A connection that ends before kind 4 is a detach: the container goes on.
"""

from runtime.docker_syntax.frames import END, RESIZE, SIGNAL, STDERR, STDIN, STDOUT, FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator


class RunExchange:
    """Our side of the exchange, after the answer's head. status: None before the end has come."""

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
        """Yield what is for our output (1) and error output (2), and take the end."""
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
            self.status = 0  # without loading a library for it
            return
        from runtime.cli.connection import jsontext

        document = jsontext.loads(self._end)
        self.status, self.error = int(document["StatusCode"]), str(document.get("Error") or "")

    @property
    def over(self) -> bool:
        """Whether all has come."""
        return self.status is not None

    def input(self, data: bytes) -> bytes:
        """Input, b"" for its end."""
        return frame(STDIN, data)

    def signal(self, number: int) -> bytes:
        """A signal."""
        return frame(SIGNAL, bytes((number,)))

    def resize(self, rows: int, columns: int) -> bytes:
        """The terminal's size."""
        return frame(RESIZE, rows.to_bytes(2, "big") + columns.to_bytes(2, "big"))
