from __future__ import annotations

import os
import select
from pathlib import Path

import pytest

from runtime.engine import Container, ContainerConfig, ContainerStateError, EngineError
from runtime.oci import defaults
from runtime.spawn import capabilities

pytestmark = pytest.mark.root

KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "time", "uts")


@pytest.fixture(params=[defaults.NAMESPACES, (*defaults.NAMESPACES, "time")], ids=["docker", "time"])
def container(request, engine, rootfs):
    config = ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000"), namespaces=request.param)
    container = engine.create(config)
    container.start()
    yield container
    container.remove()


def execute(container: Container, *argv: str, **options: object) -> tuple[int, str]:
    read, write = os.pipe2(os.O_CLOEXEC)
    process = container.exec(argv, -1, write, write, **options)
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    return process.wait(), text.strip()


def test_it_is_in_all_namespaces_of_the_container(container):
    script = "for n in " + " ".join(KINDS) + "; do readlink /proc/self/ns/$n; done"
    code, text = execute(container, "sh", "-c", script)
    assert code == 0
    assert text.split() == [str(Path(f"/proc/{container.pid}/ns/{kind}").readlink()) for kind in KINDS]


def test_it_has_the_containers_cgroup_and_rights(container):
    read, write = os.pipe2(os.O_CLOEXEC)
    process = container.exec(["cat"], read, -1, -1)
    assert process.pid in container._group.procs()
    lines = Path(f"/proc/{process.pid}/status").read_text().split("\n")
    found = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    cgroups = [Path(f"/proc/{pid}/cgroup").read_text() for pid in (process.pid, container.pid)]
    assert cgroups[0] == cgroups[1]
    assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == capabilities.mask(capabilities.DEFAULT)
    assert (found["CapInh"], found["CapAmb"]) == ("0" * 16, "0" * 16)
    assert found["Seccomp"] == "2"
    os.close(write)
    os.close(read)
    assert process.wait() == 0


def test_it_gets_three_descriptors_and_no_other(container):
    script = "for n in $(seq 0 40); do [ -e /proc/$$/fd/$n ] && echo $n; done; true"
    assert execute(container, "sh", "-c", script)[1].split() == ["0", "1", "2"]


def test_options_replace_the_containers_own(container):
    script = "id -u; id -G; pwd; echo $X"
    options = {"user": "alice", "cwd": "/tmp", "env": ("PATH=/bin", "X=y")}
    assert execute(container, "sh", "-c", script, **options)[1].split() == ["1000", "1000", "44", "/tmp", "y"]


def test_it_has_a_terminal_of_the_containers(container):
    process = container.exec(["sh", "-c", "tty; echo out > /dev/tty; exit 3"], tty=True)
    text = b""
    while select.select([process.tty_fd], [], [], 60)[0]:
        try:
            text += os.read(process.tty_fd, 100)
        except OSError:
            break
    os.close(process.tty_fd)
    assert process.wait() == 3
    assert text.split() == [b"/dev/pts/0", b"out"]


def test_a_program_that_is_not_there(container):
    with pytest.raises(EngineError, match=r': exec: "nope": executable file not found in \$PATH$'):
        container.exec(["nope"])


def test_without_a_mount_namespace_it_is_in_the_same_root(engine, rootfs):
    config = ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000"), namespaces=("pid",))
    container = engine.create(config)
    container.start()
    code, text = execute(container, "sh", "-c", "echo /*; grep -c alice /etc/passwd")
    container.remove()
    assert code == 0
    assert text.split()[-1] == "1"
    assert "/home" not in text


def test_the_end_of_the_container_ends_it(container):
    process = container.exec(["sleep", "1000"])
    container.kill()
    assert container.wait() == 137
    assert process.wait() == 137
    with pytest.raises(ContainerStateError):
        container.exec(["true"])


def test_own_children_are_still_born_in_the_hosts_pid_namespace(container):
    execute(container, "true")
    own, children = (Path(f"/proc/thread-self/ns/{name}").readlink() for name in ("pid", "pid_for_children"))
    assert own == children
