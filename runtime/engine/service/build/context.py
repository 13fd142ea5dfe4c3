"""The context of a build: the files that the client sends. Blocking."""

from __future__ import annotations

import contextlib
import os
import posixpath
from pathlib import Path

from runtime.docker_syntax import MalformedError, ignore
from runtime.engine.service.dockerfile.lexer import DockerfileError
from runtime.engine.service.images.download import open_url
from runtime.image.layers.compression import PlainReader
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.layer_view import LayerView
from runtime.image.layers.pipeline import Readable
from runtime.image.layers.unpack import unpack

DEFAULT = "Dockerfile"
_MOST = 16 << 20
_TAR_MAGIC = slice(257, 262)


class Context:
    """An unpacked context. tree: its files, as COPY sees them; dockerfile: the text to build."""

    def __init__(self, root: Path, dockerfile: bytes) -> None:
        self.dockerfile = dockerfile
        self.tree = LayerView([root])


def open_context(
    stream: Readable, remote: str, dockerfile: str, scratch: Path, limits: UnpackLimits
) -> Context:
    """Unpack a context that comes as a tar, or from the URL `remote`, below `scratch`.

    Raises DockerfileError, LayerError for a tar that is hostile or corrupt.
    """
    root = scratch / "context"
    root.mkdir(mode=0o755)
    if not remote:
        _unpack(stream, root, limits)
    elif _is_git(remote):
        raise DockerfileError(
            f"unable to prepare context {remote}: git is not supported; clone the repository, and build there"
        )
    else:
        with open_url(remote) as answer:
            if _unpack_remote(answer.stream, root, limits):
                dockerfile = DEFAULT
    return _read(root, dockerfile or DEFAULT)


def _is_git(remote: str) -> bool:
    bare = remote.partition("#")[0]
    return bare.endswith(".git") or remote.startswith(("git://", "git@", "github.com/", "ssh://"))


def _unpack(stream: Readable, root: Path, limits: UnpackLimits) -> None:
    reader = LayerReader(PlainReader(stream, limits), limits, lenient=True, hashed=False)  # type: ignore[arg-type]
    unpack(reader, str(root), limits, plain=True)


def _unpack_remote(stream: Readable, root: Path, limits: UnpackLimits) -> bool:
    """Unpack a tar, or write a text to a file; say whether it was a text, which is the Dockerfile itself."""
    plain = PlainReader(stream, limits)
    start = b""
    while len(start) < 512 and (more := plain.read(512 - len(start))):
        start += more
    if start[_TAR_MAGIC] != b"ustar":
        (root / DEFAULT).write_bytes(start + (plain.read(_MOST) or b""))
        return True
    reader = LayerReader(_Again(start, plain), limits, lenient=True, hashed=False)  # type: ignore[arg-type]
    unpack(reader, str(root), limits, plain=True)
    return False


class _Again:
    def __init__(self, start: bytes, rest: PlainReader) -> None:
        self._start, self._rest = start, rest

    def read(self, size: int = -1) -> bytes:
        if self._start:
            data, self._start = self._start[:size], self._start[size:]
            return data
        return self._rest.read(size) or b""


def _read(root: Path, dockerfile: str) -> Context:
    tree = LayerView([root])
    path = posixpath.normpath(dockerfile).lstrip("/")
    if path == ".." or path.startswith("../"):
        raise DockerfileError(f"Forbidden path outside the build context: {dockerfile} ()")
    if tree.find(path) is None and path == DEFAULT and tree.find(path.lower()) is not None:
        path = path.lower()
    node = tree.find(path)
    if node is None or not node.is_file:
        raise DockerfileError(f"Cannot locate specified Dockerfile: {dockerfile}")
    text = tree.read(path, _MOST)
    if not text:
        raise DockerfileError(f"the Dockerfile ({dockerfile}) cannot be empty")
    _drop_named(tree, path)
    return Context(root, text)


def _drop_named(tree: LayerView, dockerfile: str) -> None:
    """Remove .dockerignore and Dockerfile if the former excludes them; the client has left out the rest.

    An invalid pattern was refused by the client.
    """
    rules = ignore.read(tree.read(".dockerignore", _MOST).decode("utf-8", "surrogateescape"))
    with contextlib.suppress(MalformedError):
        ignored = ignore.Ignored(rules)
        for name in (".dockerignore", dockerfile):
            node = tree.find(name, follow=False) if ignored(name) else None
            if node is not None and not node.is_directory:
                os.unlink(node.where)  # noqa: PTH108
