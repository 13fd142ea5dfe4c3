from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.volume import (
    BadVolumeError,
    VolumeConflictError,
    VolumeError,
    VolumeNotFoundError,
    VolumeStore,
    copying,
)
from runtime.volume.mounting import check_options


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(tmp_path / "volumes")


def test_a_volume_outlives_the_store(store: VolumeStore) -> None:
    assert store.ensure("data", labels={"a": "b"})
    assert not store.ensure("data")
    (store.mountpoint("data") / "file").write_text("kept")
    again = VolumeStore(store.root)
    assert again.get("data") == store.get("data")
    assert again.get("data").labels == {"a": "b"}
    assert [volume.name for volume in again.list()] == ["data"]
    assert again.usage("data") == 4
    again.remove("data")
    assert list(store.root.iterdir()) == []
    with pytest.raises(VolumeNotFoundError, match="get data: no such volume"):
        again.get("data")


@pytest.mark.parametrize("name", ["", "-ab", "a/b", "..", "a b", "\u00e4b"])
def test_names_that_cannot_be(store: VolumeStore, name: str) -> None:
    with pytest.raises(BadVolumeError, match="includes invalid characters for a local volume name"):
        store.ensure(name)
    with pytest.raises(BadVolumeError, match="volume name is too short"):
        store.ensure("a")
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"foo": "bar"}, 'invalid option: "foo"'),
        ({"o": "size=1m"}, 'missing required option: "device"'),
        ({"device": "tmpfs"}, 'missing required option: "type"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"size": "1g"}, "quota"),
    ],
)
def test_options_that_cannot_be(options: dict[str, str], words: str) -> None:
    with pytest.raises(BadVolumeError, match=words):
        check_options(options)


def test_other_options_under_the_same_name_are_a_conflict(store: VolumeStore) -> None:
    store.ensure("data")
    with pytest.raises(VolumeConflictError, match="volume name must be unique"):
        store.ensure("data", options={"type": "tmpfs", "device": "tmpfs"})
    with pytest.raises(VolumeNotFoundError, match='plugin "sshfs" not found'):
        store.ensure("other", driver="sshfs")


def test_half_made_and_half_removed_volumes_go_and_data_stays(store: VolumeStore) -> None:
    store.ensure("whole")
    (store.root / "half" / "_data").mkdir(parents=True)
    (store.root / ".gone-0-old" / "_data").mkdir(parents=True)
    (store.root / "broken" / "_data").mkdir(parents=True)
    (store.root / "broken" / "_data" / "precious").touch()
    (store.root / "lost+found").mkdir()
    again = VolumeStore(store.root)
    assert [volume.name for volume in again.list()] == ["broken", "whole"]
    assert sorted(path.name for path in store.root.iterdir()) == ["broken", "lost+found", "whole"]
    assert again.ensure("half")
    assert not again.ensure("broken")
    assert (again.mount("broken") / "precious").exists()


def test_a_volume_of_an_earlier_version_stays_where_it_is(store: VolumeStore) -> None:
    for name in ("old", "damaged"):
        store.ensure(name, labels={"a": "b"})
        assert store.mountpoint(name) == store.root / name / "_data"
        (store.root / name / "_data" / "precious").touch()
        (store.root / name / "_data").rename(store.root / name / "data")
    (store.root / "damaged" / "volume.json").write_text("{")
    (store.root / "half" / "data").mkdir(parents=True)
    again = VolumeStore(store.root)
    assert [volume.name for volume in again.list()] == ["damaged", "old"]
    for name in ("old", "damaged"):
        assert again.mount(name) == store.root / name / "data"
        assert (again.mountpoint(name) / "precious").exists()
    again.remove("old")
    again.ensure("old")
    assert list(again.mountpoint("old").iterdir()) == []
    assert again.mountpoint("old") == store.root / "old" / "_data"


