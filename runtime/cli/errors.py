"""What `nn` says when it cannot: one line on stderr and docker's exit status."""

from __future__ import annotations

OUR_FAILURE, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127
"""Docker's exit statuses: nn itself failed; the program cannot be executed; it does not exist."""


class CliError(Exception):
    """A message for the user and the exit status that goes with it."""

    def __init__(self, message: str, status: int = OUR_FAILURE) -> None:
        super().__init__(message)
        self.status = status
