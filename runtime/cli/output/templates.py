"""Go's text/template, as far as docker's --format uses it: fields, pipelines, if, range, with, variables.

Not there: define, template, block, break, continue. https://pkg.go.dev/text/template is the reference.
"""

from __future__ import annotations

import re

from runtime.cli.errors import CliError
from runtime.cli.output.template_functions import FUNCTIONS, Nil, shown, true

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>"(?:\\.|[^"\\])*"|`[^`]*`|'(?:\\.|[^'\\])')|(?P<number>[-+]?\d[\w.]*)
    |(?P<field>(?:\.[A-Za-z_]\w*)+)|(?P<variable>\$\w*(?:\.[A-Za-z_]\w*)*)|(?P<name>[A-Za-z_]\w*)
    |(?P<sign>:=|[|(),=.]))""",
    re.X,
)
_ACTION = re.compile(r"\{\{(?P<left>-(?=\s))?\s*(?P<body>(?:\"(?:\\.|[^\"\\])*\"|`[^`]*`|[^}]|\}(?!\}))*?)"
                     r"\s*(?P<right>(?<=\s)-)?\}\}", re.S)  # fmt: skip


class TemplateToken:
    """A word of an action: its kind (a group of _TOKEN) and text."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text


class Pipe:
    """Commands, each fed with the result of the one before; `names` keep the result."""

    __slots__ = ("commands", "names")

    def __init__(self, names: tuple[str, ...], commands: tuple[tuple[Any, ...], ...]) -> None:
        self.names = names
        self.commands = commands


class Field:
    """`.A.B` (base None), `$x.A` (base a name) or `(…).A` (base a Pipe)."""

    __slots__ = ("base", "path")

    def __init__(self, base: Any, path: tuple[str, ...]) -> None:
        self.base = base
        self.path = path


class Literal:
    """A constant."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


class Called:
    """A function."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Block:
    """if, range or with; `other` is the part after else."""

    __slots__ = ("body", "kind", "other", "pipe")

    def __init__(self, kind: str, pipe: Pipe, body: tuple[Any, ...], other: tuple[Any, ...]) -> None:
        self.kind = kind
        self.pipe = pipe
        self.body = body
        self.other = other


