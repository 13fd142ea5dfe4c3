"""Errors of `nn`: one line on stderr and docker's exit status."""

OUR_FAILURE, CANNOT_EXECUTE, NOT_FOUND = 125, 126, 127
"""Docker's exit statuses: nn itself failed; the program cannot be executed; it does not exist."""


class CliError(Exception):
    """A message for the user and the exit status of nn."""

    def __init__(self, message: str, status: int = OUR_FAILURE) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class DaemonError(CliError):
    """The daemon refused a request; the message is its own. code: the HTTP status."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message, 1)
        self.code = code


def misuse(what: str, value: str, hint: str) -> CliError:
    """Return the error of a flag or word with a wrong value. hint: what to write."""
    return CliError(f'{what} "{value}": {hint}')
