"""Steps that build a container's mounts: root, kernel file systems, masks, binds.

Everything is symlink-safe by construction. Once the root has changed, only magic links of /proc lead out of
it; every target is opened with openat2 beneath the root, without magic links, and mounted on by descriptor.
Paths to proc and sysfs may contain no symlink at all: masks over a /proc that is really /elsewhere would
protect nothing (CVE-2019-19921).
"""

from __future__ import annotations

import errno
import struct
from pathlib import Path

from runtime.spawn.linux import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    CLONE_NEWNS,
    MNT_DETACH,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    O_CLOEXEC,
    O_DIRECTORY,
    O_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    S_IFREG,
)
from runtime.spawn.tape import Result, Slot, Tape

BENEATH = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS
STRICT = BENEATH | RESOLVE_NO_SYMLINKS
_HOW = struct.Struct("<QQQ")


def add_enter_anchor(tape: Tape) -> Result:
    """Append entering a copy of the anchor with the mount in slot `root` as root; return its descriptor.

    The anchor (slot `anchor`, see runtime.spawn.mount_anchor) is a mount namespace with one empty tmpfs.
    Copying it costs one mount, however many the host has, and none of the host's mounts has to be detached
    again, which would wait for an RCU grace period. The root covers the tmpfs, which is empty anyway.
    """
    tape.add("enter the anchor", "setns", Slot("anchor"), CLONE_NEWNS)
    tape.add("new mount namespace", "unshare", CLONE_NEWNS)
    root = Slot("root")
    tape.add("attach rootfs", "move_mount", root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH)
    tape.add("go to rootfs", "fchdir", root)
    tape.add("change root", "chroot", ".")
    return add_open_root(tape)


def add_enter_chroot(tape: Tape) -> Result:
    """Append a plain chroot into the mount in slot `root`, without a mount namespace; return its descriptor.

    Nothing can be mounted in it. For measuring only: CAP_SYS_CHROOT is enough to leave a chroot.
    """
    tape.add("go to rootfs", "fchdir", Slot("root"))
    tape.add("change root", "chroot", ".")
    return add_open_root(tape)


def add_open_root(tape: Tape) -> Result:
    """Append an open of the working directory, which is the container's root."""
    return tape.add("open /", "openat", AT_FDCWD, ".", O_PATH | O_DIRECTORY | O_CLOEXEC, 0)


def add_enter_pivot(tape: Tape, propagation: int) -> Result:
    """Append attaching slot `root` and pivot_root, in a copy of the host's mount namespace.

    For a user namespace, which may not enter the anchor. The host's tree stays mounted over the new root, as
    proc and sysfs may only be mounted where a full one is visible, until add_detach_host. Slot `mountpoint`:
    any directory of the host; containers can share it, since each has its own mount namespace. propagation:
    MS_PRIVATE or MS_SLAVE.
    """
    root, target = Slot("root"), Slot("mountpoint")
    tape.add("cut mount propagation", "mount", 0, "/", 0, MS_REC | propagation, 0)
    tape.add("attach rootfs", "move_mount", root, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH)
    tape.add("go to rootfs", "fchdir", root)
    tape.add("pivot_root", "pivot_root", ".", ".")
    tape.add("go to /", "chdir", "/")
    return add_open_root(tape)


def add_detach_host(tape: Tape) -> None:
    """Append detaching the host's tree, which pivot_root has left over the new root."""
    tape.add("detach the host's mounts", "umount2", "/", MNT_DETACH)


def add_open(tape: Tape, root: Result, path: str, *, strict: bool = False, flags: int = O_PATH) -> Result:
    """Append an open of `path` beneath `root`; if `strict`, a symlink anywhere in it is an error (ELOOP)."""
    how = _HOW.pack(flags | O_CLOEXEC, 0, STRICT if strict else BENEATH)
    return tape.add(f"open {path} beneath the root", "openat2", root, path.strip("/") or ".", how, _HOW.size)


def add_directory(tape: Tape, root: Result, path: str, mode: int = 0o755) -> None:
    """Append mkdir -p of `path` beneath `root`, one component at a time; existing ones are kept."""
    parent, done = root, ""
    parts = [part for part in path.split("/") if part]
    for index, part in enumerate(parts):
        done += "/" + part
        tape.add(f"mkdir {done}", "mkdirat", parent, part, mode, forgive=(errno.EEXIST, errno.EROFS))
        if index + 1 < len(parts):
            parent = add_open(tape, root, done)


def add_file(tape: Tape, root: Result, path: str) -> None:
    """Append making an empty regular file to mount on, with its parents; existing files stay as they are."""
    parent, _, name = path.rstrip("/").rpartition("/")
    add_directory(tape, root, parent)
    where = add_open(tape, root, parent)
    tape.add(
        f"create {path}", "mknodat", where, name, S_IFREG | 0o644, 0, forgive=(errno.EEXIST, errno.EROFS)
    )


def add_mount(
    tape: Tape,
    root: Result,
    path: str,
    kind: str,
    source: str,
    flags: int,
    data: str,
    *,
    strict: bool = False,
    propagation: int = 0,
) -> None:
    """Append mounting a new file system of type `kind` on `path`, made if missing, by descriptor.

    propagation: MS_SHARED or the like, 0 for that of the parent mount.
    """
    add_directory(tape, root, path)
    target = add_open(tape, root, path, strict=strict, flags=O_PATH | O_DIRECTORY)
    tape.add(f"go to {path}", "fchdir", target)
    tape.add(f"mount {kind} on {path}", "mount", source, ".", kind, flags, data or 0)
    if propagation:
        mounted = add_open(tape, root, path, strict=strict, flags=O_PATH | O_DIRECTORY)
        tape.add(f"go to the root of {path}", "fchdir", mounted)
        tape.add(f"set the propagation of {path}", "mount", 0, ".", 0, propagation, 0)


