"""Unpack a layer's tar into overlay form: whiteouts as character devices 0/0, opaque marks as xattrs.

Safe by construction: the target starts empty and nobody else can enter it (mode 0700 above it), so it holds
exactly what this object created. Every name is checked against that record, no path leads through a symbolic
link, and files are created with O_EXCL|O_NOFOLLOW.
"""

from __future__ import annotations

import os
import stat
import tarfile
from typing import Literal, cast

import msgspec

from runtime.image.errors import LayerError, errno_advice
from runtime.image.layers import entry_names, metadata
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.tar_entries import make_device, write_content
from runtime.image.layers.tar_headers import FastTarInfo

Kind = Literal["directory", "file", "symbolic link", "whiteout", "device"]


class UnpackResult(msgspec.Struct, frozen=True, kw_only=True):
    """Number of entries; bytes of files and of links' targets, as docker counts."""

    entries: int
    bytes: int


def unpack(reader: LayerReader, target: str, limits: UnpackLimits, *, plain: bool = False) -> UnpackResult:
    """Unpack all of `reader` into the empty directory `target`, and read to the stream's end.

    plain: not a layer, so names of whiteouts have no special meaning.
    Raises LayerError, naming the entry, for a hostile or corrupt layer and for OSErrors. The caller removes
    what was written until then.
    """
    unpacker = _Unpacker(target, limits, plain=plain)
    entry: tarfile.TarInfo | None = None
    try:
        with tarfile.open(
            fileobj=reader, mode="r:", encoding="utf-8", errors="surrogateescape", tarinfo=FastTarInfo
        ) as tar:  # type: ignore[call-overload]
            while (entry := tar.next()) is not None:
                tar.members.clear()  # tarfile keeps all of them for random access
                unpacker.add(entry, reader)
                if unpacker.entries > limits.max_entries:
                    raise LayerError(f"layer has more than {limits.max_entries} entries; refused as a bomb")
        reader.drain()
        unpacker.finish()
    except LayerError:
        raise
    except OSError as error:
        where = repr(entry.name) if entry else "layer"
        raise LayerError(f"unpack {where} in {target}: {errno_advice(error)}") from error
    except (tarfile.TarError, ValueError, OverflowError, LookupError, TypeError, RecursionError) as error:
        raise LayerError(f"layer's tar is corrupt ({error}); get the image again") from error
    return UnpackResult(entries=unpacker.entries, bytes=unpacker.bytes)


