"""Compare two runs of one host: is anything worse than before? Pure, except for reading runs.

`comparability` decides whether two runs may be compared, `validity` whether each can be used. `sides` reduces
a run to one number per session, `change` has the statistics, `drafts` and `rows` the state of each metric,
`gate` the exit status. `live` applies the confirmation by a second run, `words` writes the sentences,
`simulate` measures error rates. See docs/compare.md.
"""

from bench.compare.comparability import CompareError, UnlikeRunsError
from bench.compare.compare_runs import RunComparison, compare
from bench.compare.gate import BROKEN, CANNOT_TELL, NOTHING_WORSE, WORSE, GateResult

__all__ = [
    "BROKEN",
    "CANNOT_TELL",
    "NOTHING_WORSE",
    "WORSE",
    "CompareError",
    "GateResult",
    "RunComparison",
    "UnlikeRunsError",
    "compare",
]
