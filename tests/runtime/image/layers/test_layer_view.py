"""Layers read as one tree: the same as overlayfs shows, and links that stay inside."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.image.errors import ImageError
from runtime.image.layers.flatten import squash
from runtime.image.layers.layer_view import LayerView
from runtime.image.layers.metadata import OPAQUE_XATTR

pytestmark = pytest.mark.root

NAMES = st.sampled_from("abc")
LEAVES = st.sampled_from(["file", "link", "whiteout"])
TREES = st.recursive(
    LEAVES.map(lambda kind: (kind,)),
    lambda inner: st.tuples(st.just("dir"), st.dictionaries(NAMES, inner, max_size=3), st.booleans()),
    max_leaves=8,
)
LAYERS = st.lists(st.dictionaries(NAMES, TREES, max_size=3), min_size=1, max_size=3)


def build(path: Path, tree: tuple, *, lowest: bool) -> None:  # type: ignore[type-arg]
    kind = tree[0]
    if kind == "file":
        path.write_text(str(path))
    elif kind == "link":
        path.symlink_to("a")
    elif kind == "whiteout":
        if not lowest:  # overlayfs shows one in the lowest layer, where it hides nothing
            os.mknod(path, stat.S_IFCHR, 0)
    else:
        path.mkdir()
        for name, below in tree[1].items():
            build(path / name, below, lowest=lowest)
        if tree[2]:
            os.setxattr(path, OPAQUE_XATTR, b"y")


def build_layers(base: Path, content: list) -> list[Path]:  # type: ignore[type-arg]
    layers = [base / str(number) for number in range(len(content))]
    for number, (layer, tree) in enumerate(zip(layers, content, strict=True)):
        layer.mkdir(parents=True)
        for name, below in tree.items():
            build(layer / name, below, lowest=number == 0)
    return layers


@contextmanager
def overlay(layers: list[Path], target: Path) -> Iterator[None]:
    target.mkdir()
    lower = ":".join(path.name for path in reversed(layers))  # short: mount(8) takes 255 bytes
    line = ["mount", "-t", "overlay", "nntest", "-o", f"lowerdir={lower}", target]
    subprocess.run(line, check=True, cwd=target.parent)
    try:
        yield
    finally:
        subprocess.run(["umount", target], check=True)


def listing(root: Path) -> Iterator[tuple[str, int]]:
    """Path → type. overlayfs also names a whiteout in a directory that no layer below has; it opens none."""
    yield "", stat.S_IFDIR
    for directory, below, files in os.walk(root):
        for name in (*below, *files):
            path = Path(directory, name)
            if os.path.lexists(path):
                yield str(path.relative_to(root)), stat.S_IFMT(path.lstat().st_mode)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=LAYERS)
def test_it_shows_what_overlayfs_shows(content: list, tmp_path: Path) -> None:  # type: ignore[type-arg]
    base = tmp_path / os.urandom(6).hex()
    layers = build_layers(base, content)
    (base / "empty").mkdir()  # overlayfs wants two
    merged = LayerView(layers)
    root = merged.find("")
    assert root is not None
    shown = {node.path: stat.S_IFMT(node.status.st_mode) for node in merged.walk(root)}
    with overlay([base / "empty", *layers], base / "seen"):
        seen = dict(listing(base / "seen"))
        assert shown == seen
        for path, kind in seen.items():
            if kind == stat.S_IFREG:
                assert merged.read(path) == (base / "seen" / path).read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=LAYERS)
def test_layers_squashed_into_one_hide_and_show_the_same(content: list, tmp_path: Path) -> None:  # type: ignore[type-arg]
    base = tmp_path / os.urandom(6).hex()
    layers = build_layers(base, content)
    squash(layers[1:], base / "one")
    found = [
        {
            node.path: (node.status.st_mode, Path(node.where).read_text() if node.is_file else "")
            for node in merged.walk(root)
        }
        for merged in (LayerView(layers), LayerView([layers[0], base / "one"]))
        if (root := merged.find("")) is not None
    ]
    assert found[0] == found[1]


@pytest.fixture
def tree(tmp_path: Path) -> LayerView:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "usr/bin").mkdir(parents=True)
    (lower / "usr/bin/tool").write_text("tool")
    (lower / "bin").symlink_to("usr/bin")
    (lower / "out").symlink_to("../../../../etc")
    (lower / "absolute").symlink_to("/usr/bin/tool")
    (lower / "ring").symlink_to("ring2")
    upper.mkdir()
    (upper / "ring2").symlink_to("ring")
    (upper / "dangling").symlink_to("/nowhere/x")
    return LayerView([lower, upper])


def test_links_lead_through_layers_and_start_at_the_trees_root(tree: LayerView) -> None:
    assert tree.read("bin/tool") == tree.read("absolute") == b"tool"
    node = tree.find("bin/tool")
    assert node is not None
    assert node.path == "usr/bin/tool"
    assert tree.find("bin", follow=False).is_link  # type: ignore[union-attr]


@pytest.mark.parametrize("path", ["out/passwd", "../../../etc/passwd", "/out/shadow", "usr/../../etc/passwd"])
def test_no_path_leads_out(tree: LayerView, path: str) -> None:
    assert tree.find(path) is None
    assert tree.read(path) == b""


def test_a_path_that_does_not_exist_is_resolved_as_far_as_it_does(tree: LayerView) -> None:
    assert tree.resolve("bin/new/file") == "usr/bin/new/file"
    assert tree.resolve("dangling") == "nowhere/x"
    assert tree.resolve("/a/../b") == "b"


def test_links_in_a_circle_are_an_error(tree: LayerView) -> None:
    with pytest.raises(ImageError, match="'ring/x'"):
        tree.find("ring/x")


def test_no_layers_are_an_empty_tree() -> None:
    tree = LayerView([])
    assert tree.find("") is None
    assert tree.resolve("/a/b") == "a/b"
