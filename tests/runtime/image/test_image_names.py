from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.image.errors import ImageReferenceError, LayerError
from runtime.image.layers.entry_names import entry_path, whiteout_target
from runtime.image.references import named_reference


@pytest.mark.parametrize(
    ("name", "path"),
    [("./etc/passwd", "etc/passwd"), ("etc//x/", "etc/x"), ("./", ""), (".", ""), ("a/./b", "a/b")],
)
def test_names_are_relative_to_the_root(name: str, path: str) -> None:
    assert entry_path(name) == path


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "a/..", "..", "//x", "a\0b"])
def test_ways_out_are_refused(name: str) -> None:
    with pytest.raises(LayerError, match=re.escape(repr(name))):
        entry_path(name)


@given(st.text(alphabet="ab./", max_size=20))
def test_no_accepted_name_leaves_the_root(name: str) -> None:
    try:
        path = entry_path(name)
    except LayerError:
        return
    assert not path.startswith("/")
    assert all(part not in ("", ".", "..") for part in path.split("/")) or path == ""


def test_whiteouts_name_what_they_hide() -> None:
    assert whiteout_target("a/.wh.b") == "a/b"
    assert whiteout_target(".wh.b") == "b"
    assert whiteout_target("a/b") is None
    assert whiteout_target("a/.wh..wh.plnk") is None


@pytest.mark.parametrize("name", ["a/.wh...", ".wh...", "a/.wh..", ".wh."])
def test_whiteouts_of_the_directory_itself_are_refused(name: str) -> None:
    with pytest.raises(LayerError, match=re.escape(repr(name))):
        whiteout_target(name)


def test_references_get_dockers_default_tag() -> None:
    assert named_reference("debian") == "debian:latest"
    assert named_reference("localhost:5000/a/b:1.2") == "localhost:5000/a/b:1.2"


@pytest.mark.parametrize("text", ["", "Debian", "a b", "../x", "a:", ":x", "a//b", "a" * 300])
def test_other_references_are_refused(text: str) -> None:
    with pytest.raises(ImageReferenceError, match=re.escape(repr(text))):
        named_reference(text)


def test_no_image_is_named_like_a_digest() -> None:
    for text in ("sha256:anything", "docker.io/library/sha256", f"a@sha256:{'0' * 64}"):
        with pytest.raises(ImageReferenceError):
            named_reference(text)
    assert named_reference("team/sha256:1") == "team/sha256:1"
