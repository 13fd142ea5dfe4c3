from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.image.documents import Execution, ImageConfig
from runtime.image.errors import ImageError, ImageNotFoundError
from runtime.image.layers import layer_store, store_files
from runtime.image.layers.tree import tree_digest
from runtime.image.store.image_store import ImageStore
from tests.paths import REPOSITORY
from tests.runtime.tars import directory, entry, tar

pytestmark = pytest.mark.root

BASE = tar(directory("etc"), entry("etc/a", data=b"1"), entry("etc/b", data=b"2"), entry("old", data=b"3"))
UPPER = tar(entry("etc/.wh.b"), entry("etc/a", data=b"changed"), entry(".wh.old"), entry("new", data=b"4"))


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "store")


def two_layers(store: ImageStore, name: str = "app") -> None:
    config = ImageConfig(config=Execution(cmd=["/bin/sh"], env=["A=1"]))
    store.create(name, [io.BytesIO(BASE), io.BytesIO(UPPER)], config)


def test_resolve_gives_config_and_directories_lowest_first(store: ImageStore) -> None:
    two_layers(store)
    image = store.resolve("app:latest")
    assert image.execution.cmd == ["/bin/sh"]
    assert [(path / "etc/a").read_text() for path in image.layer_dirs] == ["1", "changed"]
    assert store.resolve(image.digest).reference == "app:latest"
    assert store.resolve(image.digest[7:19]) == image


