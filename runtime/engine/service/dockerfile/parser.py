"""Parse a Dockerfile: comments, continuations, flags, and each instruction's arguments."""

from __future__ import annotations

import re

import msgspec

from runtime.engine.service.dockerfile.lexer import DockerfileError, on_line, split_words

ESCAPE = "\\"
_DIRECTIVE = re.compile(r"#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("escape", "syntax", "check")
_HEREDOC = re.compile(r"""(^|\s)<<-?(['"]?)[A-Za-z_]\w*\2(\s|$)""")
_FLAG_NAME = re.compile(r"--[a-zA-Z]")

_PAIRS = frozenset({"ENV", "LABEL"})
_JSON_OR_LINE = frozenset({"RUN", "CMD", "ENTRYPOINT", "SHELL"})
_JSON_OR_WORDS = frozenset({"ADD", "COPY", "VOLUME"})
_WORDS = frozenset({"ARG", "EXPOSE", "FROM"})
_LINE = frozenset({"MAINTAINER", "STOPSIGNAL", "USER", "WORKDIR"})
_FLAGS = {
    "FROM": ("platform",),
    "ADD": ("chown", "chmod", "link"),
    "COPY": ("chown", "chmod", "from", "link"),
    "HEALTHCHECK": ("interval", "timeout", "start-period", "start-interval", "retries"),
}
_NEEDS_BUILDKIT = {
    "RUN": ("mount", "network", "security"),
    "ADD": ("checksum", "keep-git-dir", "exclude", "unpack"),
    "COPY": ("parents", "exclude"),
}
KNOWN = _PAIRS | _JSON_OR_LINE | _JSON_OR_WORDS | _WORDS | _LINE | {"HEALTHCHECK", "ONBUILD"}


class Instruction(msgspec.Struct, frozen=True, kw_only=True):
    """One instruction. name: in capitals; text: the whole line, continuations joined; line: the first is 1.

    args: words, or the one line of a shell form; is_json: they came as a JSON list. pairs: of ENV and LABEL,
    not yet expanded. escape: what the file's escape character is.
    """

    name: str
    text: str
    line: int
    args: tuple[str, ...] = ()
    pairs: tuple[tuple[str, str], ...] = ()
    flags: dict[str, str] = {}
    is_json: bool = False
    escape: str = ESCAPE


class Dockerfile(msgspec.Struct, frozen=True, kw_only=True):
    """All instructions, in order, and what is worth a warning."""

    instructions: tuple[Instruction, ...]
    warnings: tuple[str, ...] = ()


def parse_dockerfile(data: bytes, name: str = "Dockerfile") -> Dockerfile:
    """Read a Dockerfile. Raises DockerfileError naming the line, in docker's words."""
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    lines = text.split("\n")
    escape = _escape_of(lines)
    joined, warnings = _join(lines, escape)
    if not joined:
        raise DockerfileError(f"failed to parse {name}: file with no instructions")
    return Dockerfile(
        instructions=tuple(parse_instruction(line, number, escape) for number, line in joined),
        warnings=tuple(warnings),
    )


# ---- lines ----------------------------------------------------------------------------------------------


def _escape_of(lines: list[str]) -> str:
    """Look through the directives at the top; anything else ends them."""
    seen: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        found = _DIRECTIVE.match(line.strip())
        if found is None or found[1].lower() not in _DIRECTIVES:
            break
        name = found[1].lower()
        if name in seen:
            raise on_line(number, f"only one {name} parser directive can be used")
        seen[name] = found[2]
    escape = seen.get("escape", ESCAPE)
    if escape not in (ESCAPE, "`"):
        raise DockerfileError(f"invalid ESCAPE {escape!r}. Must be ` or \\")
    return escape


def _join(lines: list[str], escape: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Join continued lines: (number of the first, text) each; comments and empty lines go."""
    mark = re.escape(escape)
    continued = re.compile(rf"(^|[^{mark}]){mark}[ \t]*$")
    found: list[tuple[int, str]] = []
    warnings: list[str] = []
    current: str | None = None
    start, had_empty = 0, False
    for number, raw in enumerate(lines, 1):
        line = raw.removesuffix("\r")
        bare = line.strip()
        if bare.startswith("#"):
            continue
        if not bare:
            had_empty = had_empty or current is not None
            continue
        goes_on = continued.search(line) is not None
        piece = continued.sub(r"\1", line) if goes_on else line
        if current is None:
            current, start, had_empty = piece.lstrip(), number, False
        else:
            current += piece
        if not goes_on:
            _finish(found, warnings, start, current, had_empty=had_empty)
            current = None
    if current is not None:
        _finish(found, warnings, start, current, had_empty=False)
    return found, warnings


def _finish(
    found: list[tuple[int, str]], warnings: list[str], start: int, text: str, *, had_empty: bool
) -> None:
    if not text.strip():
        return
    found.append((start, text.strip()))
    if had_empty:
        warnings.append(
            f"[WARNING]: Empty continuation line found in: {text.strip()}\n"
            "[WARNING]: Empty continuation lines will become errors in a future release."
        )


# ---- one instruction ------------------------------------------------------------------------------------


def parse_instruction(text: str, line: int = 1, escape: str = ESCAPE) -> Instruction:
    """Read one instruction; `text` is its whole line. Raises DockerfileError."""
    pieces = text.strip().split(None, 1)
    command, rest = pieces[0], pieces[1] if len(pieces) > 1 else ""
    name = command.upper()
    if name not in KNOWN:
        raise on_line(line, f"unknown instruction: {command}")
    flags, rest = _take_flags(name, rest, line, escape)
    if name in ("COPY", "ADD", "RUN") and _HEREDOC.search(rest) and not rest.startswith("["):
        raise on_line(line, f"{name} from a heredoc needs BuildKit, which this daemon does not have")
    made = Instruction(name=name, text=text.strip(), line=line, flags=flags, escape=escape)
    if name in _PAIRS:
        return msgspec.structs.replace(made, pairs=_pairs(name, rest, line, escape))
    args, is_json = _arguments(name, rest, line, escape)
    least = 2 if name in ("ADD", "COPY") else 1
    if len(args) < least and not (name in ("CMD", "ENTRYPOINT", "RUN") and is_json):
        raise on_line(line, _missing(name))
    return msgspec.structs.replace(made, args=args, is_json=is_json)


def _missing(name: str) -> str:
    if name in ("ADD", "COPY"):
        return (
            f"{name} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    if name == "FROM":
        return "FROM requires either one or three arguments"
    return f"{name} requires {'exactly' if name in _LINE else 'at least'} one argument"


def _arguments(name: str, rest: str, line: int, escape: str) -> tuple[tuple[str, ...], bool]:
    if name in _JSON_OR_LINE | _JSON_OR_WORDS:
        listed = _json_list(rest)
        if listed is not None:
            return listed, True
    if name == "SHELL" and rest:
        raise on_line(line, "SHELL requires the arguments to be in JSON form")
    if name in _JSON_OR_WORDS:
        return tuple(rest.split()), False
    if name in _WORDS:
        return tuple(split_words(rest, escape) if name == "ARG" else rest.split()), False
    if name == "HEALTHCHECK":
        return _health(rest, line)
    if name == "ONBUILD":
        return _trigger(rest, line, escape)
    return ((rest,) if rest else ()), False


def _json_list(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return None
    try:
        return msgspec.json.decode(rest.encode("utf-8", "surrogateescape"), type=tuple[str, ...])
    except (msgspec.MsgspecError, UnicodeError):
        return None  # docker takes it for a shell's line then


def _pairs(name: str, rest: str, line: int, escape: str) -> tuple[tuple[str, str], ...]:
    words = split_words(rest, escape)
    if not words:
        raise on_line(line, f"{name} requires at least one argument")
    if "=" not in words[0]:  # the old form: name, and all the rest is its value
        parts = rest.split(None, 1)
        if len(parts) < 2:
            raise on_line(line, f"{name} must have two arguments")
        return ((parts[0], parts[1]),)
    found = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise on_line(line, f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value')
        if not key:
            raise on_line(line, f"{name} names can not be blank")
        found.append((key, value))
    return tuple(found)


def _health(rest: str, line: int) -> tuple[tuple[str, ...], bool]:
    if not rest:
        raise on_line(line, _missing("HEALTHCHECK"))
    kind, _, command = rest.partition(" ")
    kind, command = kind.upper(), command.strip()
    if kind == "NONE":
        if command:
            raise on_line(line, "HEALTHCHECK NONE takes no arguments")
        return ("NONE",), False
    if kind != "CMD":
        raise on_line(line, f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    if not command:
        raise on_line(line, "missing command after HEALTHCHECK CMD")
    listed = _json_list(command)
    return ("CMD", *listed) if listed is not None else ("CMD-SHELL", command), listed is not None


def _trigger(rest: str, line: int, escape: str) -> tuple[tuple[str, ...], bool]:
    if not rest:
        raise on_line(line, "ONBUILD requires at least one argument")
    first = rest.split(None, 1)[0].upper()
    if first == "ONBUILD":
        raise on_line(line, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if first in ("MAINTAINER", "FROM"):
        raise on_line(line, f"{first} isn't allowed as an ONBUILD trigger")
    if first in KNOWN:  # what is unknown is refused when it is triggered, as docker has it
        parse_instruction(rest, line, escape)
    return (rest,), False


def _take_flags(name: str, rest: str, line: int, escape: str) -> tuple[dict[str, str], str]:
    """Take `--name=value` words from the front; quotes and escapes in them are resolved."""
    flags: dict[str, str] = {}
    if name in ("CMD", "ENTRYPOINT", "SHELL", "ENV", "LABEL", "ONBUILD"):
        return flags, rest
    while _FLAG_NAME.match(rest):
        word = next(iter(split_words(rest, escape)), rest)
        rest = rest[len(word) :].lstrip()
        flag, _, value = word[2:].partition("=")
        flags[_known_flag(name, flag, line)] = _unquoted(value, escape)
    return flags, rest


def _known_flag(name: str, flag: str, line: int) -> str:
    if flag in _NEEDS_BUILDKIT.get(name, ()):
        raise on_line(
            line, f"the --{flag} option requires BuildKit, which this daemon does not have; leave it out"
        )
    if flag not in _FLAGS.get(name, ()):
        raise on_line(line, f"unknown flag: --{flag}")
    return flag


def _unquoted(value: str, escape: str) -> str:
    found, quote, place = "", "", 0
    while place < len(value):
        char = value[place]
        place += 1
        if char == escape and quote != "'" and place < len(value):
            found += value[place]
            place += 1
        elif quote:
            quote, found = ("", found) if char == quote else (quote, found + char)
        elif char in "'\"":
            quote = char
        else:
            found += char
    return found
