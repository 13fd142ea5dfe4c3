"""Resolve paths of a container beneath a descriptor of its root, by the kernel.

No symbolic link, however it is swapped meanwhile, leads to a file of the host (CVE-2018-15664): links, also
absolute ones, and `..` end at the root, and links of /proc that name an open file lead nowhere.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import struct
from functools import cache

from runtime.spawn.mounts import BENEATH, STRICT
from runtime.spawn.tape import Slot, SlotValue, StepError, Tape

_HOW = struct.Struct("<QQQ")
_MOST_LINKS = 255
_TRIES = 16


def open_in(root_fd: int, path: str, flags: int, *, strict: bool = False) -> int:
    """Return a descriptor of `path`, `root_fd` being `/`. The caller closes it. Raises OSError.

    strict: a symbolic link anywhere in it is an error (ELOOP).
    """
    how = _HOW.pack(flags | os.O_CLOEXEC, 0, STRICT if strict else BENEATH)
    slots: dict[str, SlotValue] = {"root": root_fd, "path": os.fsencode(path.lstrip("/") or "."), "how": how}
    for _ in range(_TRIES):
        try:
            return _tape().walk(slots)[0]
        except StepError as error:  # EAGAIN: something was renamed while the kernel went up a `..`
            if error.errno != errno.EAGAIN:
                raise OSError(error.errno, os.strerror(error.errno or 0), path) from None
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


@cache
def _tape() -> Tape:
    tape = Tape()
    tape.add("open a path of a container", "openat2", Slot("root"), Slot("path"), Slot("how"), _HOW.size)
    return tape


def clean(path: str) -> str:
    """Return `path` from the root on, without `..` and doubled slashes; `/` and `/.` at its end are kept."""
    cleaned = posixpath.normpath("/" + path.lstrip("/"))
    if posixpath.basename(path.rstrip("/")) == ".":
        cleaned = cleaned.rstrip("/") + "/."
    if path.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return cleaned


def resolve(root_fd: int, path: str) -> str:
    """Return `path` as text without symbolic links; missing parts are kept as they are.

    For display only: what is opened is resolved by the kernel.
    """
    done: list[str] = []
    rest, links = path.split("/")[::-1], 0
    while rest:
        part = rest.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        target = _link(root_fd, "/".join([*done, part])) if links < _MOST_LINKS else ""
        if not target:
            done.append(part)
            continue
        links += 1
        if target.startswith("/"):
            done = []
        rest += target.split("/")[::-1]
    return "/" + "/".join(done)


def _link(root_fd: int, path: str) -> str:
    """Return the target of a symbolic link, "" for anything else."""
    try:
        fd = open_in(root_fd, path, os.O_PATH | os.O_NOFOLLOW)
    except OSError:
        return ""
    try:
        return link_of(fd) if stat.S_ISLNK(os.fstat(fd).st_mode) else ""
    finally:
        os.close(fd)


def link_of(fd: int) -> str:
    """Return where the symbolic link that `fd` (O_PATH) refers to points."""
    return os.readlink("", dir_fd=fd)


def again(fd: int, flags: int) -> int:
    """Open what `fd` (O_PATH) refers to, wherever its name leads now. The caller closes it."""
    return os.open(f"/proc/self/fd/{fd}", flags | os.O_CLOEXEC)


def mount_id(fd: int) -> int:
    """Return which mount `fd` lies on."""
    with open(f"/proc/self/fdinfo/{fd}") as lines:  # noqa: PTH123 - /proc
        return next(int(line.split()[1]) for line in lines if line.startswith("mnt_id:"))


def make_directories(root_fd: int, path: str) -> None:
    """Make `path` and its missing parents. Raises OSError."""
    made, at = "", os.dup(root_fd)
    try:
        for part in path.split("/"):
            if part in ("", "."):
                continue
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=at)
            made += "/" + part
            os.close(at)
            at = -1
            at = open_in(root_fd, made, os.O_PATH | os.O_DIRECTORY)
    finally:
        if at >= 0:
            os.close(at)


def make_behind_link(root_fd: int, path: str, *, directory: bool) -> None:
    """Make what `path` leads to, if that is missing and a link is on the way. Failures are ignored."""
    try:
        os.close(open_in(root_fd, path, os.O_PATH))
    except FileNotFoundError:
        with contextlib.suppress(OSError):
            end = resolve(root_fd, path)
            if end != posixpath.normpath(path):
                (make_directories if directory else make_file)(root_fd, end)
    except OSError:
        pass


def make_file(root_fd: int, path: str) -> None:
    """Make an empty file and its missing parents, unless something exists there. Raises OSError."""
    parent, _, name = path.rstrip("/").rpartition("/")
    make_directories(root_fd, parent)
    at = open_in(root_fd, parent, os.O_PATH | os.O_DIRECTORY)
    try:
        with contextlib.suppress(FileExistsError):
            os.mknod(name, stat.S_IFREG | 0o644, dir_fd=at)
    finally:
        os.close(at)
