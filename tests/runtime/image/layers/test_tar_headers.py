"""The fast reading of headers tells what tarfile tells, of ordinary ones and of broken ones."""

from __future__ import annotations

import tarfile

from hypothesis import given
from hypothesis import strategies as st

from runtime.image.layers.tar_headers import FastTarInfo

TYPES = st.sampled_from([b"0", b"\0", b"1", b"2", b"3", b"5", b"6", b"x", b"g", b"L", b"S", b"7", b"Z"])
NUMBERS = st.integers(0, 1 << 40)
TEXT = st.text("ab/.\u00e9 ", max_size=60)
FIELDS = ("name", "mode", "uid", "gid", "size", "mtime", "chksum", "type", "linkname", "devmajor", "devminor")


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    info = tarfile.TarInfo(draw(TEXT))
    info.type, info.linkname = draw(TYPES), draw(TEXT)
    info.uid, info.gid, info.mode, info.size, info.mtime = (draw(NUMBERS) for _ in range(5))
    info.devmajor = draw(st.integers(0, 255))
    kind = draw(st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]))
    found = bytearray(info.tobuf(kind, "utf-8", "surrogateescape")[-512:])
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 511), st.integers(0, 255)), max_size=3)):
        found[place] = byte
    if draw(st.booleans()):  # as a writer would that means it
        found[148:156] = b"        "
        found[148:156] = f"{sum(found):06o}\0 ".encode()
    return bytes(found)


def read(kind: type[tarfile.TarInfo], header: bytes) -> object:
    try:
        found = kind.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.TarError as error:
        return repr(error)
    return {field: getattr(found, field) for field in FIELDS}


@given(headers())
def test_it_reads_what_tarfile_reads(header: bytes) -> None:
    assert read(FastTarInfo, header) == read(tarfile.TarInfo, header)


@given(st.binary(max_size=600))
def test_noise(data: bytes) -> None:
    assert read(FastTarInfo, data) == read(tarfile.TarInfo, data)
