"""A program's streams over Docker's own API (attach, exec); signals and sizes go in requests of their own."""

from runtime.cli.connection.session import DetachedError
from runtime.cli.errors import CliError
from runtime.docker_syntax.frames import FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Iterator

    from runtime.cli.connection.client import Client
    from runtime.cli.connection.http import Answer


class AttachStream:
    """An attached container or started exec.

    path: `/containers/ID` or `/exec/ID`. signals: it can be sent signals. heard: its output is attached.
    """

    def __init__(
        self,
        client: "Client",
        answer: "Answer",
        path: str,
        *,
        tty: bool,
        signals: bool = True,
        heard: bool = True,
    ) -> None:
        self.sock: _socket.socket = answer.connection.sock
        self.rest = answer.connection.rest
        self.over = False
        self._client = client
        self._path = path
        self.signals = signals
        self._heard = heard
        kind = answer.headers.get("content-type", "")
        framed = "multiplexed" in kind or (not tty and "raw-stream" in kind)
        self._frames = FrameReader() if framed else None

    def split(self, data: bytes) -> "Iterator[tuple[int, memoryview]]":
        """Yield the pieces for our standard output (1) and standard error (2)."""
        if self._frames is None:
            yield 1, memoryview(data)
            return
        for kind, piece, _ in self._frames.split(data):
            if kind > 3:
                raise CliError(
                    f"read the container's output: a frame cannot begin with {kind}; see the daemon's log"
                )
            yield (1 if kind == 1 else 2), piece

    def input(self, data: bytes) -> bytes:
        """Return input unchanged; at its end shut down our half of the connection."""
        if not data:
            try:  # noqa: SIM105 - contextlib is slow to import
                self.sock.shutdown(1)
            except OSError:
                pass
            if not self._heard:
                raise DetachedError  # no output will come
        return data

    def signal(self, number: int) -> bytes:
        """Ask the daemon to send the signal."""
        if self.signals:
            self._aside("/kill", {"signal": str(number)})
        return b""

    def resize(self, rows: int, columns: int) -> bytes:
        """Ask the daemon to set the terminal's size."""
        self._aside("/resize", {"h": rows, "w": columns})
        return b""

    def _aside(self, what: str, query: "dict[str, str | int | bool | list[str] | None]") -> None:
        try:  # noqa: SIM105
            self._client.post(self._path + what, query)
        except CliError:
            pass  # the program has not started yet, or has ended
