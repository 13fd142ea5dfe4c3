"""A container's log in the format of Docker's json-file: `{"log":"text\\n","stream":"stdout","time":"…"}`.

An unfinished line is written too, as an entry without `\\n` that the next entry of its stream continues: what
was read from the program is on disk a moment later, so a killed daemon loses nothing.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import re
import time
from collections.abc import Mapping
from json.encoder import encode_basestring
from pathlib import Path

import msgspec

from runtime.docker_syntax.log_options import LogOptions
from runtime.docker_syntax.times import text_of
from runtime.engine.errors import EngineError
from runtime.engine.service.stdio.log_spool import Intake
from runtime.spawn.errnos import errno_text

log = logging.getLogger(__name__)

_NAMES = {1: "stdout", 2: "stderr"}
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_SHORT = 32
_MOST_FILES, _MOST_BEHIND = 200, 16 << 20
"""Number and bytes of rotated files that are kept for readers that are behind."""
_encode = msgspec.json.Encoder().encode


def entries(name: str, text: str, time_text: str, attrs: bytes = b"") -> bytes:
    """Return `text` as entries, one a line; all have the same time. attrs: `,"attrs":{…}` or nothing."""
    tail = b'","stream":"%b"%b,"time":"%b"}\n' % (name.encode(), attrs, time_text.encode())
    if "\\" in text:  # then an escaped text does not show where its lines end
        return b"".join(b'{"log":' + _encode(line)[:-1] + tail for line in _LINES.findall(text))
    ends = text.count("\n")
    body = _quoted(text)[1:-1]
    last = body.endswith(b"\\n")
    between = b"\\n" + tail + b'{"log":"'
    body = body[: len(body) - 2 * last]
    if ends * _SHORT < len(text):  # each is the faster way for its kind of text
        body = between.join(body.split(b"\\n")) if ends > last else body
    else:
        body = body.replace(b"\\n", between)
    return b'{"log":"' + body + b"\\n" * last + tail


def _quoted(text: str) -> bytes:
    """Return a text as JSON. msgspec is slow where nearly all has to be escaped, as in a file of zeros."""
    return encode_basestring(text).encode() if text.count("\0") * 4 > len(text) else _encode(text)


class JsonLog:
    """One container's log, written in the loop. Files: `path`, and older ones `path.1`, `path.2`, …

    generation: number of the current file; earlier files have earlier numbers. running: whether followers are
    to wait for more.
    """

    def __init__(self, path: Path, options: LogOptions, attrs: Mapping[str, str] | None = None) -> None:
        self.path, self._options = path, options
        self._attrs = b',"attrs":' + _encode(attrs) if attrs else b""
        self.generation = 0
        self.running = False
        self._fd = -1
        self._size = self._inode = 0
        self._decoders: dict[int, codecs.IncrementalDecoder] = {}
        self._followers: set[asyncio.Future[None]] = set()
        self._intake = Intake(path.with_name("log.intake"))
        self._readers: dict[object, int] = {}
        self._behind: dict[int, int] = {}
        self._failing = False

    # ---- writing ------------------------------------------------------------------------------------------

    def read(self, fd: int, stream: int, most: int) -> bytes:
        """Read a pipe as os.read() does.

        The caller has to write() the result at once: then a kill loses nothing.
        """
        if self._fd < 0:
            with contextlib.suppress(OSError):  # write() will say so
                self._open()
                self._note()
        return self._intake.take(fd, stream, most)

    def write(self, stream: int, data: bytes) -> None:
        """Append output of stream 1 or 2. A failure is logged, once: the program must not block."""
        self._append(stream, self._decoder(stream).decode(data))
        self._note()

    def _note(self) -> None:
        held = {one: decoder.getstate()[0] for one, decoder in self._decoders.items()}
        self._intake.logged(self._size, self._inode, held)

    def recover(self) -> None:
        """Write to the log what a killed daemon had read and not completely written. Raises OSError."""
        left = self._intake.left()
        if left is None:
            return
        for stream, held in left.held.items():
            self._decoder(stream).decode(held)
        if left.data:
            self._cut_back(left.size, left.inode)
            self._close_gaps()
            self._append(left.stream, self._decoder(left.stream).decode(left.data))
        if self._fd < 0:
            self._open()
        self._note()

    def _cut_back(self, size: int, inode: int) -> None:
        """Cut the log back to the time when a file had this size; newer files go."""
        newer: list[Path] = []
        for path in self._files():
            status = path.stat()
            if status.st_ino == inode and status.st_size >= size:
                os.truncate(path, size)
                for one in newer:
                    one.unlink()
                return
            newer.append(path)  # none of them, when it was rotated away or copied from elsewhere

    def _close_gaps(self) -> None:
        """Close gaps in the numbers, which a kill during a rotation leaves, and where readers would stop."""
        for number, path in enumerate(self._files()):
            if path != Path(self._file(number)):
                path.replace(self._file(number))

    def _files(self) -> list[Path]:
        """Return the files there are, the newest first."""
        every = (Path(self._file(number)) for number in range(self._options.max_files))
        return [path for path in every if path.exists()]

    def _decoder(self, stream: int) -> codecs.IncrementalDecoder:
        decoder = self._decoders.get(stream)
        if decoder is None:
            decoder = self._decoders[stream] = codecs.getincrementaldecoder("utf-8")("replace")
        return decoder

    def flush(self) -> None:
        """Write the bytes of an unfinished character, and end followers: the program has ended."""
        for stream, decoder in self._decoders.items():
            self._append(stream, decoder.decode(b"", final=True))
            decoder.reset()
        self._intake.close()
        self.running = False
        self._wake()

    def leave(self) -> None:
        """End followers; the program may run on, for the next daemon."""
        self._intake.leave()
        self.running = False
        self._wake()
        self.close()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, stream: int, text: str) -> None:
        if not text:
            return
        written = entries(_NAMES[stream], text, text_of(time.time_ns()), self._attrs)
        try:
            if self._fd < 0:
                self._open()
            if self._options.max_bytes and self._size + len(written) > self._options.max_bytes:
                self._append_rotating(written)
            else:
                self._put(written)
            self._failing = False
        except OSError as error:
            if not self._failing:
                log.warning(
                    "write log %s: %s; output is lost until this is repaired", self.path, error.strerror
                )
            self._failing = True
            self.close()
        self._wake()

    def _append_rotating(self, written: bytes) -> None:
        """Rotate after the entry that fills a file."""
        ready = bytearray()
        for entry in written.splitlines(keepends=True):
            if self._size + len(ready) >= self._options.max_bytes:
                self._put(ready)
                ready.clear()
                self._rotate()
            ready += entry
        self._put(ready)

    def _put(self, data: bytes | bytearray) -> None:
        view = memoryview(data)
        while view:
            count = os.write(self._fd, view)
            self._size += count
            view = view[count:]

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        status = os.fstat(self._fd)
        self._size, self._inode = status.st_size, status.st_ino
        if self._size and os.pread(self._fd, 1, self._size - 1) != b"\n":
            self._put(b"\n")  # a full disk or a power cut has torn the last entry

    def _rotate(self) -> None:
        self.close()
        last = self._options.max_files - 1
        self._keep(last)
        for number in range(last, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                os.replace(self._file(number - 1), self._file(number))  # noqa: PTH105 - hot
        if not last:
            self.path.unlink(missing_ok=True)
        self.generation += 1
        self._open()

    def _keep(self, number: int) -> None:
        """Keep a file that is rotated away open for readers that still need it, up to a limit."""
        generation = self.generation - number
        if not any(at <= generation for at in self._readers.values()):
            return
        fd = self.open(generation)
        if fd >= 0:
            self._behind[generation] = fd
        while len(self._behind) > max(1, min(_MOST_FILES, _MOST_BEHIND // self._options.max_bytes)):
            os.close(self._behind.pop(min(self._behind)))

    def _file(self, number: int) -> str:
        return f"{self.path}.{number}" if number else str(self.path)

    # ---- for readers --------------------------------------------------------------------------------------

    def oldest(self) -> int:
        """Return the generation of the oldest file there is."""
        number = 0
        while os.path.exists(self._file(number + 1)):  # noqa: PTH110 - hot
            number += 1
        return self.generation - number

    def after(self, generation: int) -> int:
        """Return the generation to read after this one."""
        return min(
            (reader for reader in self._behind if reader > generation),
            default=max(generation + 1, self.oldest()),
        )

    def open(self, generation: int) -> int:
        """Return a descriptor of a generation's file, -1 when it is not there (any more)."""
        if generation in self._behind:
            return os.dup(self._behind[generation])
        try:
            return os.open(self._file(self.generation - generation), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return -1
        except OSError as error:
            raise EngineError(f"read log {self.path}: {errno_text(error)}") from error

    def reads(self, reader: object, generation: int | None) -> None:
        """Note a reader's position, or None for its end; what follows that position is kept for it."""
        if generation is None:
            self._readers.pop(reader, None)
        else:
            self._readers[reader] = generation
        least = min(self._readers.values(), default=self.generation)
        for one in [one for one in self._behind if one < least]:
            os.close(self._behind.pop(one))

    def end(self) -> tuple[int, int]:
        """Return where the log ends now: generation and offset."""
        if self._fd >= 0:
            return self.generation, self._size
        try:
            return self.generation, self.path.stat().st_size
        except FileNotFoundError:
            return self.generation, 0

    def changed(self) -> asyncio.Future[None]:
        """Return a future of the next change: more text, or the end."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._followers.add(future)
        future.add_done_callback(self._followers.discard)
        return future

    def _wake(self) -> None:
        for future in list(self._followers):
            if not future.done():
                future.set_result(None)
