"""The optional init of a container, as a descriptor to execute; init.c says what it does."""

from __future__ import annotations

import errno
import fcntl
import os
from importlib import resources

_MFD_EXEC = 0x10
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class InitError(OSError):
    """The init is not available."""

    def __str__(self) -> str:
        return str(self.strerror)


def open_init() -> int:
    """Return a descriptor of a sealed in-memory copy of the init, which not even root can write to.

    Raises InitError if the init was not built, or if vm.memfd_noexec=2 forbids executable memory files.
    """
    image = resources.files(__package__).joinpath("init.elf")
    if not image.is_file():
        raise InitError(errno.ENOENT, "the init was not built; run: python setup.py build_ext --inplace")
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        fd = _memfd(flags)
    except PermissionError as error:
        raise InitError(
            error.errno, "sysctl vm.memfd_noexec forbids executable memory files; set it to 0 or 1"
        ) from error
    try:
        os.write(fd, image.read_bytes())
        os.fchmod(fd, 0o555)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _memfd(flags: int) -> int:
    try:
        return os.memfd_create("init", flags | _MFD_EXEC)
    except OSError as error:
        if error.errno != errno.EINVAL:  # EINVAL: a kernel before 6.3 does not know the flag
            raise
        return os.memfd_create("init", flags)
