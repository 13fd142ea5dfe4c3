"""Streams in every compression that docker's clients send."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from runtime.image.errors import LayerError
from runtime.image.layers.compression import PlainReader, Readable, compression_of
from runtime.image.layers.layer_reader import UnpackLimits

COMPRESS = {
    "": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


def plain(source: Readable, limits: UnpackLimits | None = None) -> PlainReader:
    return PlainReader(source, limits or UnpackLimits())


class Trickle:
    """Gives a byte or two at a time, as a slow client does."""

    def __init__(self, data: bytes) -> None:
        self._stream = io.BytesIO(data)

    def read(self, size: int = -1) -> bytes:
        return self._stream.read(min(size, 2))


@pytest.mark.parametrize("name", COMPRESS)
@given(data=st.binary(max_size=2000))
def test_what_was_compressed_comes_out(name: str, data: bytes) -> None:
    assume(name or not compression_of(data))
    reader = plain(Trickle(COMPRESS[name](data)))
    assert reader.read() == data
    assert name == "" or reader.compression == name


def test_joined_streams_are_one() -> None:
    assert plain(io.BytesIO(gzip.compress(b"a") + gzip.compress(b"b"))).read() == b"ab"
    assert plain(io.BytesIO(zstandard.compress(b"a") + zstandard.compress(b"b"))).read() == b"ab"


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_a_stream_cut_short_is_an_error(name: str) -> None:
    with pytest.raises(LayerError, match=rf"^{name} "):
        plain(io.BytesIO(COMPRESS[name](bytes(range(256)) * 50)[:-20])).read()


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_a_damaged_stream_is_an_error(name: str) -> None:
    data = bytearray(COMPRESS[name](bytes(range(256)) * 50))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF
    with pytest.raises(LayerError, match=rf"^{name} "):
        plain(io.BytesIO(bytes(data))).read()


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_a_bomb_is_refused_before_it_is_read(name: str) -> None:
    limits = UnpackLimits(ratio_from=1 << 20)
    reader = plain(io.BytesIO(COMPRESS[name](bytes(32 << 20))), limits)
    read = 0
    with pytest.raises(LayerError, match=rf"^{name} .*\b{limits.max_ratio}\b"):
        while data := reader.read(1 << 16):
            read += len(data)
    assert read < 16 << 20
    assert len(plain(io.BytesIO(COMPRESS[name](bytes(1 << 20))), limits).read()) == 1 << 20
