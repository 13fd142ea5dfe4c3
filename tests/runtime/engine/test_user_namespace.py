from __future__ import annotations

import os
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, EngineError, bind
from runtime.oci import defaults
from runtime.oci.spec import IdMapping
from runtime.spawn.idmaps import IdMaps, IdRange, make_user_namespace
from runtime.spawn.tape import StepError

BASE = 200_000
MAP = (IdMapping(container_id=0, host_id=BASE, size=65536),)
OPTIONS = {"namespaces": (*defaults.NAMESPACES, "user"), "uid_map": MAP, "gid_map": MAP}


@pytest.fixture(scope="module", autouse=True)
def _may_make_user_namespaces():
    if os.geteuid() != 0:
        pytest.skip("needs root: it writes id maps")
    try:
        os.close(make_user_namespace(IdMaps((IdRange(0, BASE, 1),), (IdRange(0, BASE, 1),))))
    except StepError as error:
        pytest.skip(str(error))


@pytest.mark.root
def test_root_inside_is_another_user_outside(engine, rootfs):
    config = ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", "touch /new; sleep 1000"), **OPTIONS)
    container = engine.create(config)
    container.start()
    while not Path(container._home, "u/new").exists():
        assert container.wait(0.01) is None
    owner = Path(container._home, "u/new").stat()
    assert (owner.st_uid, owner.st_gid) == (BASE, BASE)
    assert Path(f"/proc/{container.pid}").stat().st_uid == BASE
    process = container.exec(["sh", "-c", "touch /second"])
    assert process.wait() == 0
    assert Path(container._home, "u/second").stat().st_uid == BASE
    container.remove()


@pytest.mark.root
def test_the_image_belongs_to_root_inside(run):
    assert run("id -u; stat -c %u:%g /etc/passwd; cat /proc/self/uid_map", **OPTIONS)[1].split() == [
        "0", "0:0", "0", str(BASE), "65536",
    ]  # fmt: skip


@pytest.mark.root
@pytest.mark.parametrize("name", ["user", "pid", "mnt", "net", "ipc", "uts"])
def test_its_namespaces_are_its_own(run, name):
    mine = str(Path(f"/proc/self/ns/{name}").readlink())
    assert run(f"readlink /proc/self/ns/{name}", **OPTIONS)[1] != mine


@pytest.mark.root
def test_devices_masks_and_loopback_work(run):
    script = "echo x > /dev/null && head -c4 /dev/zero | wc -c; cat /proc/interrupts; ip a | grep -c 'lo.*UP'"
    assert run(script, **OPTIONS)[1].split() == ["4", "1"]


@pytest.mark.root
def test_what_belongs_to_the_hosts_root_stays_its(run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    code, text = run("cat /secret", mounts=(bind(secret, "/secret"),), **OPTIONS)
    assert code != 0
    assert "Permission denied" in text


@pytest.mark.root
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uid_map": ()}, "uid_map"),
        ({"network": "nat"}, r"\bnat\b"),
    ],
)
def test_what_cannot_be_had(run, change, message):
    with pytest.raises(EngineError, match=message):
        run("true", **{**OPTIONS, **change})


def test_ids_are_looked_up_in_the_maps():
    maps = IdMaps((IdRange(0, 1000, 10), IdRange(10, 5000, 5)), (IdRange(0, 70, 1),))
    assert maps.outside(12, 0) == (5002, 70)
    with pytest.raises(KeyError):
        maps.outside(15, 0)
