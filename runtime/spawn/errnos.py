"""What the kernel answered, in the words of clients: those of Go, which are the C library's in lower case."""

from __future__ import annotations

import errno
import os


def errno_text(error: OSError) -> str:
    """Return an error's cause without its number and path; words of our own (a StepError's) are kept."""
    words = error.strerror or str(error)
    return words.lower() if words == os.strerror(error.errno or 0) else words


def errno_label(number: int) -> str:
    """Return an errno's name and words, `ENOENT (no such file or directory)`."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number).lower()})"
