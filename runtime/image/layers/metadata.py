"""Extended attributes, owners and times: which of them an image carries, and how to set them."""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from decimal import Decimal, InvalidOperation

from runtime.image.errors import LayerError

PAX_XATTR = "SCHILY.xattr."
OPAQUE_XATTR = "trusted.overlay.opaque"
# The host's security labels and overlayfs's own attributes are not content: the former would tie an image to
# one host's policy, the latter could make an overlay read outside the layer (trusted.overlay.redirect).
_HOST_LABELS = ("security.selinux", "security.apparmor", "security.ima", "security.evm")
_OVERLAY_MARKS = ("trusted.overlay.", "user.overlay.")


def is_content(xattr: str) -> bool:
    """Say whether an extended attribute belongs to the image."""
    return xattr not in _HOST_LABELS and not xattr.startswith(_OVERLAY_MARKS)


_ELSEWHERE = ("trusted.overlay.redirect", "trusted.overlay.metacopy")


def lies_elsewhere(path: str) -> bool:
    """Say whether overlayfs has kept the content of `path` in a lower layer (redirect_dir, metacopy)."""
    try:
        return not set(_ELSEWHERE).isdisjoint(os.listxattr(path, follow_symlinks=False))
    except OSError:
        return False


def read_xattrs(path: str) -> dict[str, bytes]:
    """Return the attributes of `path` (links not followed) that belong to the image, sorted by name."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EPERM):
            return {}
        raise
    return {
        name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names) if is_content(name)
    }


def is_whiteout(status: os.stat_result) -> bool:
    """Say whether overlayfs treats a file of this status as a whiteout."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: str) -> bool:
    """Say whether overlayfs hides the lower layers' content of the directory `path`."""
    try:
        return os.getxattr(path, OPAQUE_XATTR, follow_symlinks=False) == b"y"
    except OSError:
        return False


def entry_xattrs(entry: tarfile.TarInfo) -> dict[str, bytes]:
    """Return the attributes a tar entry carries; LayerError for overlayfs's own marks."""
    found = {}
    for key, value in entry.pax_headers.items():
        if key.startswith(PAX_XATTR):
            name = key.removeprefix(PAX_XATTR)
            if name.startswith(_OVERLAY_MARKS):
                raise LayerError(f"layer entry {entry.name!r} sets {name}; refused, do not trust this image")
            if is_content(name):
                found[name] = value.encode("utf-8", "surrogateescape")
    return found


def entry_mtime_ns(entry: tarfile.TarInfo) -> int:
    """Return the entry's time in ns, from its text if present, since tarfile rounds it to a float."""
    text = entry.pax_headers.get("mtime")
    if text is None and isinstance(entry.mtime, int):
        return entry.mtime * 1_000_000_000
    try:
        return int(Decimal(text or str(entry.mtime)) * 1_000_000_000)
    except (InvalidOperation, ValueError, OverflowError) as error:
        raise LayerError(f"layer entry {entry.name!r} has an invalid time; get the image again") from error


def apply_to_file(fd: int, entry: tarfile.TarInfo) -> None:
    """As apply(), for an open file: saves four path lookups."""
    os.fchown(fd, entry.uid, entry.gid)
    os.fchmod(fd, entry.mode & 0o7777)
    for name, value in entry_xattrs(entry).items():
        os.setxattr(fd, name, value)
    mtime = entry_mtime_ns(entry)
    os.utime(fd, ns=(mtime, mtime))


def apply(path: str, entry: tarfile.TarInfo, *, xattrs: dict[str, bytes]) -> None:
    """Set owner, mode, attributes and time of `path`; a symbolic link is not followed.

    Owner first, since chown clears setuid; attributes after it, since it clears security.capability too.
    """
    os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    if not entry.issym():
        os.chmod(path, entry.mode & 0o7777)  # noqa: PTH101 - hot; not a link, so none is followed
    for name, value in xattrs.items():
        os.setxattr(path, name, value, follow_symlinks=False)
    mtime = entry_mtime_ns(entry)
    os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
