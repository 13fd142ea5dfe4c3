from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.engine import EngineError, bind, tmpfs
from runtime.oci.plan import PlanError
from runtime.oci.spec import Device, Mount

pytestmark = pytest.mark.root


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    (tmp_path / "volume/file").write_text("from the host")
    return tmp_path / "volume"


def test_a_directory_is_shared(run, volume):
    assert run("cat /data/deep/file; echo x > /data/deep/new", mounts=(bind(volume, "/data/deep"),)) == (
        0,
        "from the host",
    )
    assert (volume / "new").read_text() == "x\n"


def test_a_file_is_shared(run, volume):
    assert (
        run("cat /etc/some/where", mounts=(bind(volume / "file", "/etc/some/where"),))[1] == "from the host"
    )


def test_read_only_mounts_and_root(run, volume):
    mounts = (bind(volume, "/data", read_only=True), tmpfs("/scratch", size_bytes=1 << 20))
    script = "echo x > /data/new; echo x > /new; echo x > /scratch/new && cat /scratch/new"
    code, text = run(script, mounts=mounts, read_only=True)
    assert code == 0
    assert text.endswith("x")
    assert text.count("Read-only file system") == 2
    assert not (volume / "new").exists()


def test_a_new_mount_propagates_as_asked(run):
    for word, wanted in (("shared", "1"), ("private", "0")):
        mount = Mount(destination="/t", type="tmpfs", source="tmpfs", options=("nodev", word))
        assert run("grep -c ' /t .* shared:' /proc/self/mountinfo", mounts=(mount,))[1] == wanted


def test_places_behind_links_that_lead_nowhere_are_made_in_the_container(run, volume, rootfs, tmp_path):
    image, outside = tmp_path / "image", Path(f"/outside-{os.getpid()}")
    (image / "links").mkdir(parents=True)
    for name, target in (
        ("near", "gone"),
        ("far", str(outside)),
        ("up", "../../gone"),
        ("own", "own"),
    ):
        (image / "links" / name).symlink_to(target)
    layers = (str(rootfs), str(image))
    mounts = (
        bind(volume, "/links/near/sub"),
        bind(volume / "file", "/links/far"),
        tmpfs("/links/up/deep"),
    )
    script = f"cat /links/gone/sub/file {outside}; grep -c ' /gone/deep tmpfs' /proc/mounts"
    assert run(script, layers=layers, mounts=mounts) == (0, "from the hostfrom the host1")
    assert not outside.exists()
    with pytest.raises(EngineError, match=r"/links/own.*ELOOP"):
        run("true", layers=layers, mounts=(bind(volume, "/links/own"),))


def test_what_the_container_mounts_stays_there(run, volume):
    mounts = (bind(volume, "/data"),)
    script = "mount -t tmpfs x /data && grep -c '^x /data tmpfs' /proc/mounts"
    assert run(script, mounts=mounts, caps=None, seccomp="unconfined") == (0, "1")
    assert str(volume) not in Path("/proc/mounts").read_text()


def test_volumes_are_mounted_in_the_order_given(run, volume):
    mounts = (bind(volume, "/data"), tmpfs("/data/scratch"), bind(volume / "file", "/data/scratch/file"))
    assert run("cat /data/scratch/file; grep -c /data /proc/mounts", mounts=mounts)[1] == "from the host3"


def test_many_layers_topmost_first(run, rootfs, tmp_path):
    layers = [str(rootfs)]
    for number in range(40):
        layer = tmp_path / f"layer{number}"
        layer.mkdir()
        (layer / f"mark{number}").touch()
        (layer / "who").write_text(str(number))
        layers.append(str(layer))
    assert run("ls -d /mark* | wc -l; cat /who", layers=tuple(layers))[1].split() == ["40", "39"]


def test_paths_longer_than_an_option_of_the_new_mount_api(run, rootfs, tmp_path):
    deep = tmp_path.joinpath(*["d" * 100] * 4)
    deep.mkdir(parents=True)
    (deep / "deep").touch()
    assert len(os.fsencode(deep)) > 255
    assert run("ls /deep", layers=(str(rootfs), str(deep)))[1] == "/deep"


def test_devices(run):
    devices = (Device(path="/dev/mine", type="c", major=1, minor=5, file_mode=0o640, uid=7, gid=9),)
    assert run("stat -c '%a %u %g %t:%T' /dev/mine", devices=devices)[1] == "640 7 9 1:5"


@pytest.mark.parametrize(
    ("mount", "error", "message"),
    [
        (bind("/no/such/source", "/data"), EngineError, "/no/such/source: "),
        (bind("/tmp", "/proc"), PlanError, " /proc: "),
        (bind("/tmp", "//proc/sys/"), PlanError, " //proc/sys/: "),
        (bind("/tmp", "/x/../proc"), PlanError, r" /x/\.\./proc: "),
        (tmpfs("/sys/firmware"), PlanError, " /sys/firmware: "),
        (bind("/etc/passwd", "/etc"), EngineError, r"mount on /etc: .*directory onto a file \(or vice-versa"),
        (bind("/etc", "/etc/passwd"), EngineError, "Are you trying to mount a directory onto a file"),
        (Mount(destination="/x", type="nosuchfs"), EngineError, "nosuchfs .*/x: ENODEV"),
    ],
)
def test_a_mount_that_is_refused(run, mount, error, message):
    with pytest.raises(error, match=message):
        run("true", mounts=(mount,))
