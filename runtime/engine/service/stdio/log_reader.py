"""Read a container's log: from a position, by time, across rotations, and while it grows.

A line is shown when it is finished (or long, or the last): the other stream must not tear apart what a
program writes bit by bit. Its time is that of its end.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator

import msgspec

from runtime.docker_syntax.times import text_of
from runtime.engine.service.stdio.json_log import JsonLog

Piece = tuple[int, bytes]
Position = tuple[int, int]
"""Generation of a file and offset in it."""

_BLOCK = 1 << 18
_LONGEST = 1 << 14
"""Characters of a line without an end that are held back."""
_AT_ONCE = 2000
"""Lines counted before others have their turn."""
_BEFORE = 1 << 16
"""Bytes before the last lines in which the beginnings of such lines are looked for."""
_STREAMS = {"stdout": 1, "stderr": 2}


class LogEntry(msgspec.Struct, frozen=True):
    """One entry of a file. log: a line with its end, or a part of one."""

    log: str = ""
    stream: str = ""
    time: str = ""


class LogQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query of a log. Times in ns since 1970, 0: no bound; tail: lines from the end, -1: all.

    details: what stands before each line.
    """

    streams: frozenset[int] = frozenset((1, 2))
    follow: bool = False
    since_ns: int = 0
    until_ns: int = 0
    tail: int = -1
    timestamps: bool = False
    details: str | None = None


_decoder = msgspec.json.Decoder(LogEntry)


async def read_log(log: JsonLog, query: LogQuery, end: Position | None = None) -> AsyncIterator[Piece]:
    """Yield (1 or 2, text of whole entries), entries of one stream that follow each other as one.

    end: where to stop, before anything that is written later; None: where the log ends then, or, following,
    when nothing more comes.
    """
    start = await _tail_start(log, query.tail, end or log.end())
    renderer = _Renderer(query)
    if query.tail >= 0:
        renderer.begin(_before(log, start))
    async for block in _blocks(log, query, start, end):
        for piece in renderer.pieces(block):
            yield piece
        if renderer.over:
            break
    for piece in renderer.rest():
        yield piece


async def _blocks(
    log: JsonLog, query: LogQuery, start: Position, end: Position | None
) -> AsyncIterator[bytes]:
    """Yield blocks of whole entries."""
    (generation, offset), fd, size, reader = start, -1, _BLOCK, object()
    log.reads(reader, generation)
    try:
        while end is None or generation <= end[0]:
            fd = log.open(generation) if fd < 0 else fd
            most = size if end is None or generation < end[0] else min(size, end[1] - offset)
            data = os.pread(fd, most, offset) if fd >= 0 and most > 0 else b""
            whole = data.rfind(b"\n") + 1
            if whole:
                offset, size = offset + whole, _BLOCK
                yield data[:whole]
                await asyncio.sleep(0)  # a long log must not keep all others waiting
            elif len(data) == size:
                size *= 2
            elif generation < log.generation:
                if fd >= 0:
                    os.close(fd)
                fd, generation, offset = -1, log.after(generation), 0
                log.reads(reader, generation)
            elif end is not None or not query.follow or not log.running or not await _more(log, query):
                return
    finally:
        log.reads(reader, None)
        if fd >= 0:
            os.close(fd)


async def _more(log: JsonLog, query: LogQuery) -> bool:
    """Wait for more; False when the time is over."""
    left = (query.until_ns - time.time_ns()) / 1e9 if query.until_ns else None
    if left is not None and left <= 0:
        return False
    done, _ = await asyncio.wait((changed := log.changed(),), timeout=left)
    changed.cancel()
    return bool(done)


class _Line:
    """The parts of an unfinished line. begun: some of it was shown before."""

    __slots__ = ("begun", "parts", "size", "time")

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.size, self.time, self.begun = 0, "", False

    def add(self, entry: LogEntry) -> None:
        self.parts.append(entry.log)
        self.size += len(entry.log)
        self.time = entry.time

    def take(self, *, begun: bool) -> str:
        text, self.parts = "".join(self.parts), []
        self.size, self.begun = 0, begun
        return text


