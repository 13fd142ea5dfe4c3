"""The sources of COPY and ADD: find them in a tree, and digest what counts of them. Blocking."""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
import stat
from collections.abc import Sequence

import msgspec

from runtime.docker_syntax import MalformedError, globs
from runtime.engine.errors import BuildError
from runtime.image.layers import metadata
from runtime.image.layers.layer_view import LayerView, ViewNode
from runtime.image.layers.tree import file_digest


class Source(msgspec.Struct, frozen=True):
    """One source of a copy. name: at the destination. remote: it came from an URL."""

    tree: LayerView
    node: ViewNode
    name: str
    remote: bool = False


def find_sources(tree: LayerView, patterns: Sequence[str], verb: str) -> list[Source]:
    """Find the files that the patterns of COPY or ADD match. Raises BuildError, in docker's words."""
    found: list[Source] = []
    for pattern in patterns:
        path = posixpath.normpath(pattern).lstrip("/")
        if path == ".." or path.startswith("../"):
            raise BuildError(f"{verb} failed: forbidden path outside the build context: {pattern} ()")
        if globs.is_pattern(path) and tree.find(path) is None:
            found.extend(_matching(tree, path, verb))
            continue
        node = tree.find(path)
        if node is None:
            raise BuildError(
                f"{verb} failed: file not found in build context or excluded by .dockerignore: "
                f"stat {pattern}: file does not exist"
            )
        found.append(Source(tree, node, posixpath.basename(path)))
    if not found:
        raise BuildError(f"{verb} failed: no source files were specified")
    return found


def _matching(tree: LayerView, pattern: str, verb: str) -> list[Source]:
    try:
        regex = re.compile(globs.expression(pattern))
    except MalformedError as error:
        raise BuildError(f"{verb} failed: {error}") from error
    root = tree.find("")
    assert root is not None
    found = []
    for node in tree.walk(root):
        if node.path and regex.fullmatch(node.path):
            target = tree.find(node.path)  # a link that is named is followed
            if target is not None:
                found.append(Source(tree, target, posixpath.basename(node.path)))
    return found


def content_label(sources: Sequence[Source]) -> str:
    """Return `file:…`, `dir:…` or `multi:…` with a digest: equal sources give equal layers."""
    digests = [_digest(source) for source in sources]
    if len(sources) == 1:
        return f"{'dir' if sources[0].node.is_directory else 'file'}:{digests[0]}"
    total = hashlib.sha256("".join(f"{d}\n" for d in digests).encode())
    return f"multi:{total.hexdigest()}"


def _digest(source: Source) -> str:
    """Times and owners do not count: times differ in each checkout, and owners are replaced."""
    total = hashlib.sha256()
    base = source.node.path
    if not source.node.is_directory:
        total.update(os.fsencode(source.name))
    for node in source.tree.walk(source.node):
        mode = node.status.st_mode
        fields: list[object] = [os.fsencode(node.path[len(base) :]), oct(mode)]
        if stat.S_ISREG(mode):
            fields.append(file_digest(node.where))
        elif stat.S_ISLNK(mode):
            fields.append(os.fsencode(os.readlink(node.where)))  # noqa: PTH115
        elif not stat.S_ISDIR(mode):
            fields.append(node.status.st_rdev)
        fields.append(sorted(metadata.read_xattrs(node.where).items()))
        total.update(repr(fields).encode() + b"\n")
    return total.hexdigest()
