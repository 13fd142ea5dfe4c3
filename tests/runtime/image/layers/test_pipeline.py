"""Reading ahead of who works on it: the same bytes, the same failures, and nobody left waiting."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from typing import Any

import pytest

from runtime.image.layers.pipeline import Hash, read_ahead

LONG = os.urandom(20 << 20)


class Failing(io.BytesIO):
    """Raises its error where its bytes end."""

    def __init__(self, data: bytes, error: Exception) -> None:
        super().__init__(data)
        self.error = error

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise self.error
        return data


def whole(source: Any) -> bytes:
    found = []
    while data := source.read(1 << 20):
        found.append(data)
    return b"".join(found)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 4 << 20, (4 << 20) + 1, 20 << 20])
def test_all_of_it_passes(size: int) -> None:
    assert read_ahead(io.BytesIO(LONG[:size]), whole) == LONG[:size]


@pytest.mark.parametrize("size", [100, 15 << 20])
def test_what_the_source_raises_is_raised(size: int) -> None:
    with pytest.raises(OSError, match="broken"):
        read_ahead(Failing(LONG[:size], OSError("broken")), whole)


@pytest.mark.parametrize("size", [100, 20 << 20])
def test_what_the_work_raises_ends_the_reading(size: int) -> None:
    source = io.BytesIO(LONG * 5 if size > 100 else LONG[:size])

    def work(reader: Any) -> None:
        reader.read(1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        read_ahead(source, work)
    assert source.tell() <= 14 << 20


def test_work_that_ends_early_is_not_waited_for() -> None:
    source = io.BytesIO(LONG * 5)
    assert read_ahead(source, lambda reader: len(reader.read(1))) == 1 << 20
    assert source.tell() <= 14 << 20


def test_long_ones_are_worked_on_by_another_thread() -> None:
    here = threading.get_ident()
    assert read_ahead(io.BytesIO(b"short"), lambda _: threading.get_ident()) == here
    assert read_ahead(io.BytesIO(LONG), lambda reader: whole(reader) and threading.get_ident()) != here


@pytest.mark.parametrize("size", [0, 5, 1 << 20, 20 << 20])
def test_a_hash_is_sha256(size: int) -> None:
    found, at = Hash(), 0
    while at < size:
        found.update(LONG[at : min(at + 700_000, size)])
        at += 700_000
    assert found.hexdigest() == hashlib.sha256(LONG[:size]).hexdigest()
    assert found.hexdigest() == found.hexdigest()
