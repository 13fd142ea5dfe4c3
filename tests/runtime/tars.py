"""Small tars built in memory, honest and hostile."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.unpack import UnpackResult, unpack

Entry = tuple[tarfile.TarInfo, bytes]


def entry(name: str, kind: bytes = tarfile.REGTYPE, data: bytes = b"", **fields: object) -> Entry:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mode = kind, len(data), 0o755 if kind == tarfile.DIRTYPE else 0o644
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, **fields: object) -> Entry:
    return entry(name, tarfile.DIRTYPE, **fields)


def symlink(name: str, target: str) -> Entry:
    return entry(name, tarfile.SYMTYPE, linkname=target)


def hardlink(name: str, target: str) -> Entry:
    return entry(name, tarfile.LNKTYPE, linkname=target)


def tar(*entries: Entry) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue()


def unpack_bytes(data: bytes, target: Path, limits: UnpackLimits | None = None) -> UnpackResult:
    target.mkdir()
    limits = limits or UnpackLimits()
    return unpack(LayerReader(io.BytesIO(data), limits), str(target), limits)
