"""`.dockerignore`: which files of a directory do not go to the daemon."""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


class Ignored:
    """Patterns; the last one that fits a path, or a directory above it, decides. `!` takes back."""

    def __init__(self, lines: list[str]) -> None:
        self._patterns: list[tuple[re.Pattern[str], bool, str]] = []
        for line in lines:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            back = text.startswith("!")
            clean = posixpath.normpath(text.removeprefix("!").strip()).lstrip("/")
            if clean == "." and back:
                continue
            try:
                self._patterns.append((re.compile(expression(clean)), back, clean))
            except re.error as error:
                raise CliError(f".dockerignore: {text!r} is no pattern: {error}", 1) from error

    def __call__(self, name: str) -> bool:
        """Whether a path (relative, with slashes) is left away."""
        parents = [name]
        while "/" in parents[-1]:
            parents.append(parents[-1].rpartition("/")[0])
        ignored = False
        for pattern, back, _ in self._patterns:
            if ignored == back and any(pattern.fullmatch(one) for one in parents):
                ignored = not back
        return ignored

    def may_hold(self, directory: str) -> bool:
        """Whether something below an ignored directory may have been taken back."""
        for _, back, text in self._patterns:
            fixed = re.split(r"[*?\[\\]", text, maxsplit=1)[0]
            wild = fixed != text
            if back and (
                f"{text}/".startswith(f"{directory}/") or (wild and f"{directory}/".startswith(fixed))
            ):
                return True
            if back and wild and fixed.startswith(f"{directory}/"):
                return True
        return False


def expression(pattern: str) -> str:
    """A pattern of .dockerignore → a regular expression: `*` within a name, `**` over names."""
    out, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        at += 1
        if letter == "*":
            if pattern[at : at + 1] == "*":
                at += 1
                if pattern[at : at + 1] == "/":
                    at += 1
                out.append(".*" if at >= len(pattern) else "(?:.*/)?")
            else:
                out.append("[^/]*")
        elif letter == "?":
            out.append("[^/]")
        elif letter == "[" and "]" in pattern[at:]:
            end = pattern.index("]", at)
            out.append("[" + pattern[at:end].replace("\\", "\\\\") + "]")
            at = end + 1
        elif letter == "\\" and at < len(pattern):
            out.append(re.escape(pattern[at]))
            at += 1
        else:
            out.append(re.escape(letter))
    return "".join(out)


def context_files(root: Path, ignored: Ignored, always: set[str]) -> Iterator[tuple[Path, str]]:
    """Yield what of a directory is sent, as (path, name), sorted. always: names that go in any case."""
    yield from _below(root, "", ignored, always)


def _below(directory: Path, base: str, ignored: Ignored, always: set[str]) -> Iterator[tuple[Path, str]]:
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        raise CliError(f"read {directory}: {error.strerror}", 1) from error
    for entry in entries:
        name = f"{base}{entry.name}"
        inside = entry.is_dir(follow_symlinks=False)
        skipped = ignored(name) and name not in always
        if not skipped:
            yield Path(entry.path), name
        if inside and (
            not skipped or ignored.may_hold(name) or any(one.startswith(f"{name}/") for one in always)
        ):
            yield from _below(Path(entry.path), f"{name}/", ignored, always)
