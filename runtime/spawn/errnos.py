"""Describe an errno as Docker's clients expect it: as Go does, the C library's message in lower case."""

from __future__ import annotations

import errno
import os


def errno_text(error: OSError) -> str:
    """Return an error's message without number and path; a message of our own (a StepError's) is kept."""
    words = error.strerror or str(error)
    return words.lower() if words == os.strerror(error.errno or 0) else words


def errno_label(number: int) -> str:
    """Return an errno's name and message, `ENOENT (no such file or directory)`."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number).lower()})"