def test_a_volume_whose_document_is_damaged_keeps_its_data(
    store: VolumeStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.ensure("data", labels={"a": "b"})
    (store.mountpoint("data") / "precious").touch()
    document = store.root / "data" / "volume.json"
    document.write_bytes(document.read_bytes()[:10])
    again = VolumeStore(store.root)
    assert [(volume.name, volume.labels) for volume in again.list()] == [("data", {})]
    assert "volume data keeps its data" in caplog.text
    assert not again.ensure("data")
    assert (again.mountpoint("data") / "precious").exists()


def test_a_volume_whose_directory_was_taken_away_is_removed_and_made_anew(store: VolumeStore) -> None:
    store.ensure("gone")
    shutil.rmtree(store.root / "gone")
    store.remove("gone")
    assert store.list() == []
    assert store.ensure("gone") and store.mountpoint("gone").is_dir()


def test_what_is_in_the_way_of_a_new_volume_is_not_removed(store: VolumeStore) -> None:
    (store.root / "new").mkdir()
    (store.root / "new" / "precious").touch()
    with pytest.raises(VolumeError, match="create new: file exists"):
        store.ensure("new")
    assert (store.root / "new" / "precious").exists()


# ---- the image's content --------------------------------------------------------------------------------


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """What a directory holds, as far as a copy is to keep it; hard links by the first name."""
    found: dict[str, tuple[object, ...]] = {}
    first: dict[int, str] = {}
    for directory, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(directory, name)
            info, key = path.lstat(), str(path.relative_to(root))
            content: object = None
            if stat.S_ISREG(info.st_mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(info.st_mode):
                content = path.readlink()
            found[key] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_rdev, content,
                          first.setdefault(info.st_ino, key), attributes(path))  # fmt: skip
    return found


def attributes(path: Path) -> dict[str, bytes]:
    names = os.listxattr(path, follow_symlinks=False)
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in names}


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """A layer with one of everything in /var/data."""
    root = tmp_path / "lower"
    data = root / "var/data"
    (data / "sub/deep").mkdir(parents=True)
    (data / "file").write_bytes(b"x" * 100_000)
    (data / "sub/again").hardlink_to(data / "file")
    (data / "out").symlink_to("/etc/passwd")
    (root / "link").symlink_to("/var/data")
    os.mkfifo(data / "pipe")
    os.mknod(data / "null", stat.S_IFCHR | 0o640, os.makedev(1, 3))
    os.setxattr(data / "file", "user.note", b"kept")
    os.chown(data / "sub", 12, 34)
    (data / "sub/deep").chmod(0o2750)
    os.utime(data / "sub/deep", ns=(1, 2))
    os.chown(data, 70, 71)
    data.chmod(0o700)
    (data / "file").chmod(0o4755)
    return root


@pytest.mark.root
@pytest.mark.parametrize("path", ["/var/data", "var/data/", "/link", "/var/../link"])
def test_a_new_volume_gets_what_the_image_has_there(store: VolumeStore, layer: Path, path: str) -> None:
    store.ensure("data")
    store.populate("data", [layer], path)
    target = store.mountpoint("data")
    assert tree(target) == tree(layer / "var/data")
    info = target.stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (70, 71, 0o700)
    assert store.get("data").population == "done"


@pytest.mark.root
def test_upper_layers_count_and_no_trace_stays(store: VolumeStore, layer: Path, tmp_path: Path) -> None:
    upper = tmp_path / "upper"
    (upper / "var/data/sub").mkdir(parents=True)
    (upper / "var/data/file").write_text("newer")
    os.mknod(upper / "var/data/pipe", stat.S_IFCHR, os.makedev(0, 0))  # a whiteout
    os.setxattr(upper / "var/data/sub", "trusted.overlay.opaque", b"y")
    store.ensure("data")
    store.populate("data", [layer, upper], "/var/data")
    target = store.mountpoint("data")
    assert (target / "file").read_text() == "newer"
    assert not (target / "pipe").exists()
    assert list((target / "sub").iterdir()) == []
    assert not [name for name in os.listxattr(target / "sub") if "overlay" in name]
    assert [path.name for path in store.root.iterdir()] == ["data"]


@pytest.mark.root
def test_only_an_empty_volume_is_filled(store: VolumeStore, layer: Path) -> None:
    store.ensure("data")
    (store.mountpoint("data") / "own").touch()
    store.populate("data", [layer], "/var/data")
    assert [path.name for path in store.mountpoint("data").iterdir()] == ["own"]
    store.ensure("none")
    for path in ("/nowhere", "/link/file", "/etc"):
        store.populate("none", [layer], path)
    assert list(store.mountpoint("none").iterdir()) == []


@pytest.mark.root
def test_a_copy_that_was_cut_off_is_made_again(store: VolumeStore, layer: Path) -> None:
    store.ensure("data")
    store._put(msgspec.structs.replace(store.get("data"), population="started"))
    (store.mountpoint("data") / "half/of").mkdir(parents=True)
    again = VolumeStore(store.root)
    again.populate("data", [layer], "/var/data")
    assert tree(again.mountpoint("data")) == tree(layer / "var/data")


