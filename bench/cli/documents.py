"""What verbs print with `--json`, where it is no struct of the verb's own; docs/schema has them all."""

from __future__ import annotations

import msgspec

from bench.compare.comparability import Difference
from bench.compare.gate import Answer
from bench.compare.rows import ComparedRow
from bench.model import NotMeasured, RunStatus, Verdict


class RunDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`run`, `show` and `judge RUN`: a run with its verdicts. report: the page, null where there is none."""

    run: str
    directory: str
    status: RunStatus
    report: str | None
    seed: int
    verdicts: tuple[Verdict, ...]
    not_measured: tuple[NotMeasured, ...]


class ComparedRun(msgspec.Struct, frozen=True, kw_only=True):
    """One side of a comparison."""

    run: str
    directory: str
    started: str
    status: str
    profile: str
    sessions: int


class MeasuredAgain(msgspec.Struct, frozen=True, kw_only=True):
    """The second run of a live comparison, and what it says by itself."""

    directory: str
    rows: tuple[ComparedRow, ...]


class ComparisonDocument(msgspec.Struct, frozen=True, kw_only=True):
    """`compare`: the answer, what is behind it, and every row, the worst first.

    gate: whether `status` is the exit status. tellable_margin: what these runs could decide. reason: why
    there is no comparison (answer `broken`); then the fields that describe one are null.
    """

    answer: Answer
    status: int
    reason: str = ""
    gate: bool | None = None
    old: ComparedRun | None = None
    new: ComparedRun | None = None
    margin: float | None = None
    alpha: float | None = None
    worse: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    tellable_margin: float | None = None
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    rows: tuple[ComparedRow, ...] = ()
    again: MeasuredAgain | None = None
