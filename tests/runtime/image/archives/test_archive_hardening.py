"""What umoci's hardening.bats and unpack.bats ask of an image, asked of ours: a blob that was changed so that
all else stays plausible is refused, and what a layer may hold comes out as it went in.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import stat
import struct
from pathlib import Path

import pytest
import zstandard

from runtime.image.archives.loading import load
from runtime.image.errors import ImageError
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image_store import ImageStore
from tests.runtime.image.archives.image_documents import config, sha256
from tests.runtime.tars import directory, entry, symlink, tar

pytestmark = pytest.mark.root

LAYERS = (tar(directory("etc"), entry("etc/a", data=b"1" * 3000)), tar(entry("b", data=b"2" * 700)))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


def described(data: bytes, media: str = "application/octet-stream") -> dict[str, object]:
    return {"mediaType": media, "digest": f"sha256:{sha256(data)}", "size": len(data)}


class Layout:
    """An OCI layout of one image in two layers; `kinds` says which blob is what."""

    def __init__(self, blobs: tuple[bytes, ...]) -> None:
        document = config(*LAYERS)
        rows = [described(blob, "application/vnd.oci.image.layer.v1.tar+gzip") for blob in blobs]
        manifest = json.dumps({"schemaVersion": 2, "config": described(document), "layers": rows}).encode()
        pointer = described(manifest, MANIFEST) | {
            "annotations": {"org.opencontainers.image.ref.name": "x:1"}
        }
        self.index = {"schemaVersion": 2, "manifests": [pointer]}
        self.kinds = {"manifest": manifest, "config": document, "first": blobs[0], "second": blobs[1]}

    def archive(self, **changed: bytes) -> io.BytesIO:
        files = {f"blobs/sha256/{sha256(data)}": changed.get(kind, data) for kind, data in self.kinds.items()}
        files |= {
            "index.json": json.dumps(self.index).encode(),
            "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        }
        return io.BytesIO(tar(*(entry(name, data=data) for name, data in files.items())))


@pytest.fixture
def layout() -> Layout:
    return Layout((gzip.compress(LAYERS[0], 9), gzip.compress(LAYERS[1], 9)))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def left(store: ImageStore) -> list[Path]:
    """What a refused archive may not leave: images, and content that has not the digest it is kept under."""
    wrong = [
        path for path in (store.root / "blobs/sha256").iterdir() if sha256(path.read_bytes()) != path.name
    ]
    return [*wrong, *(store.root / "tmp").iterdir(), *map(Path, (image.id for image in store.list()))]


def test_the_layout_is_good(layout: Layout, store: ImageStore) -> None:
    (found,) = load(store, layout.archive())
    assert found.names == ("x:1",)
    store.verify("x:1")


@pytest.mark.parametrize("kind", ["manifest", "config"])
@pytest.mark.parametrize(
    "change", [lambda data: b" " + data, lambda data: data + b"\0", lambda data: data + b" "]
)
def test_a_document_with_one_byte_more_is_refused(
    kind: str, change: object, layout: Layout, store: ImageStore
) -> None:
    with pytest.raises(ImageError, match=sha256(layout.kinds[kind])):
        load(store, layout.archive(**{kind: change(layout.kinds[kind])}))  # type: ignore[operator]
    assert not left(store)


@pytest.mark.parametrize("kind", ["first", "second"])
@pytest.mark.parametrize(
    "change",
    [
        lambda data: gzip.compress(gzip.decompress(data), 1),  # the same tar, and so the same diff id
        lambda data: gzip.decompress(data),
        lambda data: zstandard.compress(gzip.decompress(data)),
        lambda data: data + b"\0",
        lambda data: data + gzip.compress(b""),
        lambda data: data[:-1],
    ],
)
def test_a_layer_in_other_bytes_is_refused(
    kind: str, change: object, layout: Layout, store: ImageStore
) -> None:
    with pytest.raises(ImageError):
        load(store, layout.archive(**{kind: change(layout.kinds[kind])}))  # type: ignore[operator]
    assert not left(store)


@pytest.mark.parametrize("kind", ["manifest", "config", "first"])
@pytest.mark.parametrize("by", [-1, 1, 1 << 40])
def test_a_descriptor_that_lies_about_a_size_is_refused(
    kind: str, by: int, layout: Layout, store: ImageStore
) -> None:
    pointer = layout.index["manifests"][0]
    if kind == "manifest":
        pointer["size"] += by
    else:
        manifest = json.loads(layout.kinds["manifest"])
        row = manifest["config"] if kind == "config" else manifest["layers"][0]
        row["size"] += by
        layout.kinds["manifest"] = json.dumps(manifest).encode()
        pointer |= described(layout.kinds["manifest"], MANIFEST)
    data = layout.kinds[kind]
    with pytest.raises(ImageError, match=rf"{sha256(data)}.*\b{len(data)}\b"):
        load(store, layout.archive())
    assert not left(store)


def test_layers_in_several_compressions_make_one_image(store: ImageStore) -> None:
    layout = Layout((zstandard.compress(LAYERS[0]), LAYERS[1]))
    (found,) = load(store, layout.archive())
    assert [layer.diff_id for layer in found.image.layers] == [f"sha256:{sha256(one)}" for one in LAYERS]
    tree = LayerView(found.image.layer_dirs)
    assert (tree.read("etc/a"), tree.read("b")) == (b"1" * 3000, b"2" * 700)


def test_a_directory_in_a_link_s_place_hides_the_link(store: ImageStore) -> None:
    """As docker and overlayfs have it; umoci's --keep-dirlinks, which follows it, is what neither does."""
    lower = tar(directory("dir"), entry("dir/a"), symlink("link", "dir"))
    image = store.create("x", [io.BytesIO(lower), io.BytesIO(tar(directory("link"), entry("link/b")))])
    tree = LayerView(image.layer_dirs)
    assert tree.find("dir/b") is None
    node = tree.find("link", follow=False)
    assert node is not None
    assert [child.path for child in tree.children(node)] == ["link/b"]


