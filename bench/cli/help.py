"""Commands whose help shows what to type, and no types of Python such as `<list[str]>`."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


class Verb(TyperCommand):
    """A verb of the command line."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return arguments and options, those without types that have no word for their value."""
        return _untyped(super().get_params(ctx))


class Verbs(TyperGroup):
    """The command line itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return its options without types."""
        return _untyped(super().get_params(ctx))


def _untyped(found: list[Any]) -> list[Any]:
    for one in found:
        if one.param_type_name == "argument" or one.metavar is None:
            one.display_type_rich = _nothing
    return found


def _nothing(ctx: Any) -> None:
    """What stands in place of a type."""
