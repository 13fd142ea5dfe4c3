"""What is made of the output of compose's tests, between which that of compose itself stands."""

from __future__ import annotations

from tests.studies.downstream.compose_e2e import read_cases
from tests.studies.downstream.outcomes import Case

OUTPUT = """\
\x16=== RUN   TestUp
 Container a-1  Creating\x16=== RUN   TestUp/start_it
    framework.go:252: assertion failed:\x20
        Command:  docker compose up
        ExitCode: 1

        Failures:
        ExitCode was 1 expected 0
        Expected no error
    up_test.go:93: assertion failed: second
Attaching to a-1\x16--- FAIL: TestUp/start_it (0.28s)
\x16=== NAME  TestUp
\x16=== RUN   TestUp/stop_it
--- FAIL: TestSaidByAContainer (0.00s)
\x16--- PASS: TestUp/stop_it (0.20s)
\x16--- FAIL: TestUp (0.48s)
\x16=== RUN   TestPs
    ps_test.go:97:\x20
        \tError Trace:\tps_test.go:97
        \tError:      \tNot equal:\x20
\x16--- FAIL: TestPs (0.05s)
\x16=== RUN   TestWatch
    watch_test.go:37: Skipping watch tests
\x16--- SKIP: TestWatch (0.00s)
\x16FAIL
"""


def test_cases_are_those_without_others_in_them_and_have_their_first_reason():
    assert read_cases(OUTPUT) == [
        Case("TestUp::start_it", "failed", "ExitCode was 1 expected 0"),
        Case("TestUp::stop_it", "passed"),
        Case("TestPs", "failed", "Not equal:"),
        Case("TestWatch", "skipped", "Skipping watch tests"),
    ]
