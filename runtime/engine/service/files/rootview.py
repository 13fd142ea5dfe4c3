"""Open a container's root file system as a descriptor, whether it runs or not.

A running container's root is that of its processes. The root of one that does not run is assembled, from its
layers, volumes and binds, in a private mount namespace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import stat
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.errors import EngineError
from runtime.engine.paths_in_root import make_directories, make_file, open_in
from runtime.engine.service.model.record import ContainerRecord, MountPoint
from runtime.engine.service.rules.mounting import subpath_of
from runtime.spawn.errnos import errno_text
from runtime.spawn.linux import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_RECURSIVE,
    CLONE_NEWNS,
    MOUNT_ATTR_RDONLY,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
)
from runtime.spawn.mount_anchor import make_anchor
from runtime.spawn.mount_copies import clone_mount, clone_mount_beneath
from runtime.spawn.mounts import add_enter_anchor
from runtime.spawn.namespaces import in_own_thread
from runtime.spawn.overlay import make_overlay, make_read_only_overlay
from runtime.spawn.tape import Slot, Tape

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

log = logging.getLogger(__name__)

_CLONE_FS = 0x200


def layers_of(service: Service, record: ContainerRecord) -> list[str]:
    """Return the directories a container's root is made of, lowest first, its own last if there is one."""
    upper = service.containers.directory(record.id) / "layer" / "u"
    lower = [str(layer) for layer in service.containers.layers(record.id)]
    return [*lower, str(upper)] if upper.is_dir() else lower


@contextlib.asynccontextmanager
async def root_of(service: Service, record: ContainerRecord, *, writable: bool) -> AsyncIterator[int]:
    """Yield the root of a container, with its mounts, as a descriptor (O_PATH). Raises EngineError.

    writable: writes to a container that does not run go to its layer.
    """
    fd = await _of_process(service, record)
    if fd >= 0:
        try:
            yield fd
        finally:
            os.close(fd)
        return
    held = contextlib.ExitStack()
    try:
        try:
            fd = await asyncio.to_thread(_assemble, service, record, held, writable)
        except OSError as error:
            raise EngineError(f"open the root of container {record.id}: {errno_text(error)}") from error
        yield fd
    finally:  # the kernel writes all to the disk that was written through an overlay which goes
        await asyncio.shield(asyncio.to_thread(held.close))


@contextlib.asynccontextmanager
async def bare_root_of(service: Service, record: ContainerRecord) -> AsyncIterator[int]:
    """Yield the root of a container without its mounts. Raises EngineError."""
    fd = -1
    try:
        if record.state.running:
            fd = await asyncio.to_thread(in_own_thread, "mounts", lambda: _clone_bare(record.state.pid))
            if record.state.pid not in await service.spawner.pids(record.id):
                os.close(fd)
                fd = -1
    except (OSError, EngineError) as error:
        log.debug("take the root of container %s: %s; its layers are taken", record.id, error)
    try:
        if fd < 0:
            fd = await asyncio.to_thread(_layers, service, record, False)
    except OSError as error:
        raise EngineError(f"open the root of container {record.id}: {errno_text(error)}") from error
    try:
        yield fd
    finally:
        os.close(fd)


async def _of_process(service: Service, record: ContainerRecord) -> int:
    """Return the root of the container's first process; -1 when there is none."""
    pid = record.state.pid
    if not record.state.running or pid <= 0:
        return -1
    try:
        fd = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return -1
    try:
        # Asked afterwards: a pid that is not reaped yet cannot have become a process of the host.
        if pid in await service.spawner.pids(record.id):
            return fd
    except BaseException:
        os.close(fd)
        raise
    os.close(fd)
    return -1


# ---- a container that does not run --------------------------------------------------------------------


def _layers(service: Service, record: ContainerRecord, writable: bool, below: Sequence[str] = ()) -> int:
    """Return a detached mount of a container's layers; if read-only, its own is only the topmost lower one.

    below: directories beneath all of them.
    """
    home = service.containers.directory(record.id) / "layer"
    lower = [*below, *(str(layer) for layer in service.containers.layers(record.id))]
    if writable and lower:
        for directory in (home, home / "u", home / "w"):
            directory.mkdir(exist_ok=True)
        return make_overlay(lower, str(home / "u"), str(home / "w"))
    layers = [*below, *layers_of(service, record)]
    if len(layers) == 1:
        return clone_mount(layers[0], 0 if writable else MOUNT_ATTR_RDONLY)
    return make_read_only_overlay(layers)