def test_what_a_layer_may_hold_is_the_same_after_a_round(store: ImageStore, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, mode in (("setuid", 0o4755), ("setgid", 0o2755), ("setugid", 0o6755), ("sticky", 0o1777)):
        (root / name).touch()
        (root / name).chmod(mode)
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 1 << 13, 0, 0)
    (root / "setcap").touch()
    os.setxattr(root / "setcap", "security.capability", capability)
    nodes = {"block1": (stat.S_IFBLK, 128, 42), "block2": (stat.S_IFBLK, 255, 128),
             "char1": (stat.S_IFCHR, 133, 37), "char2": (stat.S_IFCHR, 253, 97)}  # fmt: skip
    for name, (kind, major, minor) in nodes.items():
        os.mknod(root / name, kind | 0o600, os.makedev(major, minor))
    os.mkfifo(root / "fifo")
    image = store.create("x", [root])
    (top,) = image.layer_dirs
    for path in root.iterdir():
        before, after = path.lstat(), (top / path.name).lstat()
        assert (before.st_mode, before.st_rdev) == (after.st_mode, after.st_rdev), path.name
    assert os.getxattr(top / "setcap", "security.capability") == capability
    store.verify("x")


def test_unpacking_twice_gives_the_same(tmp_path: Path) -> None:
    trees = []
    for name in ("one", "two"):
        store = ImageStore(tmp_path / name)
        image = store.create("x", [io.BytesIO(layer) for layer in LAYERS])
        trees.append(
            [
                (str(path.relative_to(top)), path.lstat().st_mtime_ns, path.lstat().st_mode)
                for top in image.layer_dirs
                for path in sorted(top.rglob("*"))
            ]
        )
    assert trees[0] == trees[1]
