"""Archives as docker, podman and skopeo write them, honest and broken."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest

from runtime.image.archives.loading import load
from runtime.image.errors import ImageError
from runtime.image.store.image_store import ImageStore
from tests.runtime.image.archives.image_documents import LAYERS, config, sha256
from tests.runtime.tars import entry, symlink, tar

pytestmark = pytest.mark.root


def docker_archive(*layers: bytes, tags: list[str] | None = None) -> bytes:
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    image = {"Config": "c.json", "Layers": names, "RepoTags": ["app:1", "app:2"] if tags is None else tags}
    files = [entry(name, data=layer) for name, layer in zip(names, layers, strict=True)]
    return tar(
        entry("c.json", data=config(*layers)),
        *files,
        entry("manifest.json", data=json.dumps([image]).encode()),
    )


def oci_files(*layers: bytes) -> dict[str, bytes]:
    blobs = [gzip.compress(layer) for layer in layers]
    documents = [config(*layers)]
    described = [
        {"mediaType": "m", "digest": f"sha256:{sha256(blob)}", "size": len(blob)}
        for blob in (*documents, *blobs)
    ]
    manifest = json.dumps({"schemaVersion": 2, "config": described[0], "layers": described[1:]}).encode()
    pointer = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": f"sha256:{sha256(manifest)}",
        "size": len(manifest),
        "annotations": {"org.opencontainers.image.ref.name": "oci/app"},
    }
    files = {f"blobs/sha256/{sha256(blob)}": blob for blob in (manifest, *documents, *blobs)}
    files["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [pointer]}).encode()
    return files | {"oci-layout": b'{"imageLayoutVersion": "1.0.0"}'}


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def packed(files: dict[str, bytes]) -> io.BytesIO:
    return io.BytesIO(tar(*(entry(name, data=data) for name, data in files.items())))


def test_a_docker_archive_keeps_names_and_config(store: ImageStore, tmp_path: Path) -> None:
    (loaded,) = load(store, io.BytesIO(docker_archive(*LAYERS)))
    assert loaded.names == ("app:1", "app:2")
    image = store.verify("app:2")
    assert (image.execution.cmd, image.execution.env) == (["/b"], ["A=1"])
    store.flatten("app:1", tmp_path / "flat")
    assert sorted(path.name for path in (tmp_path / "flat").rglob("*")) == ["b", "etc"]


def test_an_oci_archive_may_be_compressed(store: ImageStore) -> None:
    (loaded,) = load(store, io.BytesIO(gzip.compress(packed(oci_files(*LAYERS)).getvalue())))
    assert loaded.names == ("oci/app:latest",)
    assert store.verify("oci/app").layers == loaded.image.layers


def test_our_own_layout_can_be_loaded_elsewhere(store: ImageStore, tmp_path: Path) -> None:
    made = store.create("app", [io.BytesIO(LAYERS[0])])
    names = ["index.json", *(f"blobs/sha256/{path.name}" for path in store.content.blobs.iterdir())]
    files = {name: (store.root / name).read_bytes() for name in names}
    assert load(ImageStore(tmp_path / "other"), packed(files))[0].image.digest == made.digest


def test_equal_layers_that_docker_links_are_found(store: ImageStore) -> None:
    image = {"Config": "c.json", "Layers": ["0/layer.tar", "1/layer.tar"], "RepoTags": ["app:1"]}
    files = (
        entry("c.json", data=config(LAYERS[0], LAYERS[0])),
        entry("0/layer.tar", data=LAYERS[0]),
        symlink("1/layer.tar", "../0/layer.tar"),
        entry("manifest.json", data=json.dumps([image]).encode()),
    )
    assert len(load(store, io.BytesIO(tar(*files)))[0].image.layers) == 2


@pytest.mark.parametrize("form", ["docker", "oci"])
def test_null_in_a_document_is_nothing_as_go_writes_it(form: str, store: ImageStore) -> None:
    nothing = {"type": "layers", "diff_ids": None}
    document = {"architecture": None, "os": "linux", "config": None, "history": None, "rootfs": nothing}
    data = json.dumps(document).encode()
    image = [{"Config": "c.json", "Layers": None, "RepoTags": None}]
    files = {"c.json": data, "manifest.json": json.dumps(image).encode()}
    if form == "oci":
        described = {"mediaType": "m", "digest": f"sha256:{sha256(data)}", "size": len(data)}
        manifest = json.dumps({"schemaVersion": 2, "config": described, "layers": None}).encode()
        kind = "application/vnd.oci.image.manifest.v1+json"
        pointer = {"mediaType": kind, "digest": f"sha256:{sha256(manifest)}", "size": len(manifest)}
        index = {"schemaVersion": 2, "manifests": [pointer | {"annotations": None}]}
        blobs = {f"blobs/sha256/{sha256(one)}": one for one in (data, manifest)}
        files = blobs | {"index.json": json.dumps(index).encode()}
    (loaded,) = load(store, packed(files))
    made = loaded.image
    assert (made.id, made.layers, made.config.history) == (f"sha256:{sha256(data)}", (), None)
    assert [row.names for row in store.summaries()] == [()]


@pytest.mark.parametrize("data", [LAYERS[0], b"not a tar at all"])
def test_what_is_not_an_archive_is_refused(data: bytes, store: ImageStore) -> None:
    with pytest.raises(ImageError):
        load(store, io.BytesIO(data))
    assert not store.list()


def test_an_image_without_a_name_is_loaded_without_one(store: ImageStore) -> None:
    (loaded,) = load(store, io.BytesIO(docker_archive(*LAYERS, tags=[])))
    assert loaded.names == ()
    assert store.resolve(loaded.image.id).layers == loaded.image.layers


BROKEN = {
    "other content": lambda files: files | {"0/layer.tar": tar(entry("evil"))},
    "missing layer": lambda files: {name: data for name, data in files.items() if name != "0/layer.tar"},
    "missing config": lambda files: {name: data for name, data in files.items() if name != "c.json"},
    "no JSON": lambda files: files | {"manifest.json": b"["},
    "wrong shape": lambda files: files | {"manifest.json": b'{"a": 1}'},
    "hostile layer": lambda files: (
        files | {"0/layer.tar": tar(entry("../x")), "c.json": config(tar(entry("../x")))}
    ),
    "more layers than digests": lambda files: files | {"c.json": config()},
    "hostile name": lambda files: files | {"../../x": b""},
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_archive_is_refused_and_leaves_nothing(kind: str, store: ImageStore, tmp_path: Path) -> None:
    manifest = json.dumps([{"Config": "c.json", "Layers": ["0/layer.tar"], "RepoTags": ["app:1"]}]).encode()
    files = {"c.json": config(LAYERS[0]), "0/layer.tar": LAYERS[0], "manifest.json": manifest}
    broken = BROKEN[kind](files)
    with pytest.raises(ImageError):
        load(store, packed(broken))
    assert store.list() == []
    assert not list((store.root / "tmp").iterdir())
    assert sorted(item.name for item in tmp_path.iterdir()) == ["store"]


def test_an_oci_blob_with_other_bytes_is_refused(store: ImageStore) -> None:
    files = oci_files(*LAYERS)
    victim = sorted(name for name in files if name.startswith("blobs"))[0]
    files[victim] = files[victim][:-1] + bytes([files[victim][-1] ^ 1])
    with pytest.raises(ImageError):
        load(store, packed(files))
    assert store.list() == []
