"""What is made of moby's sources and output."""

from __future__ import annotations

from tests.studies.downstream.moby_integration import read_cases, with_their_own
from tests.studies.downstream.outcomes import Case

HELPERS = """
func TestAlone(t *testing.T) {
	run(t)
}

func setup(t *testing.T) *daemon.Daemon {
	return daemon.New(t)
}

func more(t *testing.T) {
	setup(t)
}
"""
TESTS = """
func TestDirectly(t *testing.T) {
	d := daemon.New(t, daemon.WithExperimental())
}

func TestByAHelper(t *testing.T) {
	more(t)
}
"""
OUTPUT = """\
=== RUN   TestGood
--- PASS: TestGood (0.01s)
=== RUN   TestBad
=== RUN   TestBad/part
    create_test.go:92: assertion failed: expected an error, got nil
    create_test.go:93: assertion failed: second
    --- FAIL: TestBad/part (0.00s)
--- FAIL: TestBad (0.02s)
    nat_test.go:31: no such network interface
--- SKIP: TestLeftOut (0.04s)
FAIL
"""


def test_those_that_start_a_daemon_are_found_through_their_helpers():
    assert with_their_own([HELPERS, TESTS]) == ["TestByAHelper", "TestDirectly"]


def test_outcomes_have_the_first_reason():
    assert read_cases("container", OUTPUT) == [
        Case("container::TestGood", "passed"),
        Case("container::TestBad", "failed", "expected an error, got nil"),
        Case("container::TestLeftOut", "skipped", "no such network interface"),
    ]
