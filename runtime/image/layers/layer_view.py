"""Read layers as one tree, without a mount: what a container would see at a path.

Symbolic links stay inside the tree: absolute ones start at its root, and `..` stops there.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from runtime.image.errors import ImageError
from runtime.image.layers import metadata

_MOST_LINKS = 40


class ViewNode(msgspec.Struct, frozen=True):
    """What is at a path. path: in the tree, "" for its root; where: on the host, in the topmost layer.

    below: for a directory, the host directories that its content comes from, topmost first.
    """

    path: str
    where: str
    status: os.stat_result
    below: tuple[str, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        """Whether it is a symbolic link."""
        return stat.S_ISLNK(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        """Whether it is a regular file."""
        return stat.S_ISREG(self.status.st_mode)


class LayerView:
    """The tree of `layers` in overlay form, lowest first. A single plain directory works too."""

    def __init__(self, layers: Sequence[Path | str]) -> None:
        tops: list[str] = []
        for layer in reversed([str(layer) for layer in layers]):
            tops.append(layer)
            if metadata.is_opaque(layer):
                break
        self._root = ViewNode("", tops[0], os.lstat(tops[0]), tuple(tops)) if tops else None

    def find(self, path: str, *, follow: bool = True) -> ViewNode | None:
        """Return what is at `path`, None if nothing. follow: follow a link at its end too.

        ImageError for a loop of links.
        """
        return self._walk(path, follow=follow)[1]

    def resolve(self, path: str) -> str:
        """Return `path` with all links followed, relative to the root.

        Names that do not exist stay. ImageError for a loop of links.
        """
        return self._walk(path, follow=True)[0]

    def children(self, node: ViewNode) -> Iterator[ViewNode]:
        """Yield a directory's content, sorted by name."""
        names: set[str] = set()
        for directory in node.below:
            names.update(os.listdir(directory))  # noqa: PTH208
        for name in sorted(names):
            child = self._child(node, name)
            if child is not None:
                yield child

    def walk(self, node: ViewNode) -> Iterator[ViewNode]:
        """Yield a node and everything below it, directories first; links are not followed."""
        pending = [node]
        while pending:
            current = pending.pop()
            yield current
            if current.is_directory:
                pending.extend(reversed(list(self.children(current))))

    def read(self, path: str, most: int = 1 << 20) -> bytes:
        """Return the first `most` bytes of a file, links followed; b"" if there is none."""
        node = self.find(path)
        if node is None or not node.is_file:
            return b""
        with os.fdopen(os.open(node.where, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read(most)

    def _walk(self, path: str, *, follow: bool) -> tuple[str, ViewNode | None]:
        todo = _parts(path)
        trail: list[ViewNode | str] = [self._root] if self._root else [""]
        links = 0
        while todo:
            name = todo.pop(0)
            if name == "..":
                if len(trail) > 1:
                    trail.pop()
                continue
            current = trail[-1]
            child = self._child(current, name) if isinstance(current, ViewNode) else None
            if child is not None and child.is_link and (todo or follow):
                links += 1
                if links > _MOST_LINKS:
                    raise ImageError(f"look up {path!r}: its symbolic links form a loop; correct them")
                target = os.readlink(child.where)  # noqa: PTH115
                trail = trail[:1] if target.startswith("/") else trail
                todo = _parts(target) + todo
                continue
            trail.append(child if child is not None else _joined(current, name))
        last = trail[-1]
        return (last.path, last) if isinstance(last, ViewNode) else (last, None)

    def _child(self, node: ViewNode, name: str) -> ViewNode | None:
        found: list[str] = []
        status: os.stat_result | None = None
        for directory in node.below:
            where = f"{directory}/{name}"
            try:
                here = os.lstat(where)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if metadata.is_whiteout(here):
                break
            if not stat.S_ISDIR(here.st_mode):
                if not found:
                    return ViewNode(_joined(node, name), where, here)
                break
            status = status or here
            found.append(where)
            if metadata.is_opaque(where):
                break
        return ViewNode(_joined(node, name), found[0], status, tuple(found)) if status else None


def _joined(parent: ViewNode | str, name: str) -> str:
    path = parent.path if isinstance(parent, ViewNode) else parent
    return f"{path}/{name}" if path else name


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in ("", ".")]
