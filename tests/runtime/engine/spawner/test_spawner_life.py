"""Containers in a real spawner: start, streams, exec, signals, limits, namespaces, release."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from pathlib import Path

import pytest

from runtime.engine import Limits, bind
from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
    StartFailedError,
)
from runtime.engine.spawner.protocol import Exec
from tests.runtime.engine.spawner.spawner_client import (
    connected,
    is_running,
    namespace,
    read_all,
    read_until,
    settled,
)
from tests.waiting import in_loop

pytestmark = pytest.mark.root


@in_loop
async def test_output_and_exit_status(root, layers):
    async with connected(root, layers) as client:
        name, started, (out, err) = await client.start("sh", "-c", "echo out; echo err >&2; exit 3")
        assert await read_all(out) == "out\n"
        assert await read_all(err) == "err\n"
        exited = await client.ended(name)
        assert (exited.code, exited.oom_killed) == (3, False)
        assert exited.finished_ns >= started.started_ns
        await client.spawner.release(name)
        with pytest.raises(NotFoundError, match="No such container"):
            await client.spawner.signal(name, 9)


@in_loop
async def test_input_ends_when_both_copies_are_closed(root, layers):
    async with connected(root, layers) as client:
        name, _, (into, out, err) = await client.start("cat", stdin=True)
        os.write(into, b"in")
        os.close(into)
        assert await read_until(out, b"in") == b"in"
        await client.spawner.close_stdin(name)
        assert await read_all(out) == ""
        assert (await client.ended(name)).code == 0
        assert len(await client.spawner.streams(name)) == 2
        os.close(err)
        await client.spawner.release(name)


@in_loop
async def test_without_input_there_is_the_null_device(root, layers):
    async with connected(root, layers) as client:
        assert (await client.run("cat"))[0].code == 0


@in_loop
async def test_a_terminal_has_its_size_from_the_first_moment(root, layers):
    script = "while stty size; do sleep 0.01; done"
    async with connected(root, layers) as client:
        name, _, (terminal,) = await client.start("sh", "-c", script, tty=True, rows=11, columns=22)
        assert b"11 22" in await read_until(terminal, b"22")
        await client.spawner.resize(name, 33, 44)
        assert b"33 44" in await read_until(terminal, b"44")
        await client.spawner.release(name)
        os.close(terminal)


@in_loop
async def test_without_a_terminal_nothing_is_resized(root, layers):
    async with connected(root, layers) as client:
        name, _, fds = await client.start("sleep", "1000")
        with pytest.raises(ConflictError, match=r"\bterminal\b"):
            await client.spawner.resize(name, 1, 1)
        await client.spawner.release(name)
        assert [await read_all(fd) for fd in fds] == ["", ""]


@in_loop
async def test_exec_shares_all_and_has_options_of_its_own(root, layers):
    async with connected(root, layers) as client:
        name, started, _ = await client.start("sleep", "1000")
        kinds = ("cgroup", "ipc", "mnt", "net", "pid", "uts")
        script = "for n in " + " ".join(kinds) + "; do readlink /proc/self/ns/$n; done; exit 4"
        exited, text = await client.exec(name, "sh", "-c", script)
        assert exited.code == 4
        assert text.split() == [namespace(started.pid, kind) for kind in kinds]
        script = "id -u; pwd; echo $HOME; echo $X"
        options = {"user": "alice", "cwd": "/tmp", "env": ("PATH=/bin", "HOME=/", "X=y")}
        assert (await client.exec(name, "sh", "-c", script, **options))[1].split() == [
            "1000",
            "/tmp",
            "/",
            "y",
        ]
        every = "grep CapEff /proc/self/status"
        plain = int((await client.exec(name, "sh", "-c", every))[1].split()[1], 16)
        raised = int((await client.exec(name, "sh", "-c", every, privileged=True))[1].split()[1], 16)
        assert plain & raised == plain != raised
        await client.spawner.release(name)


@in_loop
async def test_an_exec_ends_with_its_container(root, layers):
    async with connected(root, layers) as client:
        name, _, _ = await client.start("sleep", "1000")
        await client.spawner.exec(Exec(id=name, exec_id="e", argv=("sleep", "1000")))
        with pytest.raises(ConflictError, match=r"\be\b"):
            await client.spawner.exec(Exec(id=name, exec_id="e", argv=("true",)))
        with pytest.raises(ConflictError, match=r"\be\b"):
            await client.spawner.release(name, "e")
        await client.spawner.signal(name, signal.SIGKILL)
        assert (await client.ended(name)).code == 137
        assert (await client.ended(name, "e")).code == 137
        with pytest.raises(ConflictError, match="is not running"):
            await client.spawner.exec(Exec(id=name, exec_id="f", argv=("true",)))
        await client.spawner.release(name)


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (("nope",), 127, r"executable file not found in \$PATH"),
        (("/nope",), 127, "no such file or directory"),
        (("/etc/passwd",), 126, "permission denied"),
        (("/tmp",), 126, "permission denied"),
    ],
)
@in_loop
async def test_what_cannot_be_executed_leaves_nothing(root, layers, argv, code, words):
    async with connected(root, layers) as client:
        await client.run("true")
        before = await settled(client.spawner.pid)
        request = client.request(*argv, stdin=True)
        with pytest.raises(StartFailedError, match=words) as caught:
            await client.spawner.start(request)
        assert caught.value.exit_code == code
        with pytest.raises(NotFoundError):
            await client.spawner.usage(request.id)
        name, _, _ = await client.start("sleep", "1000")
        with pytest.raises(StartFailedError, match=words) as caught:
            await client.spawner.exec(Exec(id=name, exec_id="e", argv=argv, tty=True))
        assert caught.value.exit_code == code
        await client.spawner.release(name)
        await settled(client.spawner.pid, before)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"user": "nobody-here"}, "unable to find user nobody-here: no matching entries in passwd file"),
        ({"caps": ("CAP_NONSENSE",)}, "'CAP_NONSENSE'"),
        ({"sysctl": (("kernel.panic", "1"),)}, r"sysctl kernel\.panic"),
    ],
)
@in_loop
async def test_nonsense_is_a_bad_parameter(root, layers, config, message):
    async with connected(root, layers) as client:
        with pytest.raises(BadParameterError, match=message):
            await client.start("true", **config)


@in_loop
async def test_signals_reach_the_program(root, layers):
    script = "trap 'exit 7' TERM; echo ready; while true; do sleep 0.01; done"
    async with connected(root, layers) as client:
        name, _, (out, err) = await client.start("sh", "-c", script)
        await read_until(out, b"ready")
        await client.spawner.signal(name, signal.SIGTERM)
        assert (await client.ended(name)).code == 7
        await client.spawner.signal(name, signal.SIGTERM)
        os.close(out)
        os.close(err)
        await client.spawner.release(name)


@in_loop
async def test_a_paused_container_stands_still(root, layers):
    async with connected(root, layers) as client:
        name, _, (out, err) = await client.start("sh", "-c", "while echo; do :; done")
        await client.spawner.pause(name)
        with pytest.raises(ConflictError, match="unpause the container before exec"):
            await client.spawner.exec(Exec(id=name, exec_id="e", argv=("true",)))
        before = (await client.spawner.usage(name)).cpu_ns
        assert (await client.spawner.usage(name)).cpu_ns == before
        await client.spawner.unpause(name)
        assert (await client.exec(name, "true"))[0].code == 0
        await client.spawner.pause(name)
        await client.spawner.release(name)
        assert (await client.ended(name)).code == 137
        os.close(out)
        os.close(err)


@in_loop
async def test_usage_and_pids(root, layers):
    limits = Limits(memory_max=64 << 20, pids_max=10)
    async with connected(root, layers) as client:
        name, started, _ = await client.start("sh", "-c", "sleep 1000 & sleep 1000 & wait", limits=limits)
        while len(await client.spawner.pids(name)) < 3:
            await asyncio.sleep(0.01)
        usage = await client.spawner.usage(name)
        assert (usage.memory_max, usage.pids_max, usage.pids) == (64 << 20, 10, 3)
        assert usage.memory_bytes > 0
        assert usage.cpu_ns > 0
        assert started.pid in await client.spawner.pids(name)
        await client.spawner.update(name, Limits(pids_max=20))
        assert (await client.spawner.usage(name)).pids_max == 20
        await client.spawner.kill_all(name)
        assert (await client.ended(name)).code == 137
        assert await client.spawner.pids(name) == ()
        await client.spawner.release(name)


@in_loop
async def test_a_program_killed_for_memory_is_told_apart(root, layers):
    limits = Limits(memory_max=16 << 20, swap_max=0)
    async with connected(root, layers) as client:
        exited, _ = await client.run("tail", "/dev/zero", limits=limits)
        assert exited.oom_killed
        name, _, _ = await client.start("sleep", "1000", limits=limits)
        await client.spawner.signal(name, signal.SIGKILL)
        exited = await client.ended(name)
        assert (exited.code, exited.oom_killed) == (137, False)
        await client.spawner.release(name)


@in_loop
async def test_the_writable_layer_outlives_the_container(root, layers):
    async with connected(root, layers) as client:
        request = client.request(
            "sh", "-c", "echo kept > /kept; echo bob:x:77:77::/: >> /etc/passwd; rm /etc/group"
        )
        home = {"id": request.id, "home": request.config.home}
        await client.spawner.start(request)
        await client.ended(request.id)
        await client.spawner.release(request.id)
        assert Path(request.config.home, "u/kept").read_text() == "kept\n"
        assert (await client.run("sh", "-c", "cat /kept; id -u", user="bob", **home | {"id": "ab"}))[
            1
        ] == "kept\n77\n"
        names = (await client.run("ls", "/etc", **home | {"id": "ac"}))[1].split()
        assert "passwd" in names and "group" not in names


@in_loop
async def test_nothing_is_added_to_what_is_asked_for(root, layers):
    async with connected(root, layers) as client:
        asked = {"env": ("PATH=/bin", "X=y"), "user": "alice", "hostname": "given"}
        assert (await client.run("env", **asked))[1].split() == ["PATH=/bin", "X=y"]
        name, _, _ = await client.start("sleep", "1000", **asked)
        assert (await client.exec(name, "env"))[1].split() == ["PATH=/bin", "X=y"]
        assert (await client.exec(name, "env", env=("PATH=/bin",)))[1].split() == ["PATH=/bin"]
        assert (await client.exec(name, "hostname"))[1] == "given\n"
        await client.spawner.release(name)


@in_loop
async def test_namespaces_of_another_container(root, layers):
    names = {"pid": "pid", "ipc": "ipc", "uts": "uts", "network": "net"}
    async with connected(root, layers) as client:
        first, started, _ = await client.start(
            "sh", "-c", "echo here > /dev/shm/mark; exec sleep 1000", hostname="one"
        )
        while not (await client.exec(first, "cat", "/dev/shm/mark"))[1]:
            await asyncio.sleep(0.01)
        script = "cat /dev/shm/mark; hostname; ls -d /proc/1; sleep 1000"
        second, other, (out, err) = await client.start("sh", "-c", script, joined=dict.fromkeys(names, first))
        assert (await read_until(out, b"/proc/1")).split() == [b"here", b"one", b"/proc/1"]
        for kind in names.values():
            assert namespace(started.pid, kind) == namespace(other.pid, kind)
        assert namespace(started.pid, "mnt") != namespace(other.pid, "mnt")
        assert (await client.exec(second, "sh", "-c", "ps | grep -c sleep"))[0].code == 0
        await client.spawner.signal(first, signal.SIGKILL)  # takes along who shares its pid namespace
        assert (await client.ended(first)).code == 137
        assert (await client.ended(second)).code == 137
        for name in (first, second):
            await client.spawner.release(name)
        os.close(out)
        os.close(err)


@in_loop
async def test_what_outlives_a_program_without_a_pid_namespace_is_killed(root, layers):
    namespaces = ("mount", "uts", "ipc", "network", "cgroup")
    async with connected(root, layers) as client:
        name, _, fds = await client.start("sh", "-c", "sleep 1000 & echo $!", namespaces=namespaces)
        pid = int((await read_all(fds[0])).strip())  # ends only when the sleep is gone too
        assert (await client.ended(name)).code == 0
        await client.spawner.release(name)
        assert not is_running(pid)
        os.close(fds[1])


@in_loop
async def test_the_hosts_namespaces_when_left_out(root, layers):
    async with connected(root, layers) as client:
        name, started, _ = await client.start("sleep", "1000", namespaces=("mount", "cgroup"), network="host")
        for kind in ("net", "ipc", "uts", "pid"):
            assert namespace(started.pid, kind) == namespace(os.getpid(), kind)
        await client.spawner.release(name)


@in_loop
async def test_a_release_kills_what_runs(root, layers):
    async with connected(root, layers) as client:
        name, started, fds = await client.start("sh", "-c", "sleep 1000 & trap '' TERM; sleep 1000")
        await asyncio.gather(client.spawner.release(name), client.spawner.release(name))
        assert not Path(f"/proc/{started.pid}").exists()
        assert (await client.ended(name)).code == 137
        assert [await read_all(fd) for fd in fds] == ["", ""]
        await client.spawner.release("unknown")


@in_loop
async def test_one_id_at_a_time(root, layers):
    async with connected(root, layers) as client:
        request = client.request("sleep", "1000")
        await client.spawner.start(request)
        with pytest.raises(ConflictError, match=request.id):
            await client.spawner.start(request)
        await client.spawner.release(request.id)
        await client.spawner.start(request)
        await client.spawner.release(request.id)


@in_loop
async def test_a_mount_source_that_is_not_there(root, layers):
    async with connected(root, layers) as client:
        with pytest.raises(EngineError, match="/no/such: "):
            await client.start("true", mounts=(bind("/no/such", "/x"),))


def _pins(pid: int, name: str) -> bool:
    """Whether a process holds a namespace by a descriptor."""
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            if str(link.readlink()) == name:
                return True
    return False


@in_loop
async def test_mounts_outlast_the_program_until_it_is_released(root, layers):
    async with connected(root, layers) as client:
        name, started, fds = await client.start("cat", stdin=True)
        mounts = str(Path(f"/proc/{started.pid}/ns/mnt").readlink())
        for fd in fds:
            os.close(fd)
        await client.spawner.signal(name, signal.SIGKILL)
        await client.ended(name)
        assert _pins(client.spawner.pid, mounts)
        await client.spawner.release(name)
        for _ in range(500):
            pinned = _pins(client.spawner.pid, mounts) or _pins(os.getpid(), mounts)
            if not pinned:
                break
            await asyncio.sleep(0.01)
        assert not pinned


@in_loop
async def test_a_path_of_the_host_is_free_when_the_program_has_ended(root, layers, tmp_path):
    (tmp_path / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path / "disk"], check=True)
    try:
        async with connected(root, layers) as client:
            name, _, fds = await client.start("true", mounts=(bind(tmp_path / "disk", "/disk"),))
            for fd in fds:
                os.close(fd)
            await client.ended(name)
            subprocess.run(["umount", tmp_path / "disk"], check=True)
            await client.spawner.release(name)
    finally:
        subprocess.run(["umount", tmp_path / "disk"], stderr=subprocess.DEVNULL)


@in_loop
async def test_its_own_program_cannot_be_overwritten(root, layers, tmp_path):
    """CVE-2019-5736: a program that is a link to /proc/self/exe starts the spawner's own, and reaches it."""
    (tmp_path / "evil").symlink_to("/proc/self/exe")
    async with connected(root, (str(tmp_path), *layers)) as client:
        exe = f"/proc/{client.spawner.pid}/exe"
        assert os.statvfs(exe).f_flag & os.ST_RDONLY
        with pytest.raises(OSError, match=r"Read-only file system|Text file busy"):
            os.open(exe, os.O_WRONLY)
        before = Path(exe).read_bytes()
        # Whether it starts hangs on the libraries of the image; busybox alone has none for it.
        with pytest.raises(StartFailedError, match="/evil"):
            await client.start("/evil", "-c", "open('/proc/self/exe', 'r+b')")
        _, _, (out, err) = await client.start(
            "sh", "-c", "for n in /proc/[0-9]*/exe /proc/self/exe; do echo x >> $n || echo refused; done"
        )
        assert "refused" in await read_all(out)
        assert "Read-only" in (said := await read_all(err)) or "busy" in said
        assert Path(exe).read_bytes() == before