@pytest.mark.root
def test_what_is_written_after_a_cut_off_copy_is_kept(store: VolumeStore, layer: Path) -> None:
    store.ensure("data")
    store._put(msgspec.structs.replace(store.get("data"), population="started"))
    (store.mountpoint("data") / "half").touch()
    store.populate("data", [layer], "/nowhere")
    assert list(store.mountpoint("data").iterdir()) == []
    (store.mountpoint("data") / "own").touch()
    VolumeStore(store.root).populate("data", [layer], "/var/data")
    assert [path.name for path in store.mountpoint("data").iterdir()] == ["own"]


@pytest.mark.root
def test_a_part_of_a_volume_is_filled(store: VolumeStore, layer: Path, tmp_path: Path) -> None:
    store.ensure("data")
    inside, victim = store.mountpoint("data"), tmp_path / "victim"
    victim.mkdir()
    (inside / "own").touch()
    (inside / "part").mkdir()
    (inside / "out").symlink_to(victim)
    (inside / "up").symlink_to("../../../victim")
    for part in ("out", "up", "../../victim", "own", "missing"):
        store.populate("data", [layer], "/var/data", part)
    assert list(victim.iterdir()) == list((inside / "part").iterdir()) == []
    store.populate("data", [layer], "/var/data", "part")
    assert tree(inside / "part") == tree(layer / "var/data")
    store._put(msgspec.structs.replace(store.get("data"), population="started"))
    (inside / "part" / "half").touch()
    VolumeStore(store.root).populate("data", [layer], "/var/data", "part")
    assert tree(inside / "part") == tree(layer / "var/data")
    assert (inside / "own").exists()


@pytest.mark.root
def test_no_link_that_appears_in_the_target_is_followed(
    store: VolumeStore, layer: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    store.ensure("data")
    (store.mountpoint("data") / "sub").symlink_to(victim)
    source = os.open(layer / "var/data", os.O_RDONLY)
    target = os.open(store.mountpoint("data"), os.O_RDONLY)
    with pytest.raises(FileExistsError):
        copying.copy_tree(source, target)
    os.close(source)
    os.close(target)
    assert list(victim.iterdir()) == []


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\x00"), min_size=1, max_size=20)


@given(
    st.dictionaries(NAMES.filter(lambda name: name not in (".", "..")), st.binary(max_size=50), max_size=5)
)
def test_any_names_and_contents_are_copied(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]
) -> None:
    old, new = (tmp_path_factory.mktemp("tree") for _ in range(2))
    for name, content in files.items():
        (old / name).write_bytes(content)
    fds = [os.open(path, os.O_RDONLY) for path in (old, new)]
    copying.copy_tree(*fds)
    assert tree(new) == tree(old)
    copying.clear(fds[1])
    assert copying.is_empty(fds[1])
    for fd in fds:
        os.close(fd)


# ---- mounts that options ask for ------------------------------------------------------------------------


def mounted(path: Path) -> str:
    done = subprocess.run(
        ["findmnt", "-no", "FSTYPE,OPTIONS", str(path)], capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


@pytest.mark.root
def test_a_tmpfs_is_mounted_while_somebody_uses_it(store: VolumeStore) -> None:
    store.ensure("fast", options={"type": "tmpfs", "device": "tmpfs", "o": "size=1m,uid=1000,noexec"})
    target = store.mount("fast")
    try:
        store.mount("fast")
        assert {"noexec", "size=1024k", "uid=1000"} <= set(mounted(target).split()[1].split(","))
        store.unmount("fast")
        assert mounted(target)
        again = VolumeStore(store.root)  # the daemon was killed and its container runs on
        again.mount("fast")
        again.unmount("fast")
        assert not mounted(target)
    finally:
        subprocess.run(["umount", "-q", str(target)], check=False)


@pytest.mark.root
def test_a_bind_is_mounted_and_a_removal_spares_what_it_shows(store: VolumeStore, tmp_path: Path) -> None:
    source = tmp_path / "precious"
    source.mkdir()
    (source / "file").touch()
    store.ensure("bound", options={"type": "none", "device": str(source), "o": "bind,ro"})
    target = store.mount("bound")
    try:
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").touch()
        store.remove("bound")
        assert not mounted(target)
        assert [path.name for path in source.iterdir()] == ["file"]
    finally:
        subprocess.run(["umount", "-q", str(target)], check=False)


@pytest.mark.root
def test_what_cannot_be_mounted_says_so_and_leaves_nothing(store: VolumeStore) -> None:
    store.ensure("bad", options={"type": "none", "device": "/nowhere", "o": "bind"})
    with pytest.raises(VolumeError, match=r"failed to mount local volume bad: mount /nowhere:.*no such file"):
        store.mount("bad")
    assert not mounted(store.mountpoint("bad"))
    store.close()
