"""Escapes by their advisories' numbers, where a container is joined, kept, or given a look at its cgroup.

What concerns a start alone is in test_container_hardening.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runtime.engine import Container, ContainerConfig, Engine, EngineError
from runtime.oci.plan import PlanError
from tests.waiting import eventually

pytestmark = pytest.mark.root


@pytest.fixture
def start(engine: Engine, rootfs: Path) -> Iterator[Callable[..., Container]]:
    """Start a container that stays; all are removed."""
    made: list[Container] = []

    def start(*argv: str, joined: dict[str, Container] | None = None, **config: object) -> Container:
        config.setdefault("layers", (str(rootfs),))
        container = engine.create(ContainerConfig(argv=argv or ("sleep", "1000"), **config), joined=joined)
        made.append(container)
        container.start()
        return container

    yield start
    for container in reversed(made):
        container.remove()


def execute(container: Container, script: str, **options: object) -> tuple[int, str]:
    read, write = os.pipe2(os.O_CLOEXEC)
    process = container.exec(["sh", "-c", script], -1, write, write, **options)
    os.close(write)
    with os.fdopen(read) as output:
        text = output.read()
    return process.wait(), text.strip()


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def test_the_init_cannot_be_overwritten(start):
    """CVE-2019-5736: all containers share it."""
    container = start("sleep", "1000", init=True)
    # The kernel lets go of who waits for the execve a moment before it exchanges the program.
    while Path(f"/proc/{container.pid}/exe").samefile("/proc/self/exe"):
        pass
    before = Path(f"/proc/{container.pid}/exe").read_bytes()
    script = "exec 3< /proc/1/exe; (echo x > /proc/1/exe); echo x > /proc/self/fd/3; true"
    text = execute(container, script, caps=("DAC_OVERRIDE", "SYS_PTRACE"))[1]
    assert text
    assert Path(f"/proc/{container.pid}/exe").read_bytes() == before
    with pytest.raises(OSError, match=r"Text file busy|Operation not permitted"):
        os.open(f"/proc/{container.pid}/exe", os.O_WRONLY)


@pytest.mark.parametrize("cwd", ["/proc/self/fd/7", "/proc/self/fd/8/..", "/proc/1/cwd", "/escape/x"])
def test_an_execs_working_directory_outside_is_refused(start, rootfs, tmp_path, cwd):
    """CVE-2024-21626."""
    (tmp_path / "escape").symlink_to("/proc/self/fd/7")
    container = start(layers=(str(rootfs), str(tmp_path)))
    with pytest.raises(EngineError, match=r" /(proc|escape)\b.*: (ELOOP|ENOENT)"):
        container.exec(["pwd"], cwd=cwd)


def test_nothing_but_stdio_is_inherited_by_an_exec(start):
    """CVE-2024-21626, CVE-2016-9962."""
    container = start()
    held = os.open("/", os.O_RDONLY)
    os.set_inheritable(held, True)
    try:
        script = "for n in $(seq 0 90); do [ -e /proc/$$/fd/$n ] && echo $n; done; true"
        assert execute(container, script)[1].split() == ["0", "1", "2"]
    finally:
        os.close(held)


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize("user", ["0", "alice"])
def test_no_capability_is_inheritable(start, user, init):
    """CVE-2022-29162."""
    container = start("sleep", "1000", init=init, user=user)
    process = container.exec(["sleep", "1000"])
    for pid in (container.pid, process.pid):
        found = status(pid)
        assert (found["CapInh"], found["CapAmb"]) == ("0" * 16, "0" * 16)


def test_the_cgroup_can_be_seen_but_not_written(start):
    """CVE-2022-0492."""
    container = start(cgroup_view=True)
    found = execute(container, "find /sys/fs/cgroup -name '*.procs' | head -n 1")[1]
    assert found.startswith("/sys/fs/cgroup/")
    assert str(container.exec(["true"]).wait()) == "0"
    assert "1" in execute(container, f"cat {found}")[1].split()
    script = f"""
        (echo 0 > {found}) && echo written
        mkdir {Path(found).parent}/mine && echo made
        mount -t cgroup2 none /tmp && echo mounted
        mount -t cgroup -o memory none /tmp && echo mounted
        mount -o remount,rw {Path(found).parent} && echo remounted
        umount {Path(found).parent} && echo unmounted
        find /sys/fs/cgroup -name release_agent
        touch /sys/fs/cgroup/x && echo touched
        true
    """
    text = execute(container, script)[1]
    assert not {"written", "made", "mounted", "remounted", "unmounted", "touched"} & set(text.split())
    assert "release_agent" not in text
    assert not int(status(container.pid)["CapBnd"], 16) >> 21 & 1  # SYS_ADMIN


def test_only_the_containers_own_cgroup_is_seen(start):
    other = start()
    container = start(cgroup_view=True)
    listed = execute(container, "find /sys/fs/cgroup -name cgroup.procs -exec cat {} +")[1].split()
    assert str(other.pid) not in listed
    assert "nn-" not in execute(container, "find /sys/fs/cgroup")[1]


def test_what_a_kept_layer_makes_of_proc_is_refused(start, rootfs, tmp_path):
    """CVE-2019-19921, by way of a layer that a container has written."""
    home = tmp_path / "home"
    (home / "u").mkdir(parents=True)
    (home / "u/proc").symlink_to("/tmp")
    with pytest.raises(EngineError, match=r" /proc .*: ELOOP"):
        start("true", home=str(home))
    assert [path.name for path in (home / "u").iterdir()] == ["proc"]


def test_masks_do_not_come_from_the_images_dev(start, rootfs, tmp_path):
    """CVE-2025-31133."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/null").write_text("chosen by the image")
    container = start(layers=(str(rootfs), str(tmp_path)))
    assert execute(container, "stat -c '%t:%T' /proc/interrupts /dev/null")[1].split() == ["1:3", "1:3"]
    assert execute(container, "cat /proc/interrupts /proc/keys")[1] == ""