def _assemble(service: Service, record: ContainerRecord, held: contextlib.ExitStack, writable: bool) -> int:
    """Return a mount of the layers with volumes and binds; `held` frees what is made for it."""
    fresh = not (service.containers.directory(record.id) / "layer" / "u").is_dir()
    working_dir = record.config.working_dir if fresh else ""
    makes_places = fresh and bool(record.mounts or working_dir.strip("/"))
    root = _layers(service, record, writable or makes_places, [str(_places(service, record))])
    binds = []
    with contextlib.ExitStack() as until_then:
        until_then.callback(os.close, root)
        # Docker makes it with the container; why that cannot be, a start says.
        with contextlib.suppress(OSError):
            make_directories(root, working_dir)
        for mount in sorted(record.mounts, key=lambda mount: mount.destination):
            source = _source(service, mount, held)
            if source is not None:
                tree = _clone(source, mount)
                until_then.callback(os.close, tree)
                binds.append((mount.destination, tree, stat.S_ISDIR(os.fstat(tree).st_mode)))
        taken = {mount.destination for mount in record.mounts}
        for source in _own_files(service, record):
            if source.is_file() and (target := f"/etc/{source.name}") not in taken:
                tree = clone_mount(str(source), MOUNT_ATTR_RDONLY)
                until_then.callback(os.close, tree)
                binds.append((target, tree, False))
        if not binds:
            until_then.pop_all()
            held.callback(os.close, root)
            return root
        anchor = make_anchor(str(service.containers.directory(record.id)))
        until_then.callback(os.close, anchor)
        fd = in_own_thread("mounts", lambda: _attach_all(anchor, root, binds))
    held.callback(os.close, fd)
    return fd


def _own_files(service: Service, record: ContainerRecord) -> list[Path]:
    """Return the files mounted in /etc of a container, which exist once it has run."""
    directory = service.containers.directory(record.id)
    return [directory / name for name in ("hosts", "hostname", "resolv.conf")]


def _places(service: Service, record: ContainerRecord) -> Path:
    """Return a layer with mount points of those files, for images that lack them, as in Docker."""
    places = service.containers.directory(record.id) / "places"
    (places / "etc").mkdir(parents=True, exist_ok=True)
    for file in _own_files(service, record):
        (places / "etc" / file.name).touch()
    return places


def _source(service: Service, mount: MountPoint, held: contextlib.ExitStack) -> Path | None:
    """Return a mount's source on the host; None for a tmpfs, and for one that does not exist any more."""
    if mount.type == "volume":
        source = service.volumes.mount(mount.name)
        held.callback(service.volumes.unmount, mount.name)
    elif mount.type == "bind":
        source = Path(mount.source)
    else:
        return None
    try:
        mode = source.stat().st_mode
    except OSError:
        return None
    return source if stat.S_ISDIR(mode) or stat.S_ISREG(mode) else None


def _clone(source: Path, mount: MountPoint) -> int:
    attributes, part = MOUNT_ATTR_RDONLY if mount.read_only else 0, subpath_of(mount)
    if part:
        return clone_mount_beneath(str(source), part, attributes)
    shallow = mount.read_only_non_recursive
    return clone_mount(str(source), attributes, recursive=not mount.non_recursive, shallow=shallow)


def _attach_all(anchor: int, root: int, binds: Sequence[tuple[str, int, bool]]) -> int:
    """In a new thread: mount trees over the root in a copy of the anchor; return the whole, detached."""
    tape = Tape()
    tape.add("own root and working directory", "unshare", _CLONE_FS)
    place = add_enter_anchor(tape)
    opened = tape.walk({"anchor": anchor, "root": root})[place]
    try:
        for target, tree, directory in binds:
            try:
                _attach(opened, target, tree, directory=directory)
            except OSError as error:  # something else has taken the place since
                log.debug("mount on %s: %s; left out of the view", target, error)
        return _take(opened, AT_RECURSIVE)
    finally:
        os.close(opened)


def _attach(root: int, target: str, tree: int, *, directory: bool) -> None:
    if directory:
        make_directories(root, target)
    else:
        make_file(root, target)
    at = open_in(root, target, os.O_PATH)
    try:
        tape = Tape()
        flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
        tape.add(f"mount on {target}", "move_mount", Slot("tree"), "", Slot("at"), "", flags)
        tape.walk({"tree": tree, "at": at})
    finally:
        os.close(at)


def _clone_bare(pid: int) -> int:
    """In a new thread: enter a container's mount namespace and copy its root mount."""
    namespace = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        tape = Tape()
        tape.add("own root and working directory", "unshare", _CLONE_FS)
        tape.add("enter the container's mounts", "setns", Slot("namespace"), CLONE_NEWNS)
        tape.walk({"namespace": namespace})
        return _take(AT_FDCWD, 0)
    finally:
        os.close(namespace)


def _take(at: int, deep: int) -> int:
    tape = Tape()
    flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | deep
    if at == AT_FDCWD:
        tape.add("take the root", "open_tree", AT_FDCWD, "/", flags)
        return tape.walk({})[0]
    tape.add("take the tree", "open_tree", Slot("at"), "", flags | AT_EMPTY_PATH)
    return tape.walk({"at": at})[0]
