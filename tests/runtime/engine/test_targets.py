"""Places to mount on, made once for an image: they are there, and what the image has is as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine, bind
from runtime.engine.directories import Directories
from runtime.engine.mount_point_layer import add_targets
from runtime.spawn.owner import Owner

pytestmark = pytest.mark.root


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[Directories]:
    made = Directories(tmp_path / "root", Owner.current())
    yield made
    made.close()


def names(directory: Path | str) -> list[str]:
    return sorted(path.name for path in Path(directory).iterdir())


def test_what_is_missing_is_made_as_the_image_would_have_it(directories: Directories, tmp_path: Path):
    image = tmp_path / "image"
    (image / "etc").mkdir(parents=True, mode=0o711)
    (image / "etc/hosts").write_text("the image's")
    (image / "sys").symlink_to("/elsewhere")
    os.chown(image / "etc", 7, 8)
    os.utime(image / "etc", ns=(1, 2_000_000_000))
    *layers, above = add_targets((str(image),), directories)
    assert layers == [str(image)]
    found = sorted(str(path.relative_to(above)) for path in Path(above).rglob("*"))
    assert found == ["dev", "etc", "etc/hostname", "etc/resolv.conf", "proc"]
    info = Path(above, "etc").stat()
    assert (info.st_mode & 0o777, info.st_uid, info.st_gid, info.st_mtime) == (0o711, 7, 8, 2)


def test_a_file_behind_a_link_that_leads_nowhere_is_made_where_it_points_to(
    directories: Directories, tmp_path: Path
):
    etc = tmp_path / "image/etc"
    etc.mkdir(parents=True)
    (etc / "resolv.conf").symlink_to("../run/systemd/stub.conf")
    (etc / "hosts").symlink_to(f"{tmp_path}/outside")
    (etc / "hostname").symlink_to("hostname")
    above = add_targets((str(tmp_path / "image"),), directories)[-1]
    assert Path(above, "run/systemd/stub.conf").is_file()
    assert Path(f"{above}{tmp_path}/outside").is_file()
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("etc", ["link", "file"])
def test_what_is_not_a_directory_is_left_alone(directories: Directories, tmp_path: Path, etc: str):
    (tmp_path / "image").mkdir()
    if etc == "link":
        (tmp_path / "image/etc").symlink_to(tmp_path)
    else:
        (tmp_path / "image/etc").write_text("")
    above = add_targets((str(tmp_path / "image"),), directories)[-1]
    assert names(above) == ["dev", "proc", "sys"]
    assert not (tmp_path / "hosts").exists()


def test_an_image_that_lacks_nothing_gets_no_layer(directories: Directories, tmp_path: Path):
    for name in ("dev", "proc", "sys", "etc"):
        (tmp_path / "image" / name).mkdir(parents=True)
    for name in ("hosts", "hostname", "resolv.conf"):
        (tmp_path / "image/etc" / name).touch()
    assert add_targets((str(tmp_path / "image"),), directories) == (str(tmp_path / "image"),)
    assert names(directories.run) == []


@pytest.mark.parametrize("warm", [False, True])
def test_links_of_the_image_and_of_the_container_may_lead_nowhere(rootfs: Path, tmp_path: Path, warm: bool):
    for below, name in (("image", "hostname"), ("home/u", "hosts")):
        (tmp_path / below / "etc").mkdir(parents=True)
        (tmp_path / below / "etc" / name).symlink_to(f"../gone/{name}")
    (tmp_path / "own").write_text("own")
    config = ContainerConfig(
        layers=(str(rootfs), str(tmp_path / "image")),
        home=str(tmp_path / "home"),
        argv=("sh", "-c", 'test "$(cat /gone/hostname /gone/hosts)" = ownown'),
        mounts=(bind(tmp_path / "own", "/etc/hosts"), bind(tmp_path / "own", "/etc/hostname")),
    )
    with Engine(tmp_path / "root", targets=True) as engine:
        if warm:
            engine.warm(config)
        container = engine.create(config)
        container.start()
        assert container.wait() == 0


def test_a_container_keeps_nothing_of_it(rootfs: Path, tmp_path: Path):
    (tmp_path / "hosts").write_text("own")
    config = ContainerConfig(
        layers=(str(rootfs),),
        argv=("sh", "-c", "cat /etc/hosts > /etc/seen"),
        mounts=(bind(tmp_path / "hosts", "/etc/hosts"),),
    )
    with Engine(tmp_path / "root", targets=True) as engine:
        engine.warm(config)
        container = engine.create(config)
        container.start()
        assert container.wait() == 0
        (home,) = engine._resources.directories.runs.glob("*/*/u/etc/seen")
        assert home.read_text() == "own"
        assert names(home.parent) == ["seen"]
        container.remove()
    assert names(tmp_path / "root/run") == []
