"""Parse flags as docker does: `-it`, `-p80:80`, `--name=x`, `--rm=false`; leave the program's flags alone.

A verb's flags are one constant table, which the parser, the help and the completion read. argparse takes
longer to import than a container to start.
"""

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from runtime.cli.connection.client import Client

Flag = tuple[str, str, str, str, str]
"""Names (`network|net`, the first is the key), letter or "", kind (bool, text, many, int), metavar, help."""

GLOBAL: tuple[Flag, ...] = (
    ("host", "H", "text", "ADDRESS", "the daemon: unix:///PATH, tcp://HOST:PORT, ssh://HOST"),
    ("context", "c", "text", "NAME", "the daemon, by the name of a context"),
    ("config", "", "text", "DIR", "where contexts are kept, and docker's config.json"),
    ("tls", "", "bool", "", "use TLS and accept any certificate"),
    ("tlsverify", "", "bool", "", "use TLS and check the daemon's certificate"),
    ("tlscacert", "", "text", "FILE", "certificate of the authority that signed it"),
    ("tlscert", "", "text", "FILE", "our certificate"),
    ("tlskey", "", "text", "FILE", "our key"),
    ("debug", "D", "bool", "", "show tracebacks of bugs in nn"),
    ("log-level", "l", "text", "LEVEL", "accepted and ignored: nn has no log"),
    ("local", "", "bool", "", "use a private daemon, started for this command"),
    ("root", "", "text", "DIR", "state of the private daemon; implies --local (/var/lib/ninetynine/runtime)"),
    ("version", "v", "bool", "", "show nn's version"),
)
"""The flags before the verb."""

FORMAT: Flag = ("format", "", "text", "TEMPLATE", "table, json, or a Go template such as '{{.ID}}'")
FILTER: Flag = ("filter", "f", "many", "NAME=VALUE", "show only what matches")
QUIET: Flag = ("quiet", "q", "bool", "", "ids only")
NO_TRUNC: Flag = ("no-trunc", "", "bool", "", "do not shorten")
JSON: Flag = ("json", "", "bool", "", "the API's documents, as a JSON array")
FORCE: Flag = ("force", "f", "bool", "", "do not ask")


class CommandLine:
    """A parsed command line: flags by their key, and the other words."""

    __slots__ = ("_found", "words")

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self.words: list[str] = []

    def add(self, key: str, value: str) -> None:
        """Add a value; for flags that take one, the last counts."""
        self._found.setdefault(key, []).append(value)

    def __iter__(self) -> "Iterator[str]":
        """Yield the keys of all given flags."""
        return iter(self._found)

    def given(self, key: str) -> bool:
        """Whether the flag was given."""
        return key in self._found

    def on(self, key: str, default: bool = False) -> bool:
        """Return the value of a bool."""
        return self._found[key][-1] == "true" if key in self._found else default

    def text(self, key: str, default: str = "") -> str:
        """Return the value of a text."""
        return self._found[key][-1] if key in self._found else default

    def many(self, key: str) -> list[str]:
        """Return all values, in their order."""
        return self._found.get(key, [])

    def number(self, key: str) -> "int | None":
        """Return the value of an int, None when it was not given."""
        return int(self._found[key][-1]) if key in self._found else None


class Verb:
    """A verb: its flags, the words it takes and what it does.

    usage: the synopsis, as in `IMAGE [NAME]`; `...` is any number. least, most (-1 for any) follow from it.
    program: flags end at the first word, the rest belongs to a program. raw: no word is parsed.
    """

    __slots__ = ("act", "example", "flags", "least", "most", "program", "raw", "usage")

    def __init__(
        self,
        act: "Callable[[Client, CommandLine], int]",
        usage: str,
        flags: tuple[Flag, ...] = (),
        *,
        program: bool = False,
        raw: bool = False,
        example: str = "",
    ) -> None:
        self.act = act
        self.usage = usage
        self.flags = flags
        words = usage.split()
        self.least = sum(word[0] != "[" for word in words)
        self.most = -1 if "..." in usage else len(words)
        self.program = program
        self.raw = raw
        self.example = example


