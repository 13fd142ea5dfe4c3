"""What is made of the sources and the output of moby's older tests."""

from __future__ import annotations

from tests.studies.downstream.moby_cli import read_cases, suites, with_their_own
from tests.studies.downstream.outcomes import Case

SUITES = """
func TestDockerAPISuite(t *testing.T) {
func TestDockerDaemonSuite(t *testing.T) {
func TestDockerCLIPsSuite(t *testing.T) {
"""
SOURCE = """
func (s *NetworkSuite) SetUpTest(c *testing.T) {
	s.d = daemon.New(c)
}

func (s *NetworkSuite) TestCreate(c *testing.T) {
	cli.DockerCmd(c, "network", "create", "a")
}

func (s *NetworkSuite) TestStarts(c *testing.T) {
	s.d.StartWithBusybox(c)
}

func (s *NetworkSuite) TestRestarts(c *testing.T) {
	s.d.Restart(c)
}

func (s *NetworkSuite) TestPlugged(c *testing.T) {
	cli.DockerCmd(c, "network", "create", "-d", dummyNetworkDriver, "a")
}

func (s *NetworkSuite) TestPulls(c *testing.T) {
	testRequires(c, Network)
}

func (s *SwarmSuite) AddDaemon(c *testing.T) *daemon.Daemon {
	return daemon.New(c)
}

func addTwo(s *SwarmSuite, c *testing.T) {
	s.AddDaemon(c)
}

func (s *SwarmSuite) TestJoins(c *testing.T) {
	addTwo(s, c)
}
"""
OUTPUT = """\
=== RUN   TestSuite
=== RUN   TestSuite/TestGood
=== RUN   TestSuite/TestBad
    cli_test.go:92: assertion failed: expected an error, got nil
    cli_test.go:93: assertion failed: second
=== RUN   TestSuite/TestRefused
    cli_test.go:626: assertion failed:\x20
        Command:  docker run a
        ExitCode: 1
    cli_test.go:50: [d1] daemon is not started
--- FAIL: TestSuite (0.03s)
    --- PASS: TestSuite/TestGood (0.01s)
    --- FAIL: TestSuite/TestBad (0.01s)
    --- FAIL: TestSuite/TestRefused (0.01s)
FAIL
"""


def test_suites_about_dockerd_itself_are_left_out():
    assert suites(SUITES) == ["TestDockerAPISuite", "TestDockerCLIPsSuite"]


def test_those_that_start_a_daemon_or_want_more_are_found_through_their_helpers():
    assert with_their_own(SOURCE) == ["TestJoins", "TestPlugged", "TestPulls", "TestRestarts", "TestStarts"]


def test_outcomes_have_the_first_reason_wherever_it_stands():
    assert read_cases(OUTPUT) == [
        Case("TestSuite::TestGood", "passed"),
        Case("TestSuite::TestBad", "failed", "expected an error, got nil"),
        Case("TestSuite::TestRefused", "failed", "Command:  docker run a"),
    ]
