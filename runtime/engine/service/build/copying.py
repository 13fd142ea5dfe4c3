"""The layer of a COPY, ADD or WORKDIR, written as a directory, without a container. Blocking.

Directories that the image has are made anew with their owner, mode and time in the image, as overlayfs does
when something below them changes.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from runtime.engine.errors import BuildError
from runtime.engine.service.build.owners import Owner
from runtime.engine.service.build.sources import Source
from runtime.image.errors import LayerError
from runtime.image.layers import metadata
from runtime.image.layers.compression import PlainReader
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.layer_view import LayerView, ViewNode
from runtime.image.layers.unpack import unpack

_ROOT: Owner = (0, 0)
_TAR_MAGIC = slice(257, 262)


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """Owner and mode of copies; None: as in the source."""

    owner: Owner | None = _ROOT
    mode: int | None = None


class LayerTree:
    """A layer that is being made at `root`, over the tree of an image."""

    def __init__(self, base: LayerView, root: Path) -> None:
        self._base, self._root = base, str(root)
        self._times: dict[str, int] = {}
        self._links: dict[tuple[int, int], str] = {}

    def copy(self, sources: Sequence[Source], target: str, look: Look, verb: str) -> None:
        """Copy sources to `target` (absolute; into that directory when it ends in `/`). Raises BuildError."""
        into = target.endswith("/")
        if len(sources) > 1 and not into:
            raise BuildError(
                f"When using {verb} with more than one source file, the destination must be a directory "
                "and end with a /"
            )
        where = self._base.resolve(target)
        for source in sources:
            if source.node.is_directory:
                self.make_directory(where, look.owner or _ROOT)
                self._copy_content(source, where, look)
            elif into or self._is_directory(where):
                self.make_directory(where, look.owner or _ROOT)
                self._copy_one(source.node, _joined(where, source.name), look)
            else:
                self.make_directory(where.rpartition("/")[0], look.owner or _ROOT)
                self._copy_one(source.node, where, look)

    def make_directory(self, path: str, owner: Owner = _ROOT) -> None:
        """Make a directory and its parents, as far as layer and image lack them."""
        at = self._at(path)
        if path == "" or os.path.isdir(at):  # noqa: PTH112
            return
        self.make_directory(path.rpartition("/")[0], owner)
        below = self._base.find(path, follow=False)
        if os.path.lexists(at) or (below is not None and not below.is_directory):
            raise BuildError(f"cannot make the directory /{path}: there is a file of that name")
        os.mkdir(at, 0o755)  # noqa: PTH102
        if below is not None:
            self._dress(below, at, Look(owner=None))
        else:
            os.chmod(at, 0o755)  # noqa: PTH101
            os.chown(at, *owner)

    def finish(self) -> None:
        """Set the times of directories, which changed while they were filled."""
        for path in sorted(self._times, reverse=True):
            os.utime(path, ns=(self._times[path], self._times[path]))

    # ---- pieces ----------------------------------------------------------------------------------------

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    def _is_directory(self, path: str) -> bool:
        if os.path.isdir(self._at(path)):  # noqa: PTH112
            return True
        node = self._base.find(path)
        return node is not None and node.is_directory

    def _copy_content(self, source: Source, where: str, look: Look) -> None:
        base = source.node.path
        for node in source.tree.walk(source.node):
            below = node.path[len(base) :].lstrip("/")
            if below:
                self._copy_one(node, _joined(where, below), look)

    def _copy_one(self, node: ViewNode, path: str, look: Look) -> None:
        at = self._at(path)
        if node.is_directory:
            if os.path.lexists(at) and not os.path.isdir(at):  # noqa: PTH112
                os.unlink(at)  # noqa: PTH108
            if not os.path.lexists(at):
                os.mkdir(at, 0o755)  # noqa: PTH102
            self._dress(node, at, look)
            return
        if os.path.isdir(at) and not os.path.islink(at):  # noqa: PTH112, PTH114
            shutil.rmtree(at)  # docker lets a file take a directory's place, too
            self._times = {one: time for one, time in self._times.items() if os.path.lexists(one)}
        elif os.path.lexists(at):
            os.unlink(at)  # noqa: PTH108
        if not self._linked(node, at):
            _make_leaf(node, at)
            if os.path.lexists(at):  # a socket was left out
                self._dress(node, at, look)

    def _linked(self, node: ViewNode, at: str) -> bool:
        """Link to a copy of the same file; say whether there was one."""
        if node.status.st_nlink < 2:
            return False
        first = self._links.setdefault((node.status.st_dev, node.status.st_ino), at)
        if first == at or not os.path.lexists(first):
            return False
        os.link(first, at, follow_symlinks=False)
        return True

    def _dress(self, node: ViewNode, at: str, look: Look) -> None:
        status = node.status
        owner = look.owner if look.owner is not None else (status.st_uid, status.st_gid)
        os.chown(at, *owner, follow_symlinks=False)
        if not node.is_link:
            mode = stat.S_IMODE(status.st_mode) if look.mode is None else look.mode
            os.chmod(at, mode)  # noqa: PTH101 - no link
        for name, value in metadata.read_xattrs(node.where).items():
            os.setxattr(at, name, value, follow_symlinks=False)
        if node.is_directory:
            self._times[at] = status.st_mtime_ns
        os.utime(at, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)


def _make_leaf(node: ViewNode, at: str) -> None:
    mode = node.status.st_mode
    if stat.S_ISREG(mode):
        shutil.copyfile(node.where, at, follow_symlinks=False)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(node.where), at)  # noqa: PTH115, PTH211
    elif not stat.S_ISSOCK(mode):
        os.mknod(at, mode, node.status.st_rdev)


def _joined(parent: str, name: str) -> str:
    return f"{parent}/{name}" if parent else name


# ---- archives that ADD unpacks --------------------------------------------------------------------------


def unpacked_archive(source: Source, scratch: Path, limits: UnpackLimits) -> Source | None:
    """Unpack a file that is a tar (plain, gzip, bzip2, xz, zstd) into the new directory `scratch`.

    None when it is not a tar. BuildError for one that is hostile or corrupt.
    """
    if not source.node.is_file or source.remote:
        return None
    with open(source.node.where, "rb") as file:  # noqa: PTH123
        if not _is_tar(PlainReader(file, limits)):
            return None
        file.seek(0)
        scratch.mkdir(mode=0o755)
        try:
            reader = LayerReader(PlainReader(file, limits), limits, lenient=True, hashed=False)  # type: ignore[arg-type]
            unpack(reader, str(scratch), limits, plain=True)
        except LayerError as error:
            raise BuildError(f"ADD failed: unpack {source.name}: {error}") from error
    tree = LayerView([scratch])
    node = tree.find("")
    assert node is not None
    return Source(tree, node, source.name)


def _is_tar(reader: PlainReader) -> bool:
    start = b""
    try:
        while len(start) < 512 and (more := reader.read(512 - len(start))):
            start += more
    except LayerError:
        return False
    return start[_TAR_MAGIC] == b"ustar"
