"""Images out of one store and into another, as docker's own archives."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from runtime.image.archives.loading import Loaded, load
from runtime.image.archives.saving import choose, save
from runtime.image.documents import Execution, HistoryRow, ImageConfig, RootFs, encode
from runtime.image.errors import ImageError, ImageNotFoundError
from runtime.image.store.image_store import ImageStore
from tests.runtime.tars import directory, entry, tar

pytestmark = pytest.mark.root

BASE = tar(directory("etc"), entry("etc/a", data=b"1" * 5000))
TOP = tar(entry("etc/.wh.a"), entry("b", data=b"2", pax_headers={"SCHILY.xattr.user.x": "y"}))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    store = ImageStore(tmp_path / "store")
    config = ImageConfig(
        config=Execution(cmd=["/b"]), history=({"created_by": "base"}, {"created_by": "top"})
    )
    store.create("app:1", [io.BytesIO(BASE), io.BytesIO(TOP)], config)
    store.tag("app:1", "registry.example:5000/app:2")
    store.create("base", [io.BytesIO(BASE)])
    return store


@pytest.fixture
def other(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "other")


def saved(store: ImageStore, *names: str) -> bytes:
    return b"".join(save(store, choose(store, names)))


def loaded(store: ImageStore, data: bytes) -> list[Loaded]:
    return load(store, io.BytesIO(data))


def test_several_images_go_through_one_stream(store: ImageStore, other: ImageStore) -> None:
    found = loaded(other, saved(store, "app:1", "base"))
    assert [one.names for one in found] == [("app:1",), ("base:latest",)]
    assert [one.image.id for one in found] == [store.find_id("app:1"), store.find_id("base")]
    for name in ("app:1", "base"):
        assert other.verify(name).layers[0].diff_id == store.resolve(name).layers[0].diff_id
    assert other.resolve("app:1").config == store.resolve("app:1").config


def test_a_layer_that_two_images_have_is_saved_once(store: ImageStore) -> None:
    with tarfile.open(fileobj=io.BytesIO(saved(store, "app:1", "base"))) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert sum(name.startswith("blobs/") for name in names) == 2 + 2 + 2  # layers, configs, manifests


def test_two_names_of_one_image_are_both_saved(store: ImageStore, other: ImageStore) -> None:
    (found,) = loaded(other, saved(store, "app:1", "registry.example:5000/app:2", "app:1"))
    assert found.names == ("app:1", "registry.example:5000/app:2")
    assert other.find_id("registry.example:5000/app:2") == store.find_id("app:1")


def test_an_id_saves_no_name(store: ImageStore, other: ImageStore) -> None:
    (found,) = loaded(other, saved(store, store.find_id("app:1")[7:19]))
    assert found.names == ()
    assert other.resolve(found.image.id).names == ()


def test_a_repository_means_all_its_tags(store: ImageStore, other: ImageStore) -> None:
    store.tag("base", "app:other")
    assert {name for one in loaded(other, saved(store, "app")) for name in one.names} == {
        "app:1",
        "app:other",
    }


def stepped(store: ImageStore, steps: int, parent: str = "") -> str:
    """Make an unnamed image of so many steps; return its id."""
    layers = [store.add_layer(io.BytesIO(tar(entry(str(step), data=b"x")))) for step in range(steps)]
    rows = tuple(HistoryRow(created_by=f"step {step}") for step in range(steps))
    rootfs = RootFs(diff_ids=tuple(layer.diff_id for layer in layers))
    config = ImageConfig(architecture="amd64", os="linux", rootfs=rootfs, history=rows)
    return store.register((), layers, encode(config), parent=parent).id


def test_what_an_image_was_made_from_comes_along(store: ImageStore, other: ImageStore) -> None:
    first = stepped(store, 1)
    second = stepped(store, 2, first)
    third = stepped(store, 3, second)
    loaded(other, saved(store, third, second))
    assert other.resolve(third).parent == second
    assert other.resolve(second).parent == "", "that is not in the archive"


def test_a_parent_that_it_cannot_be_made_from_is_not_believed(store: ImageStore, other: ImageStore) -> None:
    first = stepped(store, 1)
    third = stepped(store, 3, first)
    loaded(other, saved(store, first, third))
    assert other.resolve(third).parent == ""


def test_an_image_that_is_loaded_again_stays_as_it_was(store: ImageStore) -> None:
    second = stepped(store, 2, stepped(store, 1))
    before = store.tag(second, "app:1")
    loaded(store, saved(store, "app:1"))
    assert store.resolve("app:1") == before
    assert before.parent


def test_what_is_not_here_cannot_be_saved(store: ImageStore) -> None:
    for name in ("missing", "missing:tag", "sha256:" + "0" * 64):
        with pytest.raises(ImageNotFoundError, match="No such image"):
            choose(store, [name])


def test_a_name_that_another_image_has_is_taken_from_it(store: ImageStore, other: ImageStore) -> None:
    old = other.create("app:1", [io.BytesIO(tar(entry("old")))]).id
    (found,) = loaded(other, saved(store, "app:1"))
    assert found.lost == {"app:1": old}
    assert other.resolve(old).names == ()
    (again,) = loaded(other, saved(store, "app:1"))
    assert again.lost == {}


def test_layers_that_are_here_are_not_unpacked_again(store: ImageStore, other: ImageStore) -> None:
    told: list[str] = []
    load(other, io.BytesIO(saved(store, "base")), lambda diff_id, size: told.append(diff_id))
    load(other, io.BytesIO(saved(store, "app:1")), lambda diff_id, size: told.append(diff_id))
    assert told == [layer.diff_id for layer in store.resolve("app:1").layers]


def test_both_forms_inside_say_the_same(store: ImageStore) -> None:
    data = saved(store, "app:1")
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]
    (docker,) = json.loads(files["manifest.json"])
    (pointer,) = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files[f"blobs/sha256/{pointer['digest'][7:]}"])
    assert docker["RepoTags"] == ["app:1"]
    assert docker["Config"] == f"blobs/sha256/{manifest['config']['digest'][7:]}"
    assert docker["Layers"] == [f"blobs/sha256/{one['digest'][7:]}" for one in manifest["layers"]]
    assert files[docker["Layers"][0]] == BASE
    assert pointer["annotations"]["io.containerd.image.name"] == "docker.io/library/app:1"
    assert json.loads(files["repositories"])["app"]["1"] == manifest["layers"][-1]["digest"][7:]


@pytest.mark.parametrize(
    ("created", "seconds"),
    [("2024-05-06T07:08:09.123456789Z", 1714979289), ("1960-01-01T00:00:00Z", 0), ("never", 0), (None, 0)],
)
def test_what_is_saved_has_its_images_time(created: str | None, seconds: int, store: ImageStore) -> None:
    store.create("timed", [io.BytesIO(BASE)], ImageConfig(created=created))
    with tarfile.open(fileobj=io.BytesIO(saved(store, "timed"))) as archive:
        times = {one.name: one.mtime for one in archive}
    assert {time for name, time in times.items() if name.startswith("blobs/")} == {seconds}
    assert times["manifest.json"] == 0


@pytest.mark.skipif(shutil.which("skopeo") is None, reason="needs skopeo")
@pytest.mark.peers
@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_skopeo_reads_and_writes_the_same(
    form: str, store: ImageStore, other: ImageStore, tmp_path: Path
) -> None:
    path, copied = tmp_path / "a.tar", tmp_path / "b.tar"
    path.write_bytes(saved(store, "app:1"))
    source = f"{form}:{path}" + (":app:1" if form == "docker-archive" else ":1")
    line = ["skopeo", "copy", "--insecure-policy", source, f"{form}:{copied}:app:9"]
    subprocess.run(line, check=True, capture_output=True)
    with copied.open("rb") as stream:
        (found,) = load(other, stream)
    assert found.image.id == store.find_id("app:1")
    assert found.names[0].endswith(":9")


@pytest.mark.parametrize("cut", [0, 1, 700, 3000, 9000])
def test_an_archive_cut_short_gives_no_image(cut: int, store: ImageStore, other: ImageStore) -> None:
    with pytest.raises(ImageError):
        loaded(other, saved(store, "app:1")[:cut])
    assert other.list() == []
    assert not list((other.root / "tmp").iterdir())


def documents(*, config: bytes = b"", tags: list[object] | None = None, layer: bytes = BASE) -> bytes:
    """A docker archive of one image, by hand."""
    digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = config or json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest]}}).encode()
    image = {"Config": "c", "Layers": ["l"], "RepoTags": ["app:1"] if tags is None else tags}
    manifest = json.dumps([image]).encode()
    return tar(entry("c", data=config), entry("l", data=layer), entry("manifest.json", data=manifest))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (documents(config=b'{"a":' * 100_000), "recursion"),
        (documents(config=b'{"os": "\xff"}'), "UTF-8"),
        (documents(config=b'{"history": [{"created": 5}], "rootfs": {"diff_ids": []}}'), "created"),
        (
            documents(config=b'{"os": "windows", "rootfs": {"diff_ids": []}}'),
            "cannot be used on this platform",
        ),
        (documents(tags=["app:1", "../x:1"]), "invalid reference format"),
        (documents(tags=["app:1", 3]), "RepoTags"),
        (documents(layer=TOP.rstrip(b"\0")[:-1]), "layer's tar"),
    ],
)
def test_what_cannot_be_taken_whole_is_not_taken_at_all(data: bytes, said: str, other: ImageStore) -> None:
    other.create("app:1", [io.BytesIO(BASE)])
    before = sorted(other.root.rglob("*"))
    with pytest.raises(ImageError, match=said):
        loaded(other, data)
    assert sorted(other.root.rglob("*")) == before
    other.verify("app:1")


def test_a_failed_load_leaves_alone_what_another_is_adding(store: ImageStore, other: ImageStore) -> None:
    with other.adding():
        layer = other.add_layer(io.BytesIO(TOP))
        with pytest.raises(ImageError):
            loaded(other, documents(tags=["../x:1"]))
        other.create("app:2", [layer])
    other.verify("app:2")
    other.remove("app:2")
    assert not list((other.root / "layers").iterdir())
