"""Two runs of one host: is anything worse than before? Pure but for reading runs; no measuring in here.

`alike` says whether two runs may be compared, `sound` whether each may be believed, `sides` takes a run to
one number a session, `change` is the statistics, `rows` the reading of each metric, `gate` the exit status,
`live` what a second run confirms, `words` the sentences, `simulate` how often all this errs. Read
docs/compare.md.
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