def test_the_layout_is_a_valid_oci_layout(store: ImageStore) -> None:
    two_layers(store)
    index = json.loads((store.root / "index.json").read_text())
    manifest = json.loads((store.root / "blobs/sha256" / index["manifests"][0]["digest"][7:]).read_text())
    assert json.loads((store.root / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    assert index["schemaVersion"] == manifest["schemaVersion"] == 2
    for blob in (manifest["config"], *manifest["layers"]):
        assert (store.root / "blobs/sha256" / blob["digest"][7:]).stat().st_size == blob["size"]
    config = json.loads((store.root / "blobs/sha256" / manifest["config"]["digest"][7:]).read_text())
    assert config["rootfs"]["type"] == "layers"
    assert config["config"] == {"Cmd": ["/bin/sh"], "Env": ["A=1"]}


def test_flatten_shows_what_overlayfs_shows(store: ImageStore, tmp_path: Path) -> None:
    two_layers(store)
    store.flatten("app", tmp_path / "flat")
    dirs = store.resolve("app").layer_dirs
    seen = tmp_path / "seen"
    seen.mkdir()
    lower = ":".join(f"{path.parent.name}/tree" for path in reversed(dirs))
    mount = ["mount", "-t", "overlay", "nntest", "-o", f"lowerdir={lower}", seen]
    subprocess.run(mount, check=True, cwd=store.root / "layers")
    try:
        assert tree_digest(str(tmp_path / "flat")) == tree_digest(str(seen))
    finally:
        subprocess.run(["umount", seen], check=True)
    assert sorted(path.name for path in (tmp_path / "flat").iterdir()) == ["etc", "new"]


def test_an_opaque_root_hides_all_below(store: ImageStore) -> None:
    store.create("app", [io.BytesIO(BASE), io.BytesIO(tar(entry(".wh..wh..opq"), entry("only")))])
    assert len(store.resolve("app").layers) == 2
    assert [path.name for path in store.resolve("app").layer_dirs[0].iterdir()] == ["only"]


def test_equal_content_is_stored_once(store: ImageStore) -> None:
    two_layers(store, "one")
    two_layers(store, "two")
    assert store.resolve("one").digest == store.resolve("two").digest
    assert len(list((store.root / "layers").iterdir())) == 2


@pytest.mark.parametrize("hashed", [False, True])
def test_verify_finds_a_changed_blob_and_a_changed_layer(store: ImageStore, hashed: bool) -> None:
    two_layers(store)
    image = store.verify("app") if hashed else store.resolve("app")
    changed = image.layer_dirs[0] / "etc/a"
    before = changed.stat()
    changed.write_text("9")
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ImageError, match=re.escape(str(image.layer_dirs[0]))):
        store.verify("app")
    blob = store.root / "blobs/sha256" / image.layers[1].digest[7:]
    blob.write_bytes(blob.read_bytes()[:-1] + b"X")
    changed.write_text("1")
    os.utime(changed, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ImageError, match=re.escape(str(blob))):
        store.verify("app")


def test_remove_keeps_what_others_use(store: ImageStore) -> None:
    two_layers(store, "one")
    store.create("base", [io.BytesIO(BASE)])
    store.remove("one")
    assert [image.reference for image in store.list()] == ["base:latest"]
    assert len(list((store.root / "layers").iterdir())) == 1
    store.verify("base")
    store.remove("base")
    assert not list((store.root / "layers").iterdir())
    assert not list((store.root / "blobs/sha256").iterdir())


def test_of_a_removed_image_nothing_is_remembered(store: ImageStore) -> None:
    """Builds that were removed again filled the memory for documents, up to 10 MiB."""
    for number in range(3):
        two_layers(store, f"app{number}")
        store.resolve(f"app{number}")
        store.remove(f"app{number}")
    assert not store.content.documents._cached


def test_a_leased_image_is_not_removed(store: ImageStore) -> None:
    two_layers(store)
    lease = store.lease(store.resolve("app"))
    with pytest.raises(ImageError, match="remove app"):
        store.remove("app")
    lease.close()
    store.remove("app")


def test_an_unpacked_layer_that_is_gone_is_unpacked_again(store: ImageStore) -> None:
    two_layers(store)
    victim = store.resolve("app").layer_dirs[0].parent
    victim.rename(store.root / "tmp/elsewhere")
    assert (store.resolve("app").layer_dirs[0] / "old").read_text() == "3"
    store.verify("app")


@pytest.mark.parametrize("hashed", [False, True])
@pytest.mark.parametrize("damaged", [False, True])
def test_a_layer_from_before_a_reboot_is_checked_once(store: ImageStore, damaged: bool, hashed: bool) -> None:
    two_layers(store)
    if hashed:
        store.verify("app")
    home = store.resolve("app").layer_dirs[0].parent
    note = json.loads((home / "layer.json").read_text())
    (home / "layer.json").write_text(json.dumps(note | {"boot": "an earlier one"}))
    unpacked = (home / "tree").stat().st_ctime_ns
    if damaged:
        (home / "tree/old").write_text("")
    assert (store.resolve("app").layer_dirs[0] / "old").read_text() == "3"
    kept = hashed and not damaged
    assert json.loads((home / "layer.json").read_text()) == note | ({} if kept else {"tree": ""})
    assert ((home / "tree").stat().st_ctime_ns == unpacked) is kept


def test_a_damaged_layer_in_use_is_left_alone(store: ImageStore) -> None:
    two_layers(store)
    image = store.resolve("app")
    lease = store.lease(image)
    (image.layer_dirs[0].parent / "layer.json").write_text("{}")
    with pytest.raises(ImageError, match=re.escape(str(image.layer_dirs[0].parent))):
        store.resolve("app")
    lease.close()
    store.verify("app")


def test_unknown_names_say_what_to_do(store: ImageStore) -> None:
    with pytest.raises(ImageNotFoundError, match=r"nothing.*\bnn images\b"):
        store.resolve("nothing")
    with pytest.raises(ImageNotFoundError, match=r"nothing.*\bnn images\b"):
        store.remove("nothing")


def test_a_broken_index_is_an_error_and_stays(store: ImageStore) -> None:
    two_layers(store)
    path = store.root / "index.json"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ImageError, match=re.escape(str(path))):
        store.list()
    with pytest.raises(ImageError, match=re.escape(str(path))):
        two_layers(store)


@pytest.mark.parametrize("length", [0, 5, 60])
def test_a_truncated_document_is_named(store: ImageStore, length: int) -> None:
    two_layers(store)
    blob = store.root / "blobs/sha256" / store.resolve("app").digest[7:]
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:length])
    with pytest.raises(ImageError, match=re.escape(str(blob))):
        store.resolve("app")