class _Unpacker:
    def __init__(self, target: str, limits: UnpackLimits, *, plain: bool) -> None:
        self._target, self._limits, self._plain = target, limits, plain
        self._kinds: dict[str, Kind] = {"": "directory"}
        self._opaque: set[str] = set()
        self._directories: dict[str, tarfile.TarInfo] = {}
        self.entries = 0
        self.bytes = 0

    def _at(self, path: str) -> str:
        return f"{self._target}/{path}" if path else self._target

    def add(self, entry: tarfile.TarInfo, reader: LayerReader) -> None:
        """Unpack one entry; `reader` is at its content."""
        self.entries += 1
        path = entry_names.entry_path(entry.name)
        base = path.rpartition("/")[2]
        if self._plain:
            self._leaf_or_directory(path, entry, reader)
        elif base == entry_names.OPAQUE:
            self._make_opaque(path.rpartition("/")[0])
        elif entry_names.is_aufs_metadata(path):
            return
        elif (hidden := entry_names.whiteout_target(path)) is not None:
            self._whiteout(hidden)
        else:
            self._leaf_or_directory(path, entry, reader)

    def _leaf_or_directory(self, path: str, entry: tarfile.TarInfo, reader: LayerReader) -> None:
        if entry.isdir():
            self._directory(path, entry)
        elif path == "":
            raise LayerError(f"layer entry {entry.name!r} replaces the root; refused")
        else:
            self._leaf(path, entry, reader)

    # ---- kinds of entries ------------------------------------------------------------------------------

    def _directory(self, path: str, entry: tarfile.TarInfo) -> None:
        kind = self._kinds.get(path)
        if kind != "directory":
            self._make_parents(path)
            if kind is not None:
                os.unlink(self._at(path))  # noqa: PTH108 - hot
            os.mkdir(self._at(path), 0o700)  # noqa: PTH102 - hot
            self._kinds[path] = "directory"
            if kind == "whiteout":  # hidden below, created again here
                self._opaque.add(path)
        self._directories[path] = entry

    def _leaf(self, path: str, entry: tarfile.TarInfo, reader: LayerReader) -> None:
        self._clear(path)
        where = self._at(path)
        if entry.islnk():
            self._hard_link(path, entry)
            return
        if entry.isreg():
            self._file(where, entry, reader)
            self._kinds[path] = "file"
            return
        if entry.issym():
            os.symlink(entry.linkname, where)  # noqa: PTH211 - hot
            self.bytes += len(os.fsencode(entry.linkname))
            self._kinds[path] = "symbolic link"
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            self._device(where, entry)
            self._kinds[path] = "device"
        else:
            raise LayerError(
                f"layer entry {entry.name!r} is of unknown type {entry.type!r}; get the image again"
            )
        metadata.apply(where, entry, xattrs=metadata.entry_xattrs(entry))

    def _file(self, where: str, entry: tarfile.TarInfo, reader: LayerReader) -> None:
        fd = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self.bytes += entry.size
            self._limits.check_bytes(self.bytes)  # holes too: whoever saves the image writes them all
            sparse = cast("list[tuple[int, int]] | None", entry.sparse)
            end = 0
            for offset, size in sparse if sparse is not None else [(0, entry.size)]:
                end = max(end, _copy(reader, fd, offset, size))
            if end != entry.size:
                os.ftruncate(fd, entry.size)
            metadata.apply_to_file(fd, entry)
        finally:
            os.close(fd)

    def _device(self, where: str, entry: tarfile.TarInfo) -> None:
        if entry.ischr() and (entry.devmajor, entry.devminor) == (0, 0):
            raise LayerError(f"layer entry {entry.name!r} is a raw overlay whiteout (device 0/0); refused")
        make_device(entry, where)

    def _hard_link(self, path: str, entry: tarfile.TarInfo) -> None:
        source = entry_names.entry_path(entry.linkname)
        kind = self._kinds.get(source)
        self._refuse_detour(source, entry.linkname)
        if kind is None or kind in ("directory", "whiteout"):
            what = kind or "nothing in this layer"
            raise LayerError(
                f"layer entry {entry.name!r} is a hard link to {entry.linkname!r}, {what}; refused"
            )
        os.link(self._at(source), self._at(path), follow_symlinks=False)
        self._kinds[path] = kind

    def _whiteout(self, path: str) -> None:
        kind = self._kinds.get(path)
        if kind == "directory":
            self._opaque.add(path)
        elif kind is None:
            self._make_parents(path)
            os.mknod(self._at(path), stat.S_IFCHR, os.makedev(0, 0))
            self._kinds[path] = "whiteout"

    def _make_opaque(self, path: str) -> None:
        if self._kinds.get(path) != "directory":
            self._make_parents(f"{path}/x")
        self._opaque.add(path)

    # ---- what exists already ---------------------------------------------------------------------------

    def _clear(self, path: str) -> None:
        """Remove what a later entry of the same name replaces."""
        kind = self._kinds.get(path)
        if kind == "directory":
            raise LayerError(f"layer entry {path!r} replaces a directory of the same layer; refused")
        self._make_parents(path)
        if kind is not None:
            os.unlink(self._at(path))  # noqa: PTH108 - hot

    def _make_parents(self, path: str) -> None:
        parent = path.rpartition("/")[0]
        kind = self._kinds.get(parent)
        if kind == "directory":
            return
        if kind is not None and kind != "whiteout":
            self._refuse_through(path, parent, kind)
        self._make_parents(parent)
        if kind == "whiteout":
            os.unlink(self._at(parent))  # noqa: PTH108 - hot
            self._opaque.add(parent)
        os.mkdir(self._at(parent))  # noqa: PTH102 - hot
        os.chmod(self._at(parent), 0o755)  # noqa: PTH101 - hot; whatever the umask
        self._kinds[parent] = "directory"

    def _refuse_detour(self, path: str, shown: str) -> None:
        parent = path.rpartition("/")[0]
        while parent:
            kind = self._kinds.get(parent)
            if kind is not None and kind != "directory":
                self._refuse_through(shown, parent, kind)
            parent = parent.rpartition("/")[0]

    def _refuse_through(self, path: str, parent: str, kind: Kind) -> None:
        raise LayerError(
            f"layer entry {path!r} goes through the {kind} {parent!r}; refused, rebuild the layer"
        )

    def finish(self) -> None:
        """Set what later entries would have changed: directories' times and modes, deepest first."""
        for path in sorted(self._opaque, reverse=True):
            os.setxattr(self._at(path), metadata.OPAQUE_XATTR, b"y")
        for path in sorted((path for path, kind in self._kinds.items() if kind == "directory"), reverse=True):
            entry = self._directories.get(path)
            if entry is None:  # not in the tar: always the same time
                os.utime(self._at(path), (0, 0))
            else:
                metadata.apply(self._at(path), entry, xattrs=metadata.entry_xattrs(entry))


def _copy(reader: LayerReader, fd: int, offset: int, size: int) -> int:
    """Copy `size` bytes to the new file `fd` at `offset`; return as write_content()."""
    end, written = offset + size, 0
    while offset < end:
        data = reader.read_some(end - offset)
        if not data:
            raise LayerError("layer's tar ends inside a file: it was cut short; get the image again")
        written = write_content(fd, data, offset) or written
        offset += len(data)
    return written