def test_a_shared_dev_shm_that_is_a_link_is_refused(start):
    """Another container's /dev is that container's to change."""
    first = start(privileged=True)
    assert execute(first, "umount /dev/shm && rmdir /dev/shm && ln -s / /dev/shm")[0] == 0
    with pytest.raises(EngineError, match=r"/dev/shm: ELOOP"):
        start(joined={"ipc": first})


def test_the_spawners_own_programs_are_out_of_reach(start):
    """A pid namespace shared with another container shows that container's processes, never the engine's."""
    first = start()
    second = start(joined={"pid": first}, caps=("SYS_PTRACE", "DAC_OVERRIDE", "SETUID"))
    # execve() wakes the caller of vfork() just before it replaces the program.
    for container in (first, second):
        command = Path(f"/proc/{container.pid}/cmdline")
        eventually(lambda command=command: b"sleep" in command.read_bytes())
    text = execute(second, "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline; echo; done")[1]
    assert text.count("sleep 1000") == 2
    assert "python" not in text


def test_a_container_that_is_not_privileged_opens_no_disk(start):
    container = start(caps=("MKNOD", "DAC_OVERRIDE", "SYS_RAWIO"))
    script = "mknod /tmp/mem c 1 1 && head -c 1 /tmp/mem; mknod /tmp/kmsg c 1 11 && head -c 1 /tmp/kmsg"
    code, text = execute(container, script)
    assert code != 0
    assert "Operation not permitted" in text


def test_the_console_is_the_terminal_whatever_the_image_has_there(start, rootfs, tmp_path):
    """CVE-2025-52565: it is bound by descriptor, and /dev and /dev/pts are not the image's."""
    outside = tmp_path / "outside"
    outside.write_text("as it was")
    (tmp_path / "layer/dev/pts").mkdir(parents=True)
    (tmp_path / "layer/dev/console").symlink_to(f"/proc/1/root/{outside}")
    (tmp_path / "layer/dev/pts/0").symlink_to("/etc/passwd")
    container = start(layers=(str(rootfs), str(tmp_path / "layer")), tty=True)
    script = "stat -c '%F %t' /dev/console /dev/pts/0; echo said > /dev/console"
    assert execute(container, script) == (0, "character special file 88\ncharacter special file 88")
    assert b"said" in os.read(container.tty_fd, 100)
    assert outside.read_text() == "as it was"


@pytest.mark.parametrize(
    "name",
    ["net/../kernel/panic", "net./../kernel/panic", "net.ipv4/../../kernel.panic", "fs.mqueue./..", "net"],
)
def test_a_kernel_parameter_leads_nowhere_else(start, name):
    """CVE-2025-52881: what is written is below the parameters of the container's own namespaces."""
    before = Path("/proc/sys/kernel/panic").read_text()
    with pytest.raises((EngineError, PlanError)):
        start("true", sysctl=((name, "77"),))
    assert Path("/proc/sys/kernel/panic").read_text() == before