class _Renderer:
    """Converts entries to what a client gets. over: the rest is after `until`."""

    def __init__(self, query: LogQuery) -> None:
        self._query = query
        self._plain = not query.timestamps and query.details is None
        self._since = text_of(query.since_ns) if query.since_ns else ""
        self._until = text_of(query.until_ns) if query.until_ns else ""
        self._open = {1: _Line(), 2: _Line()}
        self.over = False

    def begin(self, block: bytes) -> None:
        """Read what comes before: it is not shown, except the beginnings of lines that end later."""
        for entry in _decode(block):
            line = self._open.get(_STREAMS.get(entry.stream, 0))
            if line is not None:
                line.add(entry)
                if entry.log.endswith("\n") or line.size >= _LONGEST:
                    line.take(begun=not entry.log.endswith("\n"))

    def pieces(self, block: bytes) -> list[Piece]:
        """Return the pieces of a block of whole entries."""
        found: list[tuple[int, list[str]]] = []
        for entry in _decode(block):
            if self._until and entry.time > self._until:
                self.over = self._query.follow
                continue
            stream = _STREAMS.get(entry.stream, 0)
            if stream not in self._query.streams:
                continue
            line, whole = self._open[stream], entry.log.endswith("\n")
            if line.parts or not whole:
                line.add(entry)
                if not whole and line.size < _LONGEST:
                    continue
            shown = self._shown(line, entry, whole)
            if shown:
                _put(found, stream, shown)
        return _encoded(found)

    def rest(self) -> list[Piece]:
        """Return the pieces of lines without an end."""
        found: list[tuple[int, list[str]]] = []
        for stream, line in self._open.items():
            if line.parts and stream in self._query.streams:
                _put(found, stream, self._shown(line, LogEntry(time=line.time), False))
        return _encoded(found)

    def _shown(self, line: _Line, entry: LogEntry, whole: bool) -> str:
        begun = line.begun
        text = line.take(begun=not whole) if line.parts else entry.log
        line.begun = not whole
        if entry.time < self._since:
            return ""
        return text if begun or self._plain else self._headed(entry.time, text)

    def _headed(self, time_text: str, text: str) -> str:
        if self._query.details is not None:
            text = f"{self._query.details} {text}"
        return f"{time_text} {text}" if self._query.timestamps else text


def _put(found: list[tuple[int, list[str]]], stream: int, text: str) -> None:
    if found and found[-1][0] == stream:
        found[-1][1].append(text)
    else:
        found.append((stream, [text]))


def _encoded(found: list[tuple[int, list[str]]]) -> list[Piece]:
    return [(stream, "".join(texts).encode("utf-8", "replace")) for stream, texts in found]


def _decode(block: bytes) -> list[LogEntry]:
    try:
        return _decoder.decode_lines(block)
    except msgspec.MsgspecError:
        return [entry for line in block.split(b"\n") if (entry := _decoded(line)) is not None]


def _decoded(line: bytes) -> LogEntry | None:
    """Return an entry, or None for one that a full disk or a power cut has cut off."""
    try:
        return _decoder.decode(line)
    except msgspec.MsgspecError:
        return None


# ---- the last lines -----------------------------------------------------------------------------------


async def _tail_start(log: JsonLog, lines: int, end: Position) -> Position:
    """Return where the last `lines` lines before `end` begin; of one in parts, where its last part does."""
    if lines < 0:
        return log.oldest(), 0
    if lines == 0:
        return end
    oldest, found, seen = log.oldest(), 0, set()
    for position, entry in _backwards(log, oldest, end):
        if entry.stream not in seen or entry.log.endswith("\n"):
            seen.add(entry.stream)
            found += 1
            if found % _AT_ONCE == 0:
                await asyncio.sleep(0)
            if found == lines:
                return position
    return oldest, 0


def _before(log: JsonLog, start: Position) -> bytes:
    """Return whole entries directly before a position, of the same file."""
    fd = log.open(start[0]) if start[1] else -1
    if fd < 0:
        return b""
    try:
        size = min(_BEFORE, start[1])
        data = os.pread(fd, size, start[1] - size)
    finally:
        os.close(fd)
    return data if size == start[1] else data[data.find(b"\n") + 1 :]


def _backwards(log: JsonLog, oldest: int, end: Position) -> Iterator[tuple[Position, LogEntry]]:
    """Yield the entries before `end` from the last on, with their positions."""
    for generation in range(end[0], oldest - 1, -1):
        fd = log.open(generation)
        if fd < 0:
            continue
        try:
            size = end[1] if generation == end[0] else os.fstat(fd).st_size
            for offset, line in _lines_backwards(fd, size):
                entry = _decoded(line)
                if entry is not None:
                    yield (generation, offset), entry
        finally:
            os.close(fd)


def _lines_backwards(fd: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, line without its end) of a file, the last first."""
    start, rest = end, b""
    while start > 0:
        before = max(0, start - _BLOCK)
        data = os.pread(fd, start - before, before) + rest
        start = before
        first = data.find(b"\n") + 1 if start else 0  # what is before may have begun earlier
        *lines, torn = data[first:].split(b"\n")
        at = len(data) - len(torn)
        for line in reversed(lines):
            at -= len(line) + 1
            yield start + at, line
        rest = data[:first]
