"""The error of the network package: names the operation, the object, the cause, and what to do next."""

from __future__ import annotations

import errno

from runtime.spawn.errnos import errno_label


class NetworkError(Exception):
    """A network operation failed; whatever it had created was removed again."""


def wrap(operation: str, number: int | None, advice: str = "") -> NetworkError:
    """Describe an errno as `operation: EPERM (operation not permitted); advice`."""
    usual = {
        errno.EPERM: "run as root: links and namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN",
        errno.EACCES: "run as root: links and namespaces need CAP_NET_ADMIN and CAP_SYS_ADMIN",
        errno.EOPNOTSUPP: "the kernel lacks this kind of link: load veth and bridge",
        errno.EADDRINUSE: "choose another port, or stop what listens on it",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
    }
    number = number or 0
    text = advice or usual.get(number, "")
    return NetworkError(f"{operation}: {errno_label(number)}" + (f"; {text}" if text else ""))
