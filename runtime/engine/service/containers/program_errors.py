"""Word the failure of a start or exec as docker's command expects, to find the exit code in it."""

from __future__ import annotations

from runtime.engine.errors import EngineError, StartFailedError

_START = (
    "failed to create task for container: failed to create shim task: OCI runtime create failed: "
    "unable to start container process"
)
_EXEC = "OCI runtime exec failed: exec failed: unable to start container process"


def start_failure(program: str, error: Exception) -> Exception:
    """Word the failure of a container's start, if it is the program's."""
    if not isinstance(error, StartFailedError):
        return error
    return StartFailedError(f"{_START}: {_cause(program, error)}: unknown", error.exit_code)


def exec_failure(program: str, error: EngineError) -> EngineError:
    """Word the failure of an exec, if it is the program's."""
    if not isinstance(error, StartFailedError):
        return error
    return StartFailedError(f"{_EXEC}: {_cause(program, error)}: unknown", error.exit_code)


def _cause(program: str, error: StartFailedError) -> str:
    if error.exit_code == 126:
        return f'exec: "{program}": permission denied'
    if "/" in program:
        return f'exec: "{program}": stat {program}: no such file or directory'
    return f'exec: "{program}": executable file not found in $PATH'