class Template:
    """A parsed template. CliError when it cannot be parsed, or names a field that does not exist.

    field: looks up a field, where values are not plain documents.
    """

    def __init__(self, text: str, field: Callable[[Any, str], Any] | None = None) -> None:
        self._text = text
        self._member = field or member
        pieces = list(_pieces(text))
        self._nodes, _ = self._parse(pieces, 0, top=True)

    def render(self, data: Any) -> str:
        """Return the text for one document."""
        try:
            return "".join(self._run(self._nodes, data, {"$": data}))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise self._fault(str(error)) from error

    def _fault(self, cause: str) -> CliError:
        return CliError(f"--format {self._text!r}: {cause}; see https://docs.docker.com/go/formatting/", 1)

    # ---- reading ---------------------------------------------------------------------------------------

    def _parse(
        self, pieces: list[str | list[TemplateToken]], at: int, *, top: bool = False
    ) -> tuple[tuple[Any, ...], int]:
        """Read nodes up to an else or end that belongs to an outer block; return them and that place."""
        nodes: list[Any] = []
        while at < len(pieces):
            piece = pieces[at]
            at += 1
            if isinstance(piece, str):
                nodes.append(piece)
                continue
            word = piece[0].text if piece and piece[0].kind == "name" else ""
            if word in ("else", "end"):
                if top:
                    raise self._fault(f"{word} without if, range or with")
                return tuple(nodes), at - 1
            if word in ("if", "range", "with"):
                block, at = self._block(word, piece[1:], pieces, at)
                nodes.append(block)
            elif word in ("define", "template", "block", "break", "continue"):
                raise self._fault(f"{word} is not known here")
            elif piece:
                nodes.append(self._pipe(piece))
        if not top:
            raise self._fault("an end is missing")
        return tuple(nodes), at

    def _block(
        self, kind: str, words: list[TemplateToken], pieces: list[str | list[TemplateToken]], at: int
    ) -> tuple[Block, int]:
        pipe = self._pipe(words)
        body, at = self._parse(pieces, at)
        other: tuple[Any, ...] = ()
        closing = pieces[at]
        at += 1
        assert isinstance(closing, list)
        if closing[0].text == "else":
            if len(closing) > 1:
                inner, at = self._block(closing[1].text, closing[2:], pieces, at)
                return Block(kind, pipe, body, (inner,)), at
            other, at = self._parse(pieces, at)
            at += 1
        return Block(kind, pipe, body, other), at

    def _pipe(self, words: list[TemplateToken]) -> Pipe:
        """Read `$a, $b := command | command`."""
        names: tuple[str, ...] = ()
        signs = [word.text for word in words[:4]]
        for place in (1, 3):
            if signs[place : place + 1] in ([":="], ["="]) and words[0].kind == "variable":
                names = tuple(word.text for word in words[:place] if word.kind == "variable")
                words = words[place + 1 :]
                break
        commands: list[tuple[Any, ...]] = []
        current: list[Any] = []
        at = 0
        while at < len(words):
            if (words[at].kind, words[at].text) == ("sign", "|"):
                commands.append(tuple(current))
                current = []
                at += 1
            else:
                operand, at = self._operand(words, at)
                current.append(operand)
        commands.append(tuple(current))
        if not all(commands):
            raise self._fault("a value is missing")
        return Pipe(names, tuple(commands))

    def _operand(self, words: list[TemplateToken], at: int) -> tuple[Any, int]:
        kind, text = words[at].kind, words[at].text
        if kind == "field":
            return Field(None, tuple(text[1:].split("."))), at + 1
        if kind == "variable":
            name, *path = text.split(".")
            return Field(name, tuple(path)), at + 1
        if kind == "text":
            return Literal(_unquoted(text)), at + 1
        if kind == "number":
            return Literal(self._number(text)), at + 1
        if kind == "name":
            constants = {"true": True, "false": False, "nil": None}
            if text in constants:
                return Literal(constants[text]), at + 1
            if text not in FUNCTIONS:
                raise self._fault(f"function {text!r} is not known")
            return Called(text), at + 1
        if text == ".":
            return Field(None, ()), at + 1
        if text == "(":
            return self._bracket(words, at + 1)
        raise self._fault(f"{text!r} is out of place")

    def _bracket(self, words: list[TemplateToken], at: int) -> tuple[Any, int]:
        depth, start = 1, at
        while depth:
            if at >= len(words):
                raise self._fault("a ) is missing")
            depth += {"(": 1, ")": -1}.get(words[at].text if words[at].kind == "sign" else "", 0)
            at += 1
        inner = self._pipe(words[start : at - 1])
        if at < len(words) and words[at].kind == "field":
            return Field(inner, tuple(words[at].text[1:].split("."))), at + 1
        return inner, at

    def _number(self, text: str) -> int | float:
        try:
            return int(text, 0)
        except ValueError:
            return float(text)

    # ---- doing -----------------------------------------------------------------------------------------

    def _run(self, nodes: Sequence[Any], dot: Any, names: dict[str, Any]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, str):
                yield node
            elif isinstance(node, Pipe):
                value = self._value(node, dot, names)
                if not node.names:
                    yield shown(value)
            else:
                yield from self._run_block(node, dot, names)

    def _run_block(self, block: Block, dot: Any, names: dict[str, Any]) -> Iterator[str]:
        inner = dict(names)
        value = self._value(block.pipe, dot, inner)
        if block.kind == "range":
            pairs = list(_pairs(value))
            for key, one in pairs:
                inner.update(zip(block.pipe.names, (key, one)[-len(block.pipe.names) :], strict=False))
                yield from self._run(block.body, one, inner)
            if not pairs:
                yield from self._run(block.other, dot, names)
        elif true(value):
            yield from self._run(block.body, value if block.kind == "with" else dot, inner)
        else:
            yield from self._run(block.other, dot, inner)

    def _value(self, pipe: Pipe, dot: Any, names: dict[str, Any]) -> Any:
        value: Any = None
        for place, command in enumerate(pipe.commands):
            last = (value,) if place else ()
            value = self._call(command, dot, names, last)
        for name in pipe.names:
            names[name] = value
        return value

    def _call(self, command: Sequence[Any], dot: Any, names: dict[str, Any], last: tuple[Any, ...]) -> Any:
        arguments = [self._operand_value(one, dot, names) for one in command[1:]]
        first = command[0]
        if isinstance(first, Called):
            return FUNCTIONS[first.name](*arguments, *last)
        found = self._operand_value(first, dot, names)
        if callable(found):
            return found(*arguments, *last)
        if arguments or last:
            raise TypeError(f"{_named(first)} is not a function and takes no arguments")
        return found

    def _operand_value(self, operand: Any, dot: Any, names: dict[str, Any]) -> Any:
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Pipe):
            return self._value(operand, dot, names)
        if isinstance(operand, Called):
            return FUNCTIONS[operand.name]()
        value = dot
        if isinstance(operand.base, str):
            if operand.base not in names:
                raise LookupError(f"{operand.base} is not defined")
            value = names[operand.base]
        elif operand.base is not None:
            value = self._value(operand.base, dot, names)
        for name in operand.path:
            value = self._member(value, name)
        return value


