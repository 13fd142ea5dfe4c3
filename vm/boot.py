"""The two ways to start a VM, each with timestamped phases: a boot, and a restore of a saved state.

QEMU is started paused, so that both sockets are connected before the guest's first byte. The main program is
sent then, too, so that the agent spawns it as soon as it is up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from vm.client import AgentClient, Stream
from vm.config import SavedVm, VmConfig, VmRecord
from vm.disk import build_data, copy_sparse, data_template
from vm.domain import DomainSpec, VmFiles, domain_xml
from vm.driver_client import Driver
from vm.errors import VmError
from vm.network import add_tap
from vm.owner import Owner

Connect = Callable[[VmFiles, str], AgentClient]


class Booted(msgspec.Struct, frozen=True):
    """A started guest: the connection to its agent, its record, and the main program if there is one."""

    client: AgentClient
    record: VmRecord
    main: Stream | None


def connect_guest(files: VmFiles, name: str) -> AgentClient:
    """Connect both sockets of a paused guest."""
    with ExitStack() as undo:
        sockets = []
        for path in (files.agent, files.console):
            sock = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC))
            try:
                sock.connect(str(path))
            except OSError as error:
                raise VmError(f"connect to {name}: {path}: {error.strerror}; did QEMU start?") from error
            sockets.append(sock)
        undo.pop_all()
        return AgentClient(sockets[0], sockets[1], name)


def boot(driver: Driver, request: DomainSpec, cache: Path, connect: Connect, requested_ns: int) -> Booted:
    """Boot until the agent's hello, or with `until_output` the program's first byte."""
    config, name = request.config, request.name
    _make_disks(config, request.files, cache)
    if config.network:
        add_tap(name, config.network, request.owner)
    prepared = time.monotonic_ns()
    defined, _ = driver.start(name, domain_xml(request))
    client = connect(request.files, name)
    try:
        main = client.spawn(config.argv, config.env or None) if config.argv else None
        resumed = time.monotonic_ns()
        driver.resume(name)
        client.wait_hello(config.timeout_s)
        first = client.wait_first_output(main, config.timeout_s) if main and config.until_output else None
    except BaseException:
        client.close()
        raise
    record = start_record(client, (requested_ns, prepared, defined, resumed), first)
    return Booted(client, record, main)


def start_record(client: AgentClient, stamps: tuple[int, int, int, int], first: int | None) -> VmRecord:
    """Compute the phases from the host's stamps (requested, prepared, defined, resumed) and hello.

    Zero of the kernel's clock, on the host's clock, is the arrival of hello minus the guest's boot clock in
    it. The agent's start is the arrival of its first line on the console; without a console it is computed
    from hello in the same way. A wrong emulated clock could put zero before QEMU ran or after the agent
    started, so it is clamped to that range.
    """
    assert client.hello is not None
    requested, prepared, defined, resumed = stamps
    boot_clock, init_clock, _ = client.hello
    ready = client.hello_ns
    init = client.link.init_ns or ready - boot_clock + init_clock
    zero = min(max(ready - boot_clock, resumed), init)
    ends = [
        ("prepare", prepared),
        ("define", defined),
        ("create", resumed),
        ("firmware", zero),
        ("kernel", init),
        ("init", ready),
    ]
    if first is not None:
        ends.append(("program", first))
    return VmRecord(
        way="start",
        requested_ns=requested,
        ready_ns=ready,
        first_output_ns=first,
        phases=_durations(requested, ends),
    )


def wake(
    driver: Driver, saved: SavedVm, files: VmFiles, owner: Owner, connect: Connect, requested_ns: int
) -> Booted:
    """Restore a saved state until the agent answers; it gets our wall clock and fresh random bytes, too."""
    for copy, disk in saved.disks:
        copy_sparse(copy, disk)
    if saved.config.network:
        add_tap(saved.name, saved.config.network, owner)
    prepared = time.monotonic_ns()
    created = driver.restore(saved.name, str(saved.path))
    client = connect(files, saved.name)
    try:
        driver.resume(saved.name)
        ready = client.ping(saved.config.timeout_s, wake=True)[3]
    except BaseException:
        client.close()
        raise
    record = VmRecord(
        way="restore",
        requested_ns=requested_ns,
        ready_ns=ready,
        first_output_ns=None,
        phases=_durations(requested_ns, [("prepare", prepared), ("create", created), ("resume", ready)]),
    )
    return Booted(client, record, None)


def _make_disks(config: VmConfig, files: VmFiles, cache: Path) -> None:
    copy_sparse(config.image.overlay, files.overlay)
    if files.data is not None and config.data_content is not None:
        build_data(files.data, config.data_disk_mib, config.data_content)
    elif files.data is not None:
        copy_sparse(data_template(config.data_disk_mib, cache), files.data)


def _durations(start: int, ends: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    """Turn the ends of phases into durations; each begins when the previous one ended."""
    begins = [start, *(end for _, end in ends)]
    return tuple((name, end - begin) for (name, end), begin in zip(ends, begins, strict=False))
