"""The literal messages of the errors our code makes, from its syntax tree; an `{expression}` becomes `…`."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping

from tests.paths import REPOSITORY

PACKAGES = ("bench", "runtime", "vm", "reports")
SHORTEST = 7  # a shorter literal only joins other messages: "…: …"
MAKERS = ("fail", "FailuresOf", "_failures_of")  # what makes the exception to raise, of the text given to it

COMPOSED = (
    *("CgroupError", "StepError", "StepKilledError", "FaultError"),
    *("wrap", "_worded", "error", "write_error"),
)
"""Errors, and functions that return them, which put their messages together from what they are given."""

OWN = (
    *("CliError", "ChoiceError", "CompareError", "ForeignError", "RefusedError", "StoreError", "TuneError"),
    *("ProfileError", "VmUnavailableError", "CredentialsError"),
)
"""Errors that the commands show as they are, in words of our own: each says what to do next."""

IMPERATIVE = (
    "add|ask|attach|check|choose|connect|correct|create|end|free|give|go on|install|keep|leave|let|log in|"
    "look|make|measure|mount|move|name|pull|put|redirect|remove|rename|restore|run|send|set|split|start|"
    "stop|take|try|unpause|use|wait|write"
)
CURE = re.compile(rf";|`|\btakes?\b|\b(needs?|see)\b|(^|[:,.(] |\b(or|and|must) )({IMPERATIVE})\b", re.I)
"""A message that says what to do has a part for it, a command, or an imperative where a clause begins."""


def template(node: ast.expr, names: Mapping[str, ast.expr]) -> str | None:
    """A message as a reader sees it, or None where `node` is not a literal, nor a name of one in `names`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            template(part.value if isinstance(part, ast.FormattedValue) else part, names) or "…"
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left, names), template(node.right, names)
        return None if left is None and right is None else (left or "…") + (right or "…")
    if isinstance(node, ast.Name) and node.id in names:
        return template(names[node.id], {})
    return None


def literals(function: ast.AST) -> dict[str, ast.expr]:
    """Names that a function gives a text only once."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    texts = (ast.Constant, ast.JoinedStr)
    return {name: one[0] for name, one in found.items() if len(one) == 1 and isinstance(one[0], texts)}


def candidates(called: str, call: ast.Call, tree: ast.Module) -> Iterator[ast.expr]:
    """The expressions that may hold the message of `raise called(…)`."""
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name):
            worder = argument.func.id
            for function in tree.body:
                if isinstance(function, ast.FunctionDef) and function.name == worder:
                    yield from (r.value for r in ast.walk(function) if isinstance(r, ast.Return) and r.value)
        else:
            yield argument


def cgroup_messages(call: ast.Call, names: Mapping[str, ast.expr]) -> Iterator[str]:
    """`CgroupError(operation, path, advice=…)`: without an errno the message is all literal."""
    advice = [keyword.value for keyword in call.keywords if keyword.arg == "advice"]
    if len(call.args) == 2 and advice:
        operation, path, what = (template(one, names) or "…" for one in (*call.args, *advice))
        yield f"{operation} {path}; {what}"


def made(call: ast.Call, names: Mapping[str, ast.expr], tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(class, message) of each message of one call, if it makes an error, to raise it or to hand it on."""
    called = ast.unparse(call.func).rsplit(".", 1)[-1]
    if called == "CgroupError":
        yield from ((called, message) for message in cgroup_messages(call, names))
    elif called in COMPOSED:
        return
    elif called in MAKERS or (called.endswith(("Error", "Unavailable")) and called != "AssertionError"):
        for one in candidates(called, call, tree):
            text = template(one, names)
            if text and len(text.replace("…", "").strip(" :;")) >= SHORTEST:
                yield called, " ".join(text.split())


def messages(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(class, message) of every error with a literal message that one module makes."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    functions = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    for function in functions:
        names = literals(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                yield from made(node, names, tree)


@functools.cache
def all_messages() -> dict[str, set[str]]:
    """Message → the classes of error that carry it, over all four packages."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            for kind, message in messages(ast.parse(path.read_text())):
                found.setdefault(message, set()).add(kind)
    return found


def lacks_a_cure(message: str) -> bool:
    """Whether it ends without saying what to do; what ends in `: …` passes on an error that says it."""
    return not message.endswith(": …") and CURE.search(message) is None


def matches(heading: str, message: str) -> bool:
    """Whether a heading, a part of a message in which `…` stands for anything, is found in it."""
    return re.search(".*".join(re.escape(part) for part in heading.split("…")), message) is not None