def member(value: Any, name: str) -> Any:
    """Return a field, by its name in any case: docker's client has Go's names for some, .ID for Id."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        alike = [one for one in value if one.lower() == name.lower()]
        if len(alike) == 1:
            return value[alike[0]]
    raise LookupError(f"there is no field .{name}{_offered(value)}")


def _pieces(text: str) -> Iterator[str | list[TemplateToken]]:
    """Cut a template into texts and actions; `{{-` and `-}}` remove white space beside them."""
    at, trim = 0, False
    for found in _ACTION.finditer(text):
        before = text[at : found.start()]
        before = before.lstrip() if trim else before
        yield before.rstrip() if found["left"] else before
        at, trim = found.end(), bool(found["right"])
        body = found["body"]
        if not (body.startswith("/*") and body.endswith("*/")):
            yield _tokens(text, body)
    rest = text[at:]
    if "{{" in rest:
        raise CliError(f"--format {text!r}: an action is not closed; write }}}} at its end", 1)
    yield rest.lstrip() if trim else rest


def _tokens(text: str, body: str) -> list[TemplateToken]:
    words, at = [], 0
    while at < len(body):
        found = _TOKEN.match(body, at)
        if found is None:
            if not body[at:].strip():
                break
            raise CliError(f"--format {text!r}: {body[at:].strip()!r} cannot be read", 1)
        assert found.lastgroup is not None
        words.append(TemplateToken(found.lastgroup, found[found.lastgroup]))
        at = found.end()
    return words


def _unquoted(text: str) -> str:
    if text[0] == "`":
        return text[1:-1]
    escapes = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}
    return re.sub(r"\\(.)", lambda found: escapes.get(found[1], found[0]), text[1:-1])


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if value is None or isinstance(value, Nil):
        return ()
    if isinstance(value, dict):
        return sorted(value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return enumerate(range(value))
    if isinstance(value, list | tuple):
        return enumerate(value)
    raise TypeError(f"range needs a list, not {shown(value)}")


def _offered(value: Any) -> str:
    """Return the fields that exist, for a message."""
    if isinstance(value, dict) and value:
        return ", but " + ", ".join(f".{name}" for name in sorted(value))
    return ""


def _named(operand: Any) -> str:
    return (
        "." + ".".join(operand.path) if isinstance(operand, Field) else shown(getattr(operand, "value", ""))
    )
