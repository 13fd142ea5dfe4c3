"""Which files of a directory go to the daemon as a build's context."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.cli.errors import CliError
from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.ignore import Fits, Ignored, read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


def rules(root: Path, dockerfile: str) -> Ignored:
    """Return what the file beside the Dockerfile, or else the one in the root, leaves out.

    The daemon needs that file and the Dockerfile, so both go in any case; it removes them if they are named.
    """
    files = [path for path in (root / f"{dockerfile}.dockerignore", root / ".dockerignore") if path.is_file()]
    try:
        patterns = read(files[0].read_text(encoding="utf-8", errors="surrogateescape")) if files else []
        for name in (".dockerignore", dockerfile):
            if Ignored(patterns)(name):
                patterns.append(f"!{name}")
        return Ignored(patterns)
    except MalformedError as error:
        raise CliError(f".dockerignore: {error}", 1) from error


def context_files(root: Path, ignored: Ignored) -> Iterator[tuple[Path, str]]:
    """Yield what of a directory is sent, as (path, name), sorted."""
    yield from _below(root, "", ignored, None)


def _below(directory: Path, base: str, ignored: Ignored, above: Fits | None) -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise CliError(f"read {directory}: {error.strerror}", 1) from error
    for entry in entries:
        name = f"{base}{entry.name}"
        skipped, fits = ignored.judge(name, above)
        if not skipped:
            yield Path(entry.path), name
        if entry.is_dir(follow_symlinks=False) and (not skipped or ignored.may_hold(name)):
            yield from _below(Path(entry.path), f"{name}/", ignored, fits)