def add_mount_in_fresh(tape: Tape, path: str, kind: str, source: str, flags: int, data: str) -> None:
    """Like add_mount, inside a file system that this tape has mounted, so it contains no symlink."""
    tape.add(f"mkdir {path}", "mkdirat", AT_FDCWD, path, 0o755, forgive=(errno.EEXIST,))
    tape.add(f"mount {kind} on {path}", "mount", source, path, kind, flags, data or 0)


def add_attach(tape: Tape, root: Result, path: str, slot: str, *, directory: bool) -> None:
    """Append attaching a detached mount (its descriptor in `slot`) to `path`, made if missing."""
    (add_directory if directory else add_file)(tape, root, path)
    target = add_open(tape, root, path)
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    tape.add(f"mount on {path}", "move_mount", Slot(slot), "", target, "", flags)


def add_attach_in_fresh(tape: Tape, path: str, mount: Result) -> None:
    """Like add_mount_in_fresh, for a detached mount that an earlier step has opened."""
    tape.add(f"mkdir {path}", "mkdirat", AT_FDCWD, path, 0o755, forgive=(errno.EEXIST,))
    tape.add(f"mount on {path}", "move_mount", mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH)


def add_take_shm(tape: Tape, slot: str) -> Result:
    """Append copying the /dev/shm of the container whose pidfd is in `slot`; return the detached mount.

    A mount can only be copied inside its own namespace. The next step must leave that namespace again.
    """
    tape.add("enter the other container's mounts", "setns", Slot(slot), CLONE_NEWNS)
    how = _HOW.pack(O_PATH | O_DIRECTORY | O_CLOEXEC, 0, STRICT)
    path = tape.add("open its /dev/shm", "openat2", AT_FDCWD, "dev/shm", how, _HOW.size)
    clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
    return tape.add("share its /dev/shm", "open_tree", path, "", clone)


def add_cgroups(tape: Tape, root: Result, names: tuple[str, ...]) -> None:
    """Append attaching the container's cgroup directories (slots `cgroupfs0`…) to /sys/fs/cgroup.

    names: the mount points of the v1 hierarchies, each a directory in a small tmpfs, with a link for each
    controller of `cpu,cpuacct`; ("",) for the v2 tree.
    """
    place = "/sys/fs/cgroup"
    if names == ("",):
        target = add_open(tape, root, place, strict=True)
        empty = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
        tape.add(f"mount the cgroup on {place}", "move_mount", Slot("cgroupfs0"), "", target, "", empty)
        return
    flags = MS_NOSUID | MS_NODEV | MS_NOEXEC
    add_mount(tape, root, place, "tmpfs", "tmpfs", flags, "mode=755,size=64k", strict=True)
    for number, name in enumerate(names):
        path = f"{place}/{name}"
        tape.add(f"mkdir {path}", "mkdirat", AT_FDCWD, path, 0o755)
        mount = Slot(f"cgroupfs{number}")
        tape.add(f"mount on {path}", "move_mount", mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH)
        for link in name.split(",") if "," in name else ():
            tape.add(f"link {place}/{link}", "symlinkat", name, AT_FDCWD, f"{place}/{link}")
    read_only = MS_BIND | MS_REMOUNT | MS_RDONLY | flags
    tape.add(f"make {place} read-only", "mount", 0, place, 0, read_only, 0)


def add_mask(tape: Tape, path: str) -> None:
    """Append masking `path`: /dev/null over a file, an empty read-only tmpfs over a directory.

    The /dev/null is the node that this tape has just made, in a /dev that no other process has seen
    (CVE-2025-31133). Paths of /proc and /sys that the kernel does not have are skipped: the host shows them.
    """
    step, absent = f"mask {path}", (errno.ENOENT, errno.ENOTDIR)
    kernel = path.startswith(("/proc/", "/sys/"))
    if kernel and not Path(path).exists():
        return
    if not kernel or not Path(path).is_dir():
        tape.add(step, "mount", "/dev/null", path, 0, MS_BIND, 0, forgive=absent)
    if not kernel or Path(path).is_dir():
        tape.add(step, "mount", "tmpfs", path, "tmpfs", MS_RDONLY, "size=0", forgive=absent)


def add_read_only(tape: Tape, path: str) -> None:
    """Append mounting `path` read-only onto itself."""
    if path.startswith(("/proc/", "/sys/")) and not Path(path).exists():
        return
    flags = MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    absent = (errno.ENOENT, errno.EINVAL)
    tape.add(f"bind {path}", "mount", path, path, 0, MS_BIND | MS_REC, 0, forgive=absent[:1])
    tape.add(f"make {path} read-only", "mount", 0, path, 0, flags, 0, forgive=absent)


def add_read_only_root(tape: Tape) -> None:
    """Append remounting / read-only; the mounts on it keep their flags."""
    tape.add("make / read-only", "mount", 0, "/", 0, MS_BIND | MS_REMOUNT | MS_RDONLY, 0)
