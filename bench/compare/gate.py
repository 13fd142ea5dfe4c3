"""From rows to one answer and exit status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from bench.compare.rows import ComparedRow

Answer = Literal["nothing worse", "worse", "cannot tell", "broken"]

NOTHING_WORSE, WORSE, CANNOT_TELL, BROKEN = 0, 1, 2, 3
STATUS: dict[Answer, int] = {
    "nothing worse": NOTHING_WORSE,
    "worse": WORSE,
    "cannot tell": CANNOT_TELL,
    "broken": BROKEN,
}


class GateResult(msgspec.Struct, frozen=True, kw_only=True):
    """The answer of a gate. worse, open: the primary rows behind it, as `metric on arm`.

    tellable: the margin at which every open row with an interval would have been decided, 1 if there is none.
    """

    answer: Answer
    worse: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    tellable: float = 1.0

    @property
    def status(self) -> int:
        """The exit status."""
        return STATUS[self.answer]


def outcome(rows: Sequence[ComparedRow]) -> GateResult:
    """Only primary metrics decide: worse beats open, open beats nothing worse; without any, the answer is
    open.

    A row is open if it does not exclude a change as large as the margin. Metrics that are gone count as open,
    or measuring less would pass the gate.
    """
    primary = [row for row in rows if row.role == "primary"]
    worse = [row for row in primary if row.state == "worse"]
    unsure = [row for row in primary if row.state in ("cannot tell", "gone")]
    compared = [row for row in primary if row.state != "new"]
    answer: Answer = "worse" if worse else "cannot tell" if unsure or not compared else "nothing worse"
    return GateResult(
        answer=answer,
        worse=tuple(map(named, worse)),
        open=tuple(map(named, unsure)),
        tellable=min((bound for row in unsure if (bound := _bound(row)) is not None), default=1.0),
    )


def named(row: ComparedRow) -> str:
    """`metric on arm`."""
    return f"{row.verdict.metric} on {row.verdict.arm}"


def _bound(row: ComparedRow) -> float | None:
    return row.verdict.low if row.scale != "difference" and row.p is not None else None