def test_no_space_leaves_the_store_usable(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "nntest", small], check=True)
    try:
        store = ImageStore(small / "store")
        two_layers(store)
        with pytest.raises(ImageError, match="ENOSPC"):
            store.add_layer(io.BytesIO(tar(entry("big", data=os.urandom(8 << 20)))))
        assert not list((store.root / "tmp").iterdir())
        store.verify("app")
        store.create("more", [io.BytesIO(tar(entry("little")))])
    finally:
        subprocess.run(["umount", small], check=True)


def test_sweep_frees_the_work_of_the_dead_only(store: ImageStore) -> None:
    script = (
        "import time, pathlib; from runtime.image.layers import store_files;"
        f"s = store_files.scratch_directory(pathlib.Path({str(store.root / 'tmp')!r}));"
        "(s.__enter__() / 'half').write_text('x'); print(1, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.read(1) == b"1"
    assert store.sweep() == ()
    worker.kill()
    worker.wait()
    assert len(store.sweep()) == 1
    assert not list((store.root / "tmp").iterdir())


def test_several_processes_may_fill_one_store_at_once(store: ImageStore) -> None:
    script = (
        "import io, sys; from pathlib import Path; from tests.runtime.tars import entry, tar\n"
        "from runtime.image.store.image_store import ImageStore\n"
        f"store = ImageStore(Path({str(store.root)!r})); me = sys.argv[1]\n"
        "layers = [tar(entry('same')), tar(entry(me))]\n"
        "for number in range(5):\n"
        "    store.create(f'i{me}{number}', [io.BytesIO(layer) for layer in layers])\n"
        "    if number == 0: store.remove(f'i{me}0')\n"
    )
    line = [sys.executable, "-c", script]
    workers = [subprocess.Popen([*line, str(number)], cwd=REPOSITORY) for number in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    assert len(store.list()) == 16
    for image in store.list():
        store.verify(image.reference)
    assert len(list((store.root / "layers").iterdir())) == 5


def test_a_damaged_image_can_be_removed(store: ImageStore) -> None:
    two_layers(store)
    store.create("other", [io.BytesIO(BASE)])
    blob = store.root / "blobs/sha256" / store.resolve("app").digest[7:]
    blob.write_bytes(b"{}")
    store.remove("app")
    assert [image.reference for image in store.list()] == ["other:latest"]
    assert store.prune() > 0
    store.verify("other")


def test_a_layer_that_is_gone_cannot_be_named(store: ImageStore) -> None:
    layer = store.add_layer(io.BytesIO(BASE))
    store.prune()
    with pytest.raises(ImageError, match=layer.digest):
        store.create("app", [layer])


def test_prune_removes_what_no_image_names(store: ImageStore) -> None:
    two_layers(store)
    store.add_layer(io.BytesIO(tar(entry("loose"))))
    assert store.prune() == 2
    store.verify("app")
    assert store.prune() == 0


def test_content_is_durable_before_the_list_that_names_it(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    for module in (store_files, layer_store):
        monkeypatch.setattr(module, "sync_path", synced.append)
    store.create("app", [io.BytesIO(BASE)])
    assert synced == [store.root / "blobs/sha256", store.root / "layers", store.root]
    store.create("again", [io.BytesIO(BASE)])  # who put it there may not have come so far
    assert synced[3:] == synced[:3]


@pytest.mark.parametrize("name", [b"BZh9", b"\x1f\x8bname", b"(\xb5/\xfdname", b"\xfd7zXZ"])
def test_a_change_whose_name_begins_as_compressed_bytes_do_is_kept(
    store: ImageStore, tmp_path: Path, name: bytes
) -> None:
    path = os.fsencode(tmp_path) + b"/changes/" + name
    os.makedirs(os.path.dirname(path))  # noqa: PTH103, PTH120 - no text
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(b"it")
    for one in (path, os.path.dirname(path)):  # noqa: PTH120
        os.utime(one, ns=(0, 0))  # a time with nanoseconds has a header of its own before it
    layer = store.content.add_changes(tmp_path / "changes")
    assert layer is not None
    with open(os.fsencode(store.content.unpacked(layer).tree) + b"/" + name, "rb") as file:  # noqa: PTH123
        assert file.read() == b"it"
