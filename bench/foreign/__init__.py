"""Samples measured with other tools: read, brought into one shape, and judged by the same rules.

`judge_frame` takes a data frame, `bench.foreign.gather` files. docs/judge.md says what is recognised and how
it is paired.
"""

from __future__ import annotations

from bench.foreign.table import ChoiceError, ForeignError
from bench.foreign.verdicts import judge_frame, judge_table

__all__ = ["ChoiceError", "ForeignError", "judge_frame", "judge_table"]
