"""Archives as Docker wrote them before 1.10."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest

from runtime.image.archives.loading import load
from runtime.image.errors import ImageError
from runtime.image.store.image_store import ImageStore
from tests.runtime.tars import entry, tar

pytestmark = pytest.mark.root

BASE = tar(entry("base", data=b"1"))
TOP = tar(entry("top", data=b"2"))


def step(name: str, layer: bytes | None, **document: Any) -> list[bytes]:
    members = [entry(f"{name}/json", data=json.dumps({"id": name, "os": "linux", **document}).encode())]
    return members + ([entry(f"{name}/layer.tar", data=layer)] if layer is not None else [])


def archive(*steps: list[bytes], **repositories: dict[str, str]) -> io.BytesIO:
    names = entry("repositories", data=json.dumps(repositories).encode())
    return io.BytesIO(tar(*(member for one in steps for member in one), names))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def test_the_steps_become_one_image(store: ImageStore) -> None:
    top = {"parent": "b", "config": {"Cmd": ["/top"], "OnBuild": None}, "Size": 3, "author": "me"}
    old = archive(
        step("c", TOP[: -2 * 512], container_config={"Cmd": ["made", "top"]}, **top),
        step("a", BASE, comment="imported"),
        step("b", b"", parent="a", container_config=None),
        app={"1": "c", "old": "c"},
    )
    (found,) = load(store, old)
    assert found.names == ("app:1", "app:old")
    image = store.resolve("app:1")
    assert image.execution.cmd == ["/top"]
    assert image.config.author == "me"
    assert [sorted(path.name for path in one.iterdir()) for one in image.layer_dirs] == [["base"], ["top"]]
    rows = [(row.created_by, row.comment, row.empty_layer) for row in image.config.history or ()]
    assert rows == [("", "imported", None), ("", None, True), ("made top", None, None)]
    assert store.verify("app:1").id == image.id


def test_one_without_a_name_is_taken_too(store: ImageStore) -> None:
    found = load(store, archive(step("a", BASE), step("b", TOP, parent="a"), base={"1": "a"}))
    assert [(one.names, len(one.image.layers)) for one in found] == [(("base:1",), 1), ((), 2)]


@pytest.mark.parametrize(
    ("steps", "repositories", "said"),
    [
        ([step("a", BASE, parent="b")], {}, "'b'"),
        ([step("a", BASE, parent="a"), step("b", BASE, parent="a")], {}, "'a'"),
        ([step("a", BASE)], {"app": {"1": "c"}}, "'c'"),
        ([step("a", BASE, os="plan9")], {}, "cannot be used on this platform"),
        ([step("a", BASE[:512])], {}, "tar"),
        ([step("a", BASE, container_config={"Cmd": 5})], {}, r"`\$\.container_config\.Cmd`"),
        ([step("a", BASE)], {"app": 5}, r"`\$\[\.\.\.\]`"),
    ],
)
def test_what_is_not_whole_is_refused(
    steps: list[list[bytes]], repositories: dict[str, Any], said: str, store: ImageStore
) -> None:
    with pytest.raises(ImageError, match=said):
        load(store, archive(*steps, **repositories))
    assert not store.list()
    assert not any(store.content.layers.iterdir())
