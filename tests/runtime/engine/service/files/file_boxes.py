"""Containers' files without a daemon: a box has layers on a real disk, and maybe a process on them."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from runtime.engine.service.files import archive
from tests.runtime.engine.service.stdio.stream_fakes import NAME, record, service_of


class Box:
    """A container of one image layer, that does not run unless `run` is called."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.service = service_of(root, record(status="exited", **options))
        self.lower, self.base = root / "lower", root / "base"
        for directory in (self.lower, self.base, self.lower / "etc", self.lower / "tmp"):
            directory.mkdir()
        (self.lower / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nbob:x:5:6::/:/bin/sh\n")
        self.service.containers.layer_paths = (self.base, self.lower)
        self.home = self.service.containers.directory_path / "layer"

    @property
    def upper(self) -> Path:
        return self.home / "u"

    @property
    def options(self) -> str:
        """Of the overlay mount of a start."""
        return f"lowerdir={self.lower}:{self.base},upperdir={self.upper},workdir={self.home / 'w'}"

    def touch(self) -> None:
        """What a first start makes."""
        for directory in (self.home, self.upper, self.home / "w"):
            directory.mkdir(exist_ok=True)

    async def get(self, path: str) -> tuple[archive.PathStat, tarfile.TarFile]:
        found, chunks = await archive.get_archive(self.service, NAME, path)
        return found, tarfile.open(fileobj=io.BytesIO(await joined(chunks)))

    async def put(self, path: str, data: bytes, **options: Any) -> None:
        await archive.put_archive(self.service, NAME, path, pieces(data), **options)

    async def stat(self, path: str) -> archive.PathStat:
        return await archive.stat_path(self.service, NAME, path)


async def joined(chunks: Any) -> bytes:
    async with aclosing(chunks):
        return b"".join([chunk async for chunk in chunks])


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1 << 16):
        yield data[at : at + (1 << 16)]


def tar(*entries: tuple[str, Any], compression: str = "") -> bytes:
    """Of (name, content of a file | "-> target" of a link | None for a directory | fields of a TarInfo)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=f"w:{compression}") as target:  # type: ignore[call-overload]
        for name, what in entries:
            info, content = tarfile.TarInfo(name), b""
            info.mode = 0o644
            if what is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(what, bytes):
                content = what
            elif isinstance(what, str):
                info.type, info.linkname = tarfile.SYMTYPE, what.removeprefix("-> ")
            else:
                for key, value in what.items():
                    setattr(info, key, value)
            info.size = len(content)
            target.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def headers(data: bytes) -> list[bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        return [data[entry.offset : entry.offset + 512] for entry in found]


def raw_name(header: bytes) -> str:
    """tarfile strips slashes; docker's clients do not."""
    return header[:100].rstrip(b"\0").decode()


def names_in(data: bytes) -> set[str]:
    """The entries' names as they stand there, without slashes at their ends."""
    return {raw_name(header).rstrip("/") or "/" for header in headers(data)}


def descriptors() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        try:
            target = str(path.readlink())
        except FileNotFoundError:
            continue
        if not target.startswith(("anon_inode", "socket")):  # the loop's own
            found.add(f"{path.name} {target}")
    return found


class Swapping:
    """Exchanges two names as fast as it can (RENAME_EXCHANGE), in a process of its own."""

    _PROGRAM = """
import ctypes, sys
call, a, b, count = ctypes.CDLL(None).renameat2, sys.argv[1].encode(), sys.argv[2].encode(), 0
import select
while not count:
    count += call(-100, a, -100, b, 2) == 0
print("swapping", flush=True)
while not select.select([0], [], [], 0)[0]:
    count += call(-100, a, -100, b, 2) == 0
if count % 2:
    call(-100, a, -100, b, 2)
print(count)
"""

    def __init__(self, one: Path, other: Path) -> None:
        self.paths, self.count = (one, other), 0

    def __enter__(self) -> Swapping:
        command = [sys.executable, "-SE", "-c", self._PROGRAM, *map(str, self.paths)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "swapping\n"
        return self

    def __exit__(self, *_: object) -> None:
        self.count = int(self.process.communicate("stop")[0])