class HelpAskedError(Exception):
    """`--help` was given."""


def parse(name: str, verb: Verb, words: "Sequence[str]") -> CommandLine:
    """Parse the words of a verb. CliError (125) for wrong flags, HelpAskedError for --help."""
    if verb.raw:
        args = CommandLine()
        args.words = list(words)
        return args
    args = parse_flags(name, verb.flags, words, program=verb.program)
    count = len(args.words)
    if count < verb.least or 0 <= verb.most < count:
        wanted = f"{verb.least}" if verb.least == verb.most else f"at least {verb.least}"
        if count > verb.most >= 0 and verb.least != verb.most:
            wanted = f"at most {verb.most}"
        raise CliError(f"{name} takes {wanted} argument(s), not {count}\nsee 'nn {name} --help'", 1)
    return args


def parse_flags(name: str, flags: tuple[Flag, ...], words: "Sequence[str]", *, program: bool) -> CommandLine:
    """Parse flags; program: only up to the first word that is not a flag."""
    long, short = _by_name(flags)
    args = CommandLine()
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            args.words.extend(words[at:])
            break
        if word[:1] != "-" or word == "-":
            args.words.append(word)
            if program:
                args.words.extend(words[at:])
                break
        elif word[:2] == "--":
            key, equals, value = word[2:].partition("=")
            at = _take(name, args, long.get(key), "--" + key, value if equals else None, words, at)
        else:
            at = _letters(name, args, short, word, words, at)
    return args


def _by_name(flags: tuple[Flag, ...]) -> tuple[dict[str, Flag], dict[str, Flag]]:
    long = {one: flag for flag in flags for one in flag[0].split("|")}
    return long, {flag[1]: flag for flag in flags if flag[1]}


def _letters(
    name: str, args: CommandLine, short: dict[str, Flag], word: str, words: "Sequence[str]", at: int
) -> int:
    """Parse `-it`, `-p80:80`, `-p 80:80`, `-i=false`."""
    place = 1
    while place < len(word):
        letter = word[place]
        flag = short.get(letter)
        rest = word[place + 1 :]
        if letter == "h" and flag is None:
            raise HelpAskedError
        if flag is None or flag[2] != "bool" or rest[:1] == "=":
            value = rest.removeprefix("=") if rest else None
            return _take(name, args, flag, "-" + letter, value, words, at)
        args.add(flag[0].partition("|")[0], "true")
        place += 1
    return at


def _take(
    name: str,
    args: CommandLine,
    flag: "Flag | None",
    shown: str,
    value: "str | None",
    words: "Sequence[str]",
    at: int,
) -> int:
    """Add one flag, with the next word as its value where it needs one; return the new position."""
    if flag is None:
        if shown == "--help":
            raise HelpAskedError
        raise CliError(f"unknown flag: {shown}\nsee 'nn {name} --help'")
    kind = flag[2]
    if kind == "bool":
        if value not in ("true", "false"):
            value = "true" if value is None else _switch(name, shown, value)
    elif value is None:
        if at >= len(words):
            raise CliError(f"flag needs an argument: {shown}\nsee 'nn {name} --help'")
        value = words[at]
        at += 1
    if kind == "int" and not (value[1:] if value[:1] in ("+", "-") else value).isdecimal():
        raise CliError(f"{shown} takes a whole number, not {value}\nsee 'nn {name} --help'")
    args.add(flag[0].partition("|")[0], value)
    return at


def _switch(name: str, shown: str, value: str) -> str:
    from runtime.docker_syntax import MalformedError, booleans

    try:
        return "true" if booleans.parse(value) else "false"
    except MalformedError:
        raise CliError(f"{shown} takes true or false, not {value}\nsee 'nn {name} --help'") from None
