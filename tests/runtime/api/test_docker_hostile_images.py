"""Hostile archives through the docker command are refused, and the daemon keeps working."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.runtime.daemon_process import Daemon
from tests.runtime.tars import Entry, directory, entry, hardlink, symlink, tar

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]

GOOD = tar(directory("etc"), entry("etc/a", data=b"1"))


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def archive(
    layer: bytes = GOOD,
    *,
    config: bytes | None = None,
    image: dict[str, object] | None = None,
    manifest: bytes | None = None,
    more: tuple[Entry, ...] = (),
) -> bytes:
    """A docker archive of one image, in which anything may be replaced."""
    rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
    config = config or json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs}).encode()
    row = {"Config": "c.json", "RepoTags": ["harm:1"], "Layers": ["l.tar"]} | (image or {})
    files = (entry("c.json", data=config), entry("l.tar", data=layer))
    named = {info.name for info, _ in more}
    files = tuple(one for one in files if one[0].name not in named)
    return tar(*files, *more, entry("manifest.json", data=manifest or json.dumps([row]).encode()))


def bomb(gibibytes: int) -> bytes:
    """So many gibibytes of zeros in a file, compressed well."""
    head = tarfile.TarInfo("zeros")
    head.size = gibibytes << 30
    compress = zstandard.ZstdCompressor().compress
    return compress(head.tobuf()) + compress(bytes(16 << 20)) * (gibibytes << 6) + compress(bytes(1024))


SHADOW = "../../../../../../../../etc/shadow"
ARCHIVES = {
    "an absolute name": (archive(tar(entry("/evil"))), "is absolute"),
    "a name that climbs": (archive(tar(entry("../evil"))), "leaves the layer"),
    "through a link": (archive(tar(symlink("d", "/"), entry("d/evil"))), "goes through the symbolic link"),
    "a hard link out": (archive(tar(hardlink("x", SHADOW))), "leaves the layer"),
    "a whiteout of ..": (archive(tar(directory("d"), entry("d/.wh..."))), "is a whiteout of"),
    "a whiteout through a link": (archive(tar(symlink("d", "/etc"), entry("d/.wh.shadow"))), "goes through"),
    "an overlay mark": (
        archive(tar(directory("d", pax_headers={"SCHILY.xattr.trusted.overlay.redirect": "/etc"}))),
        "trusted.overlay.redirect",
    ),
    "an archive's own names": (archive(more=(entry("../evil"),)), "leaves the layer"),
    "a config elsewhere": (archive(image={"Config": SHADOW}), "archive has no"),
    "a layer elsewhere": (archive(image={"Layers": ["/etc/shadow"]}), "archive has no"),
    "a layer that is a link": (archive(more=(symlink("l.tar", SHADOW),)), "archive has no"),
    "a layer that is a device": (
        archive(more=(entry("l.tar", tarfile.CHRTYPE, devmajor=1, devminor=5),)),
        "archive has no",
    ),
    "another layer than the config's": (
        archive(config=json.dumps({"rootfs": {"diff_ids": [digest(b"x")]}}).encode()),
        "it was changed",
    ),
    "a diff id that climbs": (
        archive(config=json.dumps({"rootfs": {"diff_ids": ["sha256:../../x"]}}).encode()),
        "is not supported",
    ),
    "a name with ../": (archive(image={"RepoTags": ["../../x:1"]}), "invalid reference format"),
    "a name of another type": (archive(image={"RepoTags": [3]}), "is malformed"),
    "no list": (archive(manifest=b"{}"), "is malformed"),
    "no JSON": (archive(manifest=b"[{"), "is malformed"),
    "JSON without end": (archive(config=b'{"a":' * 100_000), "is malformed"),
    "more layers than a kernel takes": (
        archive(
            config=json.dumps({"rootfs": {"diff_ids": [digest(GOOD)] * 10_000}}).encode(),
            image={"Layers": ["l.tar"] * 10_000},
        ),
        "image has 10000 layers",
    ),
    "cut short": (archive()[:2000], "malformed"),
    "gzip cut short": (gzip.compress(archive())[:-9], "corrupt"),
    "a layer's gzip cut short": (archive(gzip.compress(GOOD)[:-9]), "cut short"),
    "nothing": (b"", "empty"),
}


@pytest.fixture(autouse=True)
def untouched(daemon: Daemon) -> Iterator[None]:
    """Nothing is written outside the store, nothing stays in it, and the daemon lives."""
    shadow = Path("/etc/shadow").stat()
    before, pid = everything(daemon), daemon.pid
    yield
    assert everything(daemon) == before
    after = Path("/etc/shadow").stat()
    assert (after.st_nlink, after.st_mtime_ns, after.st_mode) == (
        shadow.st_nlink, shadow.st_mtime_ns, shadow.st_mode,
    )  # fmt: skip
    for place in (Path("/"), Path("/tmp"), daemon.root.parent, daemon.root, daemon.root / "images/tmp"):
        assert not (place / "evil").exists()
    assert daemon.docker("version", "--format", "{{.Server.Version}}")
    assert daemon.pid == pid


def everything(daemon: Daemon) -> list[str]:
    return sorted(str(path) for path in (daemon.root / "images").rglob("*"))


@pytest.mark.parametrize("kind", ARCHIVES)
def test_an_archive_that_means_harm_is_refused(kind: str, daemon: Daemon) -> None:
    data, said = ARCHIVES[kind]
    done = daemon.docker_run("load", "-q", stdin=data)
    assert done.returncode == 1, done.stdout
    assert said in done.stderr.decode()


@pytest.mark.parametrize("verb", ["import", "load"])
def test_ten_gibibytes_in_a_megabyte_are_refused(verb: str, daemon: Daemon) -> None:
    data = bomb(10)
    assert len(data) < 1 << 20
    done = daemon.docker_run(*(("import", "-") if verb == "import" else ("load",)), stdin=data)
    assert done.returncode == 1
    assert "refused as a bomb" in done.stderr.decode()


def test_devices_and_setuid_programs_of_an_image_are_of_no_use_on_the_host(
    daemon: Daemon, tmp_path: Path
) -> None:
    rootfs = tmp_path / "busybox"
    shutil.copy(shutil.which("busybox") or "/bin/busybox", rootfs)
    layer = tar(
        entry("sh", data=rootfs.read_bytes(), mode=0o4755),
        entry("mem", tarfile.CHRTYPE, devmajor=1, devminor=1, mode=0o666),
    )
    daemon.docker("load", "-q", stdin=archive(layer))
    try:
        assert (daemon.root / "images").stat().st_mode & 0o077 == 0
        said = daemon.docker("run", "--rm", "-u", "1000", "harm:1", "/sh", "-c", "exec 3< /mem", check=False)
        assert "Operation not permitted" in said or "Permission denied" in said
    finally:
        daemon.docker("rmi", "-f", "harm:1")
