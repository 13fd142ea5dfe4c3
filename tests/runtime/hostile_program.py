"""The program of hostile.c, and a file system of its that does not answer."""

from __future__ import annotations

import contextlib
import functools
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).with_name("hostile.c")
PROGRAM = "/hostile"
STATUS = 7
"""With what its lives end that end by themselves."""


@functools.cache
def _built() -> bytes:
    with tempfile.TemporaryDirectory() as place:
        program = Path(place, "hostile")
        subprocess.run(["gcc", "-static", "-O1", "-pthread", "-o", program, SOURCE], check=True)
        return program.read_bytes()


def build_hostile(directory: Path) -> Path:
    """Put the program into a directory, as `hostile`; return its path."""
    program = directory / PROGRAM.lstrip("/")
    program.write_bytes(_built())
    program.chmod(0o755)
    return program


@contextlib.contextmanager
def begun(program: Path, *words: object) -> Iterator[subprocess.Popen[str]]:
    """The program on the host, once it is so far; killed at the end."""
    with subprocess.Popen([program, *map(str, words)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "on\n"
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def dead_filesystem(program: Path, place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Mount a file system that does not answer; who waits for it is freed when its server is killed.

    The server says a line for each request it takes: whoever has asked it cannot be killed any more.
    """
    place.mkdir(parents=True)
    server = subprocess.Popen([program, "serve", place], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"on\n"
        yield server
    finally:
        server.kill()
        server.wait()
        subprocess.run(["umount", "--lazy", place], check=False, stderr=subprocess.DEVNULL)
