"""`nn --local VERB`: containers in this very process, with docker's verbs and flags.

Exit status as docker's: the program's own, 125 when nn failed, 126 and 127 when the program cannot be
executed or found. The other verbs end with 0, or 1 when an image is the matter.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence

from runtime.cli.errors import OUR_FAILURE, CliError


def main(argv: Sequence[str]) -> int:
    """Run one verb and return its exit status. CliError says what went wrong."""
    from runtime.cli.local.parser import build_parser

    arguments = build_parser().parse_args(argv)
    if os.geteuid() != 0:
        raise CliError(
            f"needs root, for namespaces, mounts and cgroups; run: sudo nn --local {' '.join(argv)}"
        )
    try:
        return _dispatch(arguments.command)(arguments)
    except Exception as error:
        message = _known(error)
        if message is None:
            raise
        raise CliError(message, OUR_FAILURE if arguments.command == "run" else 1) from error


def _dispatch(command: str) -> Callable[[argparse.Namespace], int]:
    """Import only what the command needs."""
    if command == "run":
        from runtime.cli.local.run import run

        return run
    from runtime.cli.local import images

    verbs = {
        "images": images.images,
        "import": images.import_image,
        "rmi": images.remove,
        "verify": images.verify,
        "sweep": images.sweep,
    }
    return verbs[command]


def _known(error: Exception) -> str | None:
    """The message of an error the runtime words for users, None for what is a bug of ours."""
    from runtime.engine.errors import EngineError
    from runtime.image import ImageError
    from runtime.network.errors import NetworkError
    from runtime.oci.plan import PlanError
    from runtime.spawn.cgroups import CgroupError
    from runtime.spawn.init import InitError
    from runtime.spawn.tape import StepError, StepKilledError

    kernels = CgroupError | InitError | StepError | StepKilledError
    if isinstance(error, EngineError | ImageError | NetworkError | PlanError | kernels):
        return str(error)
    return str(error) if isinstance(error, OSError) and error.filename else None
