"""The literal messages our code raises, read from its syntax tree; an `{expression}` becomes `…`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("bench", "runtime", "vm", "reports")
SHORTEST = 12  # a shorter literal is a name handed to a structured error, not a message


def template(node: ast.expr) -> str | None:
    """A message as a reader sees it, or None where `node` is not a literal."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left), template(node.right)
        return None if left is None and right is None else (left or "…") + (right or "…")
    return None


def messages(tree: ast.Module) -> Iterator[str]:
    """Every literal message of a `raise SomethingError(...)` in one module."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        called = ast.unparse(node.exc.func).rsplit(".", 1)[-1]
        if not called.endswith(("Error", "Unavailable", "Refused")) or called == "AssertionError":
            continue
        for argument in [*node.exc.args, *(keyword.value for keyword in node.exc.keywords)]:
            text = template(argument)
            if text and len(text.replace("…", "")) >= SHORTEST:
                yield " ".join(text.split())


def all_messages() -> dict[str, list[str]]:
    """Message → the files that raise it, over all four packages."""
    found: dict[str, list[str]] = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            for message in messages(ast.parse(path.read_text())):
                found.setdefault(message, []).append(str(path.relative_to(ROOT)))
    return found
