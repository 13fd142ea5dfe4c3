"""What can be wrong with samples that others measured."""

from __future__ import annotations


class ForeignError(Exception):
    """A file or a frame that cannot be judged: names it, the row where there is one, and what to do."""


class ChoiceError(ForeignError):
    """What was asked for does not fit the samples: a baseline they lack, a margin that is no ratio."""
