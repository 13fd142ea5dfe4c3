import pytest

from bench.scenarios.base import ScenarioError
from bench.scenarios.identical_output import SCRIPT, digest
from bench.scenarios.worker import Output


def output(text):
    return Output(argv=("sh", "-c", SCRIPT), text=text, start_ns=0, end_ns=1)


def test_the_digest_is_a_number_that_a_double_holds_exactly():
    value = digest(output("f" * 64 + "  -\n"))
    assert value == float(2**48 - 1)
    assert value != float(2**48 - 2)


@pytest.mark.parametrize("text", ["", "python3: not found\n" + "a" * 64 + "  -\n", "a" * 63 + "  -\n"])
def test_what_is_not_a_digest_is_an_error_that_shows_it(text):
    with pytest.raises(ScenarioError, match="sha256"):
        digest(output(text))
