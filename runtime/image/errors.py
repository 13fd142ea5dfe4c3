"""The image store's errors: each names the operation, the object, the cause, and what to do next.

The subclass decides an API's status code.
"""

from __future__ import annotations

import errno

from runtime.spawn.errnos import errno_text


class ImageError(Exception):
    """An image operation failed and left the store as it was."""


class LayerError(ImageError):
    """A layer is hostile, corrupt or too big; nothing of it was kept."""


class ImageReferenceError(ImageError):
    """Not a valid image name (an API's 400)."""


class ImageNotFoundError(ImageError):
    """No such image (an API's 404)."""


class ImageConflictError(ImageError):
    """A container or another image uses it, or a short id matches several images (an API's 409)."""


def errno_advice(error: OSError) -> str:
    """Describe an OSError as `ENOSPC (no space left on device)`, with advice where possible."""
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    advice = {
        errno.ENOSPC: "; free space below the store (nn rmi, nn sweep) and try again",
        errno.EPERM: "; run as root: owners, devices and whiteouts need it",
        errno.EACCES: "; run as root, or choose a store you may write to",
        errno.EOPNOTSUPP: "; the store's file system must support extended attributes (ext4, xfs, btrfs)",
    }
    return f"{name} ({errno_text(error)})" + advice.get(error.errno or 0, "")
