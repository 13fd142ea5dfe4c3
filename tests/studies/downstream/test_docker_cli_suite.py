"""What is made of docker/cli's sources."""

from __future__ import annotations

from tests.studies.downstream.docker_cli import about_trust

SOURCE = """
func TestPlain(t *testing.T) {
	icmd.RunCommand("docker", "ps")
}

func TestSigned(t *testing.T) {
	icmd.RunCmd(icmd.Command("docker", "push", image),
		fixtures.WithTrust,
	)
}
"""


def test_what_wants_a_notary_is_left_out():
    assert about_trust([SOURCE]) == ["TestSigned"]
